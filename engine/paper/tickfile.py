"""Files of ticks: which format, what a line says, and whether the whole file is sound.

In: a file in HistData's format, MT5's tick export, or plain `timestamp,bid,ask`. Out: (time_msc, bid, ask) per line,
streamed with flat memory. A malformed line raises TickFileError with file, line, what was found and what was
expected; nothing is repaired and nothing is skipped but blank lines and MT5 lines before both prices are known.
"""

import hashlib
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from engine.paper.market import MarketError

MAX_LINE_BYTES = 512
EST_TO_UTC_MS = 5 * 3_600_000
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - broker clocks have no zone
MILLISECONDS_FROM = 100_000_000_000
"""An epoch number from here on is in milliseconds: as seconds it would be the year 5138."""
MT5_HEADER = b"<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_HISTDATA = re.compile(rb"(\d{8} \d{4})([0-5]\d{4}),(\d+\.?\d*),(\d+\.?\d*),\d+\.?\d*")
_MT5_TICK = re.compile(
    rb"(\d{4}\.\d{2}\.\d{2}\t\d{2}:\d{2}):([0-5]\d)(?:\.(\d{3}))?\t(\d*\.?\d*)\t(\d*\.?\d*)(?:\t[\d.]*){3}"
)
_PLAIN = re.compile(rb"([^,]{4,40}),(\d+\.?\d*),(\d+\.?\d*)")
_EPOCH_NUMBER = re.compile(r"\d{9,13}(?:\.\d{1,9})?")


class TickFileError(MarketError):
    """A file that cannot be replayed."""


class Prices(NamedTuple):
    """What is known at one place of a file; `time_msc` is of the broker's clock, which is UTC where it is not MT5's."""

    time_msc: int
    bid: float
    ask: float


class _Malformed(Exception):
    """A line that is not what it should be; the argument says what was expected."""


_INFINITE = float("inf")
NOTHING = Prices(-(2**62), 0.0, 0.0)
Parser = Callable[[bytes, Prices], Prices]


class _Minutes:
    """The start of a written minute in milliseconds. Ticks come minute by minute, so the last one is kept."""

    def __init__(self, form: str) -> None:
        self._form = form
        self._text = b""
        self._start = 0

    def __call__(self, text: bytes) -> int:
        if text != self._text:
            try:
                moment = datetime.strptime(text.decode(), self._form)  # noqa: DTZ007
            except ValueError as error:
                raise _Malformed("a day and a time of day that exist") from error
            self._start = (moment - EPOCH) // timedelta(milliseconds=1)
            self._text = text
        return self._start


def _histdata() -> Parser:
    minutes = _Minutes("%Y%m%d %H%M")

    def parse(line: bytes, _before: Prices) -> Prices:
        match = _HISTDATA.fullmatch(line)
        if match is None:
            raise _Malformed("YYYYMMDD HHMMSSmmm,bid,ask,volume")
        minute, millisecond, bid, ask = match.groups()
        return Prices(minutes(minute) + int(millisecond) + EST_TO_UTC_MS, float(bid), float(ask))

    return parse


def _mt5() -> Parser:
    minutes = _Minutes("%Y.%m.%d\t%H:%M")

    def parse(line: bytes, before: Prices) -> Prices:
        match = _MT5_TICK.fullmatch(line)
        if match is None:
            raise _Malformed("tab separated YYYY.MM.DD, HH:MM:SS.mmm, bid, ask, last, volume, flags")
        minute, second, millisecond, bid, ask = match.groups()
        time_msc = minutes(minute) + int(second) * 1000 + int(millisecond or b"0")
        return Prices(time_msc, _price(bid, before.bid), _price(ask, before.ask))

    return parse


def _price(text: bytes, unchanged: float) -> float:
    if not text:
        return unchanged
    try:
        price = float(text)
    except ValueError as error:
        raise _Malformed("a price, or nothing where it is unchanged") from error
    if not price:
        raise _Malformed("a price above 0, or nothing where it is unchanged")
    return price


