"""Files of ticks: what a line says in each format.

In: a file in HistData's format, MT5's tick export, or plain `timestamp,bid,ask`. Out: (time_msc, bid, ask) per line,
streamed with flat memory. A malformed line raises TickFileError with file, line, what was found and what was
expected; nothing is repaired and nothing is skipped but blank lines and MT5 lines before both prices are known.
"""

import re
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from engine.paper.market import MarketError

MAX_LINE_BYTES = 512
EST_TO_UTC_MS = 5 * 3_600_000
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - broker clocks have no zone
MILLISECONDS_FROM = 100_000_000_000
"""An epoch number from here on is in milliseconds: as seconds it would be the year 5138."""
MT5_HEADER = b"<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

HISTDATA = re.compile(rb"(\d{8} \d{4})([0-5]\d{4}),(\d+\.?\d*),(\d+\.?\d*),\d+\.?\d*")
_MT5_TICK = re.compile(
    rb"(\d{4}\.\d{2}\.\d{2}\t\d{2}:\d{2}):([0-5]\d)(?:\.(\d{3}))?\t(\d*\.?\d*)\t(\d*\.?\d*)(?:\t[\d.]*){3}"
)
PLAIN = re.compile(rb"([^,]{4,40}),(\d+\.?\d*),(\d+\.?\d*)")
_EPOCH_NUMBER = re.compile(r"\d{9,13}(?:\.\d{1,9})?")


class TickFileError(MarketError):
    """A file that cannot be replayed."""


class Malformed(Exception):
    """A line that is not what it should be; the argument says what was expected."""


INFINITE = float("inf")
Prices = tuple[int, float, float]
"""What is known at one place of a file: time on the file's clock (UTC where it is not MT5's), bid, ask."""
NOTHING: Prices = (-(2**62), 0.0, 0.0)
END_OF_TIMES = 7_258_118_400_000
"""The year 2200 in milliseconds: a time from there on is a mistake."""
Parser = Callable[[bytes, Prices], Prices]


class Minutes:
    """The start of a written minute in milliseconds. Ticks come minute by minute, so the last one is kept."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._text = b""
        self._start = 0

    def __call__(self, text: bytes) -> int:
        """Raises Malformed for a day or time that does not exist."""
        if text != self._text:
            try:
                moment = datetime.strptime(text.decode(), self._form)  # noqa: DTZ007
            except ValueError as error:
                raise Malformed("a day and a time of day that exist") from error
            self._start = (moment - EPOCH) // timedelta(milliseconds=1)
            self._text = text
        return self._start


def _histdata() -> Parser:
    minutes = Minutes("%Y%m%d %H%M")

    def parse(line: bytes, _before: Prices) -> Prices:
        match = HISTDATA.fullmatch(line)
        if match is None:
            raise Malformed("YYYYMMDD HHMMSSmmm,bid,ask,volume")
        minute, millisecond, bid, ask = match.groups()
        return minutes(minute) + int(millisecond) + EST_TO_UTC_MS, float(bid), float(ask)

    return parse


def _mt5() -> Parser:
    minutes = Minutes("%Y.%m.%d\t%H:%M")

    def parse(line: bytes, before: Prices) -> Prices:
        match = _MT5_TICK.fullmatch(line)
        if match is None:
            raise Malformed("tab separated YYYY.MM.DD, HH:MM:SS.mmm, bid, ask, last, volume, flags")
        minute, second, millisecond, bid, ask = match.groups()
        time_msc = minutes(minute) + int(second) * 1000 + int(millisecond or b"0")
        return time_msc, _price(bid) if bid else before[1], _price(ask) if ask else before[2]

    return parse


def _price(text: bytes) -> float:
    try:
        price = float(text)
    except ValueError as error:
        raise Malformed("a price, or nothing where it is unchanged") from error
    if not price:
        raise Malformed("a price above 0, or nothing where it is unchanged")
    return price


def _plain_time(text: str) -> int:
    if _EPOCH_NUMBER.fullmatch(text):
        number = float(text)
        return round(number if number >= MILLISECONDS_FROM else number * 1000)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise Malformed("a time as ISO 8601 (no zone: UTC) or as epoch seconds or milliseconds") from error
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _plain() -> Parser:
    def parse(line: bytes, _before: Prices) -> Prices:
        match = PLAIN.fullmatch(line)
        if match is None:
            raise Malformed("timestamp,bid,ask")
        stamp, bid, ask = match.groups()
        return _plain_time(stamp.decode("utf-8", "replace").strip()), float(bid), float(ask)

    return parse


PARSERS: dict[str, Callable[[], Parser]] = {"histdata": _histdata, "mt5": _mt5, "plain": _plain}


class Place(NamedTuple):
    """A place in a file: byte offset and line behind the tick, and the prices there (MT5 lines build on them).

    `part` is how many ticks of the line at the offset have been given, where a line gives several.
    """

    offset: int
    line: int
    prices: Prices
    part: int = 0

    def as_json(self) -> list[Any]:
        """The place as JSON."""
        return [self.offset, self.line, list(self.prices), self.part]


def place_of(row: Sequence[Any]) -> Place:
    """The place that `as_json` wrote."""
    offset, line, prices, part = row
    time_msc, bid, ask = prices
    return Place(offset, line, (time_msc, bid, ask), part)


Tick = tuple[int, int, Prices, int]
"""The fields of the Place behind a tick: a stream of millions makes no object of each."""


def line_error(path: Path, line: int, found: bytes, expected: str) -> TickFileError:
    """The error of one line."""
    shown = found.rstrip(b"\r\n")[:80].decode("utf-8", "replace")
    return TickFileError(f"{path}, line {line}: found {shown!r}, expected {expected}")


def time_error(time_msc: int) -> Malformed:
    """What is wrong with a time that is before the last one or outside of all years."""
    in_years = 0 <= time_msc < END_OF_TIMES
    return Malformed("a time not before the line above" if in_years else "a time from the year 1970 to 2199")


def ticks(file: Path, form: str, start: Place) -> Generator[Tick, None, None]:
    """Stream the ticks behind a place. Raises TickFileError at the first line that is malformed."""
    parse = PARSERS[form]()
    may_lack_a_side = form == "mt5"
    offset, line, before, _ = start
    earliest = max(0, before[0])
    with file.open("rb") as stream:
        stream.seek(offset)
        while raw := stream.readline(MAX_LINE_BYTES):
            offset += len(raw)
            line += 1
            text = raw.rstrip(b"\r\n")
            if not text or text.isspace():
                continue
            try:
                if len(raw) == MAX_LINE_BYTES:
                    raise Malformed(f"a line shorter than {MAX_LINE_BYTES} bytes")
                now = parse(text, before)
                time_msc, bid, ask = now
                if not earliest <= time_msc < END_OF_TIMES:
                    raise time_error(time_msc)
                earliest = time_msc
                if not 0 < bid <= ask < INFINITE:
                    if may_lack_a_side and not (bid and ask):
                        before = now
                        continue
                    raise Malformed("prices above 0 and finite, the bid not above the ask")
            except Malformed as problem:
                raise line_error(file, line, raw, str(problem)) from problem
            before = now
            yield offset, line, now, 0
