"""How busy others keep the machine while something is measured: a figure to judge a measurement by. Linux only."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (1, 2, 3, 6, 7, 8)
"""user, nice, system, irq, softirq, steal in the first line of /proc/stat."""


@dataclass(frozen=True, slots=True)
class Load:
    """Processor seconds that everything but this process and its descendants has used, until `at`."""

    at: float
    seconds: float

    @classmethod
    def now(cls) -> Self:
        """As it is now, to some hundredths of a second."""
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        everything = sum(int(fields[place]) for place in _BUSY)
        return cls(time.monotonic(), (everything - _own_ticks()) / _TICKS)

    def cores_since(self) -> float:
        """The processors that others have used on average since then."""
        now = Load.now()
        return max(0.0, (now.seconds - self.seconds) / (now.at - self.at))


def _own_ticks() -> int:
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry.name)], ticks[int(entry.name)] = _used(text)
    own = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= grown
    return sum(ticks[pid] for pid in own)


def _used(stat: str) -> tuple[int, int]:
    """The parent of a process and the ticks it has used, itself and with the children it has buried."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[1]), sum(int(field) for field in fields[11:15])
