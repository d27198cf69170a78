"""Bar exports of MT5: what a line says, and the four ticks that stand for a bar.

In: a tab separated file with the header <DATE> <TIME> <OPEN> <HIGH> <LOW> <CLOSE> <TICKVOL> <VOL> <SPREAD> (daily bars
have no <TIME>). Out: per bar the open, the nearer of high and low, the other one and the close, a quarter of the bar
apart, as bids; the ask is the bar's spread above. Streamed with flat memory.
"""

import re
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from engine.paper.tickfile import (
    END_OF_TIMES,
    INFINITE,
    MAX_LINE_BYTES,
    Malformed,
    Minutes,
    Place,
    Tick,
    line_error,
    time_error,
)

MT5_BARS_HEADER = b"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"
MT5_DAILY_HEADER = MT5_BARS_HEADER.replace(b"\t<TIME>", b"")
BARS = "bars"
DAILY_BARS = "daily bars"
PARTS = 4
LINES_FOR_LENGTH = 1000
DAY_MS = 86_400_000

_NUMBER = rb"(\d+\.?\d*)"
_COLUMNS = (rb"\t" + _NUMBER) * 4 + rb"\t\d+\t\d+\.?\d*\t(\d{1,9})"
_BAR = re.compile(rb"(\d{4}\.\d{2}\.\d{2}\t\d{2}:\d{2})(?::00)?" + _COLUMNS)
_DAILY_BAR = re.compile(rb"(\d{4}\.\d{2}\.\d{2})" + _COLUMNS)
_PRICES = "open, high, low, close, tick volume, volume, spread in points"
EXPECTED = f"tab separated YYYY.MM.DD, HH:MM:00, {_PRICES}"
EXPECTED_DAILY = f"tab separated YYYY.MM.DD, {_PRICES}"


class Bar(NamedTuple):
    """One line. `time_msc` is the bar's opening on the broker's clock, `spread` is in points."""

    time_msc: int
    open: float
    high: float
    low: float
    close: float
    spread: int

    def path(self) -> tuple[float, float, float, float]:
        """The prices a bar has gone through: the nearer of high and low to the open comes first."""
        up_first = self.high - self.open <= self.open - self.low
        first, second = (self.high, self.low) if up_first else (self.low, self.high)
        return self.open, first, second, self.close


class _Reader:
    """Reads the lines of one form of file."""

    def __init__(self, form: str) -> None:
        daily = form == DAILY_BARS
        self._moment = Minutes("%Y.%m.%d" if daily else "%Y.%m.%d\t%H:%M")
        self._line = _DAILY_BAR if daily else _BAR
        self._expected = EXPECTED_DAILY if daily else EXPECTED

    def __call__(self, line: bytes) -> Bar:
        match = self._line.fullmatch(line)
        if match is None:
            raise Malformed(self._expected)
        stamp, opened, high, low, closed, spread = match.groups()
        moment = self._moment(stamp)
        if not 0 <= moment < END_OF_TIMES:
            raise time_error(moment)
        bar = Bar(moment, float(opened), float(high), float(low), float(closed), int(spread))
        if not 0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high < INFINITE:
            raise Malformed("prices above 0 and finite, open and close between low and high")
        return bar


def _lines(
    file: Path, form: str, offset: int, line: int, length_ms: int = 1, earliest: int = 0
) -> Generator[tuple[int, int, bytes, Bar], None, None]:
    """Bars from a place: offset and line number in front of each, its text, itself.

    They open `length_ms` or more after each other, the first not before `earliest`.
    """
    read, above = _Reader(form), earliest - length_ms
    with file.open("rb") as stream:
        stream.seek(offset)
        while raw := stream.readline(MAX_LINE_BYTES):
            text = raw.rstrip(b"\r\n")
            if text and not text.isspace():
                try:
                    if len(raw) == MAX_LINE_BYTES:
                        raise Malformed(f"a line shorter than {MAX_LINE_BYTES} bytes")
                    bar = read(text)
                    if bar.time_msc <= above:
                        raise Malformed("a time after the line above")
                    if bar.time_msc < above + length_ms:
                        raise Malformed(
                            f"a bar that opens {length_ms // 60_000} minutes or more after the line above, "
                            f"as those of the first {LINES_FOR_LENGTH:,} lines do"
                        )
                except Malformed as problem:
                    raise line_error(file, line + 1, raw, str(problem)) from problem
                above = bar.time_msc
                yield offset, line, raw, bar
            offset += len(raw)
            line += 1


def bar_length_ms(file: Path, form: str, body: tuple[int, int]) -> int:
    """The least distance of two bars among the first lines of a file; a single bar is taken for a minute's."""
    shortest = DAY_MS * 31
    before: int | None = None
    for count, (_, _, _, bar) in enumerate(_lines(file, form, *body)):
        if before is not None:
            shortest = min(shortest, bar.time_msc - before)
        before = bar.time_msc
        if count >= LINES_FOR_LENGTH:
            break
    return shortest if shortest < DAY_MS * 31 else 60_000


def bar_ticks(file: Path, form: str, start: Place, length_ms: int, point: float) -> Generator[Tick, None, None]:
    """Stream the ticks behind a place; `point` is the price of a point. Raises TickFileError at a malformed line."""
    given = start.part
    # Inside a bar its own line is read again; behind one, the next opens when its length is over.
    last_part_ms = (PARTS - 1) * length_ms // PARTS
    earliest = 0 if given else max(0, start.prices[0] - last_part_ms + length_ms)
    for offset, line, raw, bar in _lines(file, form, start.offset, start.line, length_ms, earliest):
        for part, bid in enumerate(bar.path()):
            if part < given:
                continue
            prices = (bar.time_msc + part * length_ms // PARTS, bid, bid + bar.spread * point)
            if part + 1 < PARTS:
                yield offset, line, prices, part + 1
            else:
                yield offset + len(raw), line + 1, prices, 0
        given = 0
