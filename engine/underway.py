"""Openings that were sent and that no reading shows yet: guards count them as if they were held.

In: what is about to be sent, how it ended, readings. Out: entries. Without this a second opening, sent before the next
reading, would be judged as if the first were not there.
"""

from collections.abc import Callable, Iterable

from engine.broker.base import Order, Position
from engine.clock import Clock
from engine.guards.base import Entry
from engine.signals import Intent, Signal, SignalState, is_ours

_LINGER_SECONDS = 5.0
"""How long one that was filled is counted without being seen: then it was closed again before any reading."""


class Underway:
    """What is on its way to the broker.

    `tell` hears of every send before it goes out; `open_signals` are those to which something is still to happen.
    """

    def __init__(
        self, clock: Clock, *, tell: Callable[[Entry], None], open_signals: Callable[[], Iterable[Signal]]
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._open_signals = open_signals
        self._entries: dict[int, Entry] = {}
        self._sent_at: dict[int, float] = {}
        self._ended_at: dict[int, float] = {}

    def restore(self, signals: Iterable[Signal]) -> None:
        """After a restart: what was in flight may be at the broker."""
        for signal in signals:
            if signal.intent is not None:
                self._keep(signal.intent, signal.intent.price or signal.entry)

    def sent(self, intent: Intent, price: float) -> None:
        """It is about to be sent, at the price that is expected."""
        self._tell(self._keep(intent, price))

    def ended(self, signal: Signal) -> None:
        """How executing it ended: what failed is at the broker no more."""
        if signal.state is SignalState.FAILED:
            self._entries.pop(signal.magic, None)

    def _keep(self, intent: Intent, price: float) -> Entry:
        entry = Entry(intent.magic, intent.symbol, intent.side, intent.volume, price, intent.sl)
        self._entries[intent.magic] = entry
        self._sent_at[intent.magic] = self._clock.monotonic()
        return entry

    def look(
        self, positions: tuple[Position, ...] | None, orders: tuple[Order, ...] | None, asked_at: float
    ) -> tuple[Entry, ...]:
        """Those that a look at the broker, asked for at `asked_at` (monotonic), does not show."""
        if not self._entries:
            return ()
        magics = (*(item.magic for item in positions or ()), *(item.magic for item in orders or ()))
        shown = set(filter(is_ours, magics))
        now = self._clock.monotonic()
        still_open = {signal.magic for signal in self._open_signals()}
        for magic in list(self._entries):
            if magic not in still_open:
                self._ended_at.setdefault(magic, now)
            seen = magic in shown and asked_at >= self._sent_at[magic]
            if seen or now - self._ended_at.get(magic, now) > _LINGER_SECONDS:
                del self._entries[magic]
        for kept in (self._sent_at, self._ended_at):
            for magic in [magic for magic in kept if magic not in self._entries]:
                del kept[magic]
        return tuple(self._entries.values())
