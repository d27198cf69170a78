"""A seeded market: every minute of it is a pure function of the seed, the minute's number and its opening prices.

It starts on Monday 2026-01-05 at 08:00 of the broker's clock, is open from Monday 00:00 to Friday 23:59 and skips
the weekend with a gap. The symbols share the dollar's movement; a few times a day there is news, at which all of them
jump and their spreads explode for about a minute. Only IEEE addition, multiplication, division and square root are
used, so that the same seed gives the same ticks on every machine.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.paper.market import Instrument, MarketError, Quote, instrument

START_OF_WEEK = 1_767_571_200
"""Monday 2026-01-05 00:00 of the broker's clock, in epoch seconds."""
FIRST_MINUTE = 8 * 60
MINUTES_PER_WEEK = 5 * 24 * 60
MINUTE_MS = 60_000

# Ticks, movement and spread by the broker's hour (two hours ahead of London in winter): quiet in the night, two
# peaks when Europe and America open.
ACTIVITY = (
    0.30, 0.35, 0.50, 0.60, 0.55, 0.50, 0.50, 0.70, 1.00, 1.30, 1.60, 1.50,
    1.20, 1.10, 1.30, 1.70, 1.90, 1.80, 1.40, 1.00, 0.80, 0.60, 0.45, 0.30,
)  # fmt: skip
TICKS_PER_MINUTE = 130
SECOND_SHARE = math.sqrt(1 / 60)
PULL = 0.0001
"""Share of the distance to the anchor that a minute takes back: prices stay believable for ever."""


@dataclass(frozen=True, slots=True)
class Character:
    """How one symbol moves: anchor price, usual spread and one minute's movement, both in points.

    `dollar` is how much of the movement is the dollar's, from -1 to 1.
    """

    symbol: str
    anchor: float
    spread: float
    movement: float
    dollar: float = 0.0


CHARACTERS = (
    Character("EURUSD", 1.17200, 8.0, 11.0, 0.85),
    Character("GBPUSD", 1.34500, 12.0, 13.5, 0.8),
    Character("USDJPY", 156.800, 11.0, 18.0, -0.7),
)
NEWS_PER_MINUTE = 0.003
"""How likely news is in a minute of usual activity."""
NEWS_SECONDS = 12.0
"""After so long the spread has come half the way back."""


class _Tick(NamedTuple):
    offset_ms: int
    order: int
    bid_points: int
    ask_points: int


def _noise(stream: random.Random) -> float:
    """A bell-shaped number of mean 0 and variance 1, from four uniform ones: exact on every platform."""
    return (stream.random() + stream.random() + stream.random() + stream.random() - 2.0) * 1.7320508075688772


def _week_minute(minute: int) -> tuple[int, int]:
    return divmod(FIRST_MINUTE + minute, MINUTES_PER_WEEK)


def minute_start_msc(minute: int) -> int:
    """Broker time in milliseconds at which a trading minute begins."""
    week, within = _week_minute(minute)
    return (START_OF_WEEK + week * 7 * 86_400 + within * 60) * 1000


class News(NamedTuple):
    """What shakes all symbols: second of the minute, factor of the spread, and the dollar's jump in minutes' moves."""

    second: int
    spread: float
    jump: float


