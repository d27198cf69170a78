"""A real `systemd --user`, for one test: its own folders, its own control group, its own view of /run.

In: the house whose services it runs. Out: what systemctl says of them. It needs root, since it makes itself a control
group; of the machine's own services, and of a user's, it knows nothing.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.e2e.house import PATIENCE_SECONDS, House, until

_PROGRAM = Path("/lib/systemd/systemd")
_HIERARCHIES = tuple(map(Path, ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")))
_UNSHARE = ("unshare", "--mount", "--propagation", "private")
_START = """
for group in $GROUPS_OF_ITS_OWN; do echo $$ > "$group/cgroup.procs" || exit 1; done
unset GROUPS_OF_ITS_OWN
# It refuses to run where no systemd is the first process, which it tells by this folder.
mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec "$0" --user
"""


def lacking() -> str | None:
    """Why there can be no manager here; None when there can."""
    if os.getuid() != 0:
        return "only root can make a control group for a systemd of its own"
    if not _PROGRAM.exists() or not shutil.which("systemctl") or not shutil.which("nsenter"):
        return "systemd is not installed"
    hiding = subprocess.run([*_UNSHARE, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True, check=False)
    if hiding.returncode:
        return f"no /run of its own can be made: {hiding.stderr.decode().strip()}"
    if not _hierarchies():
        return "no control group can be made"
    return None


def _hierarchies() -> list[Path]:
    """Where control groups can be made."""
    found = []
    for path in _HIERARCHIES:
        probe = path / f"quarterdeck-probe-{os.getpid()}"
        if (path / "cgroup.procs").exists():
            with contextlib.suppress(OSError):
                probe.mkdir()
                probe.rmdir()
                found.append(path)
    return found


class UserManager:
    """A running manager. `units` is the folder from which it takes a user's units."""

    def __init__(self, house: House, runtime: Path) -> None:
        self.units = house.home / ".config" / "systemd" / "user"
        house.environment |= {
            "HOME": str(house.home),
            "XDG_CONFIG_HOME": str(house.home / ".config"),
            "XDG_RUNTIME_DIR": str(runtime),
        }
        self._environment = house.environment
        self._groups = [path / f"quarterdeck-{os.getpid()}-{house.home.name}" for path in _hierarchies()]
        for group in self._groups:
            group.mkdir()
        self._log = house.home / "systemd.txt"
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [*_UNSHARE, "sh", "-c", _START, str(_PROGRAM)],
                env={**house.environment, "GROUPS_OF_ITS_OWN": " ".join(map(str, self._groups))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_up(self) -> bool:
        """Whether it takes commands."""
        if self._process.poll() is not None:
            raise AssertionError(f"systemd ended with {self._process.returncode}: {self._log.read_text()}")
        return self._asked("is-system-running").stdout.strip() in ("running", "degraded")

    def systemctl(self, *words: str) -> str:
        """What it says to a command, which must succeed."""
        result = self._asked(*words)
        assert result.returncode == 0, result
        return result.stdout.strip()

    def shows(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--property", name, "--value", unit)

    def main_pid(self, unit: str) -> int:
        """The unit's process; 0 when it has none."""
        return int(self.shows(unit, "MainPID"))

    def close(self) -> None:
        """End it, and everything in its control groups."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_SECONDS)
        for group in self._groups:
            folders = [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]
            until(partial(_all_dead, folders), f"the end of all in {group}")
            for folder in folders:
                folder.rmdir()

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, where it sees the /run of this manager."""
        return subprocess.run(
            ["nsenter", "--mount", "--target", str(self._process.pid), *command],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def _asked(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.run("systemctl", "--user", "--no-pager", *words)


def _all_dead(groups: Sequence[Path]) -> bool:
    """Kill every process of these groups; whether there was none."""
    pids = [int(pid) for group in groups for pid in (group / "cgroup.procs").read_text().split()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not pids


@contextlib.contextmanager
def managing(house: House, runtime: Path) -> Iterator[UserManager]:
    """A manager for a house, until the block ends."""
    manager = UserManager(house, runtime)
    try:
        until(manager.is_up, "a running systemd")
        yield manager
    finally:
        manager.close()