def _plain_time(text: str) -> int:
    if _EPOCH_NUMBER.fullmatch(text):
        number = float(text)
        return round(number if number >= MILLISECONDS_FROM else number * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _Malformed("a time as ISO 8601 (no zone: UTC) or as epoch seconds or milliseconds") from error
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _plain() -> Parser:
    def parse(line: bytes, _before: Prices) -> Prices:
        match = _PLAIN.fullmatch(line)
        if match is None:
            raise _Malformed("timestamp,bid,ask")
        stamp, bid, ask = match.groups()
        return Prices(_plain_time(stamp.decode("utf-8", "replace").strip()), float(bid), float(ask))

    return parse


PARSERS: dict[str, Callable[[], Parser]] = {"histdata": _histdata, "mt5": _mt5, "plain": _plain}


@dataclass(frozen=True, slots=True)
class TickFile:
    """A file that was read from end to end and found sound. `body` is the place and number of its first data line."""

    path: Path
    format: str
    digest: str
    ticks: int
    first_msc: int
    last_msc: int
    body: tuple[int, int]


class Place(NamedTuple):
    """A place in a file: byte offset and line behind the tick, and the prices there (MT5 lines build on them)."""

    offset: int
    line: int
    prices: Prices

    def as_json(self) -> dict[str, Any]:
        """The place as JSON."""
        return {"offset": self.offset, "line": self.line, "prices": list(self.prices)}


def _error(path: Path, line: int, found: bytes, expected: str) -> TickFileError:
    shown = found.rstrip(b"\r\n")[:80].decode("utf-8", "replace")
    return TickFileError(f"{path}, line {line}: found {shown!r}, expected {expected}")


def ticks(file: Path, form: str, start: Place) -> Generator[Place, None, None]:
    """Stream the ticks behind a place. Raises TickFileError at the first line that is malformed."""
    parse = PARSERS[form]()
    may_lack_a_side = form == "mt5"
    offset, line, before = start
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
                    raise _Malformed(f"a line shorter than {MAX_LINE_BYTES} bytes")
                now = parse(text, before)
                time_msc, bid, ask = now
                if time_msc < before[0]:
                    raise _Malformed("a time not before the line above")
                if not 0 < bid <= ask < _INFINITE:
                    if may_lack_a_side and not (bid and ask):
                        before = now
                        continue
                    raise _Malformed("prices above 0 and finite, the bid not above the ask")
            except _Malformed as problem:
                raise _error(file, line, raw, str(problem)) from problem
            before = now
            yield Place(offset, line, now)


def _detect(path: Path, stream: BinaryIO) -> tuple[str, int, int]:
    """The format by the first lines, and the offset and number of lines of what stands before the data."""
    first = stream.readline(MAX_LINE_BYTES)
    mark = len(BYTE_ORDER_MARK) if first.startswith(BYTE_ORDER_MARK) else 0
    text = first[mark:].strip()
    if text == MT5_HEADER:
        return "mt5", len(first), 1
    if _HISTDATA.fullmatch(text):
        return "histdata", mark, 0
    if re.fullmatch(rb"[A-Za-z][\w .]*,\s*bid\s*,\s*ask", text, re.IGNORECASE):
        return "plain", len(first), 1
    if _PLAIN.fullmatch(text):
        return "plain", mark, 0
    raise _error(
        path,
        1,
        first,
        "HistData (YYYYMMDD HHMMSSmmm,bid,ask,volume), an MT5 tick export (<DATE> <TIME> <BID> <ASK> <LAST> <VOLUME> "
        "<FLAGS>, tab separated) or plain timestamp,bid,ask",
    )


def inspect(path: Path) -> TickFile:
    """Read the whole file once and say what it is. Raises TickFileError when anything in it is wrong."""
    try:
        with path.open("rb") as stream:
            form, offset, line = _detect(path, stream)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        count, first_msc, last_msc = 0, 0, 0
        for place in ticks(path, form, Place(offset, line, NOTHING)):
            if not count:
                first_msc = place.prices.time_msc
            count += 1
            last_msc = place.prices.time_msc
    except OSError as error:
        raise TickFileError(f"{path}: cannot be read: {error.strerror}") from error
    if not count:
        raise TickFileError(f"{path}: holds no tick; expected at least one line with bid and ask")
    return TickFile(path, form, digest, count, first_msc, last_msc, (offset, line))