def news_in(seed: int, minute: int) -> News | None:
    """The news of a trading minute, if there is any."""
    stream = random.Random(f"{seed}:{minute}:news")  # noqa: S311
    activity = ACTIVITY[_week_minute(minute)[1] % 1440 // 60]
    if stream.random() >= NEWS_PER_MINUTE * activity:
        return None
    size = 3.0 + 5.0 * stream.random()
    return News(int(stream.random() * 60), 10.0 + 15.0 * stream.random(), size if stream.random() < 0.5 else -size)


class _Dollar:
    """What the symbols share in one minute: the dollar's path, second by second, and the news."""

    def __init__(self, seed: int, minute: int) -> None:
        stream = random.Random(f"{seed}:{minute}:dollar")  # noqa: S311
        self.gap = _noise(stream)
        self._news = news_in(seed, minute)
        self._last_news = news_in(seed, minute - 1) if minute else None
        self.path: list[float] = []
        level = 0.0
        for second in range(60):
            level += _noise(stream) * SECOND_SHARE
            if self._news is not None and second == self._news.second:
                level += self._news.jump
            self.path.append(level)

    def widening(self, offset_ms: int) -> float:
        """How much wider than usual the spreads are at a moment of the minute, as a factor to add."""
        total = 0.0
        for news, ago in ((self._news, 0), (self._last_news, 60)):
            if news is not None:
                seconds = offset_ms / 1000 + ago - news.second
                if seconds >= 0:
                    total += news.spread / (1.0 + (seconds / NEWS_SECONDS) * (seconds / NEWS_SECONDS))
        return total


def _rollover(day_minute: int) -> float:
    """How many times wider the spread is around midnight."""
    distance = min(day_minute, 1440 - day_minute)
    return 1.0 + max(0, 8 - distance) * 0.75


def _symbol_minute(
    seed: int, minute: int, opening: float, order: int, character: Character, unit: int, dollar: _Dollar
) -> tuple[list[_Tick], float]:
    """The ticks of one symbol in one minute and the mid price it ends with, in points."""
    stream = random.Random(f"{seed}:{minute}:{character.symbol}")  # noqa: S311
    mood = random.Random(f"{seed}:{minute // 20}:{character.symbol}:mood")  # noqa: S311
    week, within = _week_minute(minute)
    day_minute = within % 1440
    activity = ACTIVITY[day_minute // 60] * (0.6 + 0.8 * mood.random())
    mid = opening
    own = math.sqrt(1.0 - character.dollar * character.dollar)
    if within == 0 and week > 0:
        mid += (own * _noise(stream) + character.dollar * dollar.gap) * character.movement * 6.0
    count = max(6, int(TICKS_PER_MINUTE * activity * (0.7 + 0.6 * stream.random())))
    drift = (character.anchor * unit - mid) * PULL / count
    movement = character.movement * math.sqrt(activity) * (0.7 + 0.6 * mood.random())
    step = own * movement / math.sqrt(count)
    shared = character.dollar * movement
    level = 0.0
    jump_at = int(stream.random() * count) if stream.random() < 0.004 * activity else -1
    wide_at = int(stream.random() * count) if stream.random() < 0.02 else -1
    usual = character.spread * _rollover(day_minute) * (1.4 - 0.2 * min(activity, 2.0))
    widening = 0.0
    offsets = sorted(int(stream.random() * MINUTE_MS) for _ in range(count))
    if minute == 0:
        offsets[0] = 0
    ticks: list[_Tick] = []
    last = (0, 0)
    for place, offset in enumerate(offsets):
        now = dollar.path[offset // 1000]
        mid += drift + step * _noise(stream) + shared * (now - level)
        level = now
        if place == jump_at:
            mid += (1.0 if stream.random() < 0.5 else -1.0) * character.movement * (2.0 + 4.0 * stream.random())
            widening = 4.0
        if place == wide_at:
            widening = max(widening, 1.5 + 2.0 * stream.random())
        spread = max(1, int(usual * (0.8 + 0.4 * stream.random() + widening + dollar.widening(offset))))
        widening *= 0.93
        bid = round(mid - spread / 2)
        if (bid, spread) != last:
            ticks.append(_Tick(offset, order, bid, bid + spread))
            last = (bid, spread)
    return ticks, mid + shared * (dollar.path[-1] - level)


class SyntheticMarket:
    """The default market of the paper terminal: EURUSD, GBPUSD and USDJPY of one seed.

    `main` names the symbol that is shown first; `instruments` gives the trading conditions of a symbol.
    """

    def __init__(
        self,
        seed: int,
        main: str | None = None,
        characters: Iterable[Character] = CHARACTERS,
        *,
        instruments: Callable[[str], Instrument] = instrument,
    ) -> None:
        self._characters = tuple(characters)
        names = [character.symbol for character in self._characters]
        if main is not None and main not in names:
            raise MarketError(
                f"symbol {main!r}: the synthetic market quotes {', '.join(names)}; a file may hold another"
            )
        self._seed = seed
        by_name = {name: instruments(name) for name in names}
        self._instruments = {name: by_name[name] for name in sorted(names, key=lambda name: name != main)}
        self._units = tuple(10 ** by_name[name].digits for name in names)
        openings = [
            character.anchor * unit * (0.99 + 0.02 * random.Random(f"{seed}:{character.symbol}:anchor").random())  # noqa: S311
            for character, unit in zip(self._characters, self._units, strict=True)
        ]
        self._enter(0, openings)

    @property
    def identity(self) -> str:
        """The seed."""
        return f"synthetic seed {self._seed}"

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols by name."""
        return self._instruments

    def _enter(self, minute: int, openings: list[float]) -> None:
        self._minute = minute
        self._openings = openings
        self._start_msc = minute_start_msc(minute)
        ticks: list[_Tick] = []
        self._closings: list[float] = []
        dollar = _Dollar(self._seed, minute)
        for order, character in enumerate(self._characters):
            more, closing = _symbol_minute(
                self._seed, minute, openings[order], order, character, self._units[order], dollar
            )
            ticks += more
            self._closings.append(closing)
        ticks.sort()
        self._ticks = ticks
        self._taken = 0

    def due_ms(self) -> int:
        """Milliseconds of open market from its start to the next tick. It never ends."""
        while self._taken >= len(self._ticks):
            self._enter(self._minute + 1, self._closings)
        return self._minute * MINUTE_MS + self._ticks[self._taken].offset_ms

    def take(self) -> Quote:
        """Return the next tick of any symbol."""
        self.due_ms()
        offset, order, bid, ask = self._ticks[self._taken]
        self._taken += 1
        unit = self._units[order]
        return Quote(self._characters[order].symbol, self._start_msc + offset, bid / unit, ask / unit)

    def position(self) -> dict[str, Any]:
        """Minute, ticks taken in it, and its opening prices."""
        return {"minute": self._minute, "taken": self._taken, "openings": self._openings}

    def resume(self, position: Mapping[str, Any]) -> None:
        """Make the minute anew and go behind the ticks that were taken."""
        self._enter(position["minute"], list(position["openings"]))
        self._taken = position["taken"]

    def close(self) -> None:
        """Nothing is held."""
