"""The drawdown guard: how far equity has fallen from its highest, and the limit at which everything is closed.

`evaluate` is pure arithmetic on one reading and the state before it. `DrawdownGuard` is the thin shell that reads,
evaluates, has the flatten done, and raises. Only a VALID reading moves the peak or trips; a breach that the positions
bear out trips at once, one that they do not must be seen in 3 readings over at least 300 ms.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from engine.guards.base import Verdict
from engine.readings import AccountReading, Validity

CONFIRMING_READINGS = 3
CONFIRMING_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class DrawdownState:
    """The guard's memory and its last verdict. Money in account currency; percent from 0 to 100.

    `evaluated_at` is in monotonic seconds, None before the first valid reading. `breaches` counts consecutive valid
    readings at or below the floor that the positions did not bear out, since `breach_since`.
    """

    limit_percent: float
    warn_at: float
    peak: float
    equity: float
    verdict: Verdict = Verdict.CLEAR
    evaluated_at: float | None = None
    breaches: int = 0
    breach_since: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.limit_percent <= 99:
            raise ValueError(f"a drawdown limit of {self.limit_percent} %: it must be from 1 to 99")
        if not 0 < self.warn_at < 1:
            raise ValueError(f"warning at {self.warn_at} of the limit: it must be between 0 and 1")

    @property
    def percent(self) -> float:
        """Drawdown from the peak, percent; 0 at the peak."""
        return (self.peak - self.equity) / self.peak * 100 if self.peak > 0 else 0.0

    @property
    def floor(self) -> float:
        """The equity at which the guard trips."""
        return floor_of(self.peak, self.limit_percent)

    @property
    def headroom(self) -> float:
        """Money left before the guard trips; negative beyond the limit."""
        return self.equity - self.floor


class DrawdownCapExceededError(Exception):
    """The drawdown limit was reached and the flatten has reported."""

    def __init__(self, current_drawdown: float, maximum_drawdown: float, positions_closed: int) -> None:
        super().__init__(
            f"drawdown {current_drawdown:.2f} % reached the limit of {maximum_drawdown:.2f} %;"
            f" {positions_closed} positions closed"
        )
        self.current_drawdown = current_drawdown
        self.maximum_drawdown = maximum_drawdown
        self.positions_closed = positions_closed


def floor_of(peak: float, limit_percent: float) -> float:
    """The equity at which a limit trips. Rounded beyond any currency's digits, so that >= is decided by money."""
    return round(peak * (100 - limit_percent) / 100, 8)


def evaluate(reading: AccountReading, state: DrawdownState) -> DrawdownState:
    """Judge one reading. A reading that is not VALID changes nothing: not the peak, not the verdict, not its age."""
    if reading.validity is not Validity.VALID:
        return state
    equity = reading.equity
    peak = max(state.peak, equity)
    seen = replace(state, peak=peak, equity=equity, evaluated_at=reading.at, breaches=0, breach_since=0.0)
    if equity > seen.floor:
        warned = seen.percent >= state.warn_at * state.limit_percent
        return replace(seen, verdict=Verdict.WARN if warned else Verdict.CLEAR)
    borne_out = reading.equity_by_positions is not None and reading.equity_by_positions <= seen.floor
    if borne_out:
        return replace(seen, verdict=Verdict.FLATTEN)
    since = state.breach_since if state.breaches else reading.at
    breaches = state.breaches + 1
    confirmed = breaches >= CONFIRMING_READINGS and reading.at - since >= CONFIRMING_SECONDS
    verdict = Verdict.FLATTEN if confirmed else Verdict.BLOCK
    return replace(seen, verdict=verdict, breaches=breaches, breach_since=since)


class DrawdownGuard:
    """Reads, evaluates, and has everything closed at the limit.

    `read` returns the next reading. `flatten` closes everything and returns how many positions it closed once it has
    reported. The state is given in and handed out, so that whoever keeps the journal keeps it.
    """

    def __init__(
        self,
        state: DrawdownState,
        *,
        read: Callable[[], Awaitable[AccountReading]],
        flatten: Callable[[DrawdownState], Awaitable[int]],
    ) -> None:
        self.state = state
        self._read = read
        self._flatten = flatten

    async def check(self) -> DrawdownState:
        """Read once and evaluate; nothing is closed."""
        self.state = evaluate(await self._read(), self.state)
        return self.state

    async def enforce(self) -> None:
        """Have everything closed, then raise DrawdownCapExceededError with what the flatten reported."""
        tripped = self.state
        closed = await self._flatten(tripped)
        raise DrawdownCapExceededError(tripped.percent, tripped.limit_percent, closed)

    async def check_and_enforce(self) -> DrawdownState:
        """Read, evaluate and return the state; at the limit close everything and raise DrawdownCapExceededError."""
        state = await self.check()
        if state.verdict is Verdict.FLATTEN:
            await self.enforce()
        return state
