"""A file that can be replayed: which format it has, whether it is sound, and its ticks as a stream.

In: a path and the price of a point. Out: ticks on the clock of the file. The first lines are checked before anything
is replayed, a small file whole; a malformed line further on ends the replay where it stands, by file and line.
"""

import hashlib
import re
from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from engine.paper import tickfile
from engine.paper.barfile import BARS, DAILY_BARS, MT5_BARS_HEADER, MT5_DAILY_HEADER, bar_length_ms, bar_ticks
from engine.paper.tickfile import (
    BYTE_ORDER_MARK,
    HISTDATA,
    MAX_LINE_BYTES,
    MT5_HEADER,
    NOTHING,
    PLAIN,
    Place,
    Tick,
    TickFileError,
    line_error,
)

CHECKED_TICKS = 100_000
"""So many ticks are read before a replay starts: at 3 microseconds a line nobody waits for them."""
BAR_FORMATS = frozenset({BARS, DAILY_BARS})
ON_BROKER_CLOCK = BAR_FORMATS | {"mt5"}
"""Formats that MT5 writes: their times are of the broker's clock, the others' of UTC."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose beginning was found sound.

    `body` is the place and number of its first data line, `first_msc` the time of its first tick, `length_ms` that of
    a bar (0 for ticks), `point` the price of a point of its symbol.
    """

    path: Path
    format: str
    digest: str
    first_msc: int
    body: tuple[int, int]
    length_ms: int
    point: float

    @property
    def on_broker_clock(self) -> bool:
        """Whether its times are of the broker's clock already."""
        return self.format in ON_BROKER_CLOCK

    @property
    def start(self) -> Place:
        """The place in front of its first tick."""
        return Place(*self.body, NOTHING)

    def ticks(self, place: Place) -> Generator[Tick, None, None]:
        """Stream the ticks behind a place. Raises TickFileError at the first line that is malformed."""
        if self.format in BAR_FORMATS:
            return bar_ticks(self.path, self.format, place, self.length_ms, self.point)
        return tickfile.ticks(self.path, self.format, place)


def _detect(path: Path, stream: BinaryIO) -> tuple[str, int, int]:
    """The format by the first line, and the offset and number of lines of what stands before the data."""
    first = stream.readline(MAX_LINE_BYTES)
    mark = len(BYTE_ORDER_MARK) if first.startswith(BYTE_ORDER_MARK) else 0
    text = first[mark:].strip()
    if text == MT5_HEADER:
        return "mt5", len(first), 1
    if text == MT5_BARS_HEADER:
        return BARS, len(first), 1
    if text == MT5_DAILY_HEADER:
        return DAILY_BARS, len(first), 1
    if HISTDATA.fullmatch(text):
        return "histdata", mark, 0
    if re.fullmatch(rb"[A-Za-z][\w .]*,\s*bid\s*,\s*ask", text, re.IGNORECASE):
        return "plain", len(first), 1
    if PLAIN.fullmatch(text):
        return "plain", mark, 0
    raise line_error(
        path,
        1,
        first,
        "HistData (YYYYMMDD HHMMSSmmm,bid,ask,volume), an MT5 export of ticks (<DATE> <TIME> <BID> <ASK> <LAST> "
        "<VOLUME> <FLAGS>, tab separated) or bars (<DATE> <TIME> <OPEN> <HIGH> <LOW> <CLOSE> <TICKVOL> <VOL> <SPREAD>) "
        "or plain timestamp,bid,ask",
    )


def inspect(path: Path, point: float) -> Source:
    """Say what a file is. Raises TickFileError when it cannot be replayed from its beginning."""
    try:
        with path.open("rb") as stream:
            form, *body = _detect(path, stream)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        place = (body[0], body[1])
        length_ms = bar_length_ms(path, form, place) if form in BAR_FORMATS else 0
        source = Source(path, form, digest, 0, place, length_ms, point)
        stream_of_ticks = source.ticks(source.start)
        first = next(stream_of_ticks, None)
        for _ in islice(stream_of_ticks, CHECKED_TICKS):
            """Reading is the check: a malformed line raises."""
        stream_of_ticks.close()
    except OSError as error:
        raise TickFileError(f"{path}: cannot be read: {error.strerror}") from error
    if first is None:
        raise TickFileError(f"{path}: holds no tick; expected at least one line with prices")
    return Source(path, form, digest, first[2][0], place, length_ms, point)
