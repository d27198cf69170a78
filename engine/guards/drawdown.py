"""The drawdown guard: how far equity has fallen from its highest, and the limit at which everything is closed.

`evaluate` is pure arithmetic on one reading and the state before it. `DrawdownGuard` is the thin shell that reads,
evaluates, has the flatten done, and raises. Only a VALID reading moves the peak or trips; a breach that the positions
bear out trips at once, one that they do not must be seen in 3 readings over at least 300 ms.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from engine.guards.base import Verdict
from engine.guards.rehearsal import EQUITY, facts
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


def flow_effect(amount: float, equity: float) -> tuple[float, float]:
    """What a cash flow does to an equity from which losses are measured in percent: times the first, plus the second.

    It is scaled as the equity was, so that the drawdown in percent stays as it is; where there is no equity to scale
    by, it is shifted. `equity` is the one after the flow. Raises ValueError for what is not finite.
    """
    if not (math.isfinite(amount) and math.isfinite(equity)):
        raise ValueError(f"a cash flow of {amount} to an equity of {equity}: both must be finite")
    before = equity - amount
    return (equity / before, 0.0) if before > 0 and equity > 0 else (1.0, amount)


def after_cash_flow(state: DrawdownState, amount: float, equity: float) -> DrawdownState:
    """Money came (amount > 0) or went without a trade; `equity` is the one after it. Account currency.

    Neither profit nor drawdown: of a peak of 10,000 and an equity of 9,000, a withdrawal of 5,000 leaves 10 %. Raises
    ValueError for what is not finite.
    """
    factor, shift = flow_effect(amount, equity)
    return replace(state, peak=state.peak * factor + shift, equity=equity)


def evaluate(reading: AccountReading, state: DrawdownState) -> DrawdownState:
    """Judge one reading. A reading that is not VALID changes nothing: not the peak, not the verdict, not its age."""
    if reading.validity is not Validity.VALID:
        return state
    equity = reading.equity_for_limit
    peak = max(state.peak, reading.equity_for_peak)
    seen = replace(state, peak=peak, equity=equity, evaluated_at=reading.at, breaches=0, breach_since=0.0)
    if equity > seen.floor:
        warned = seen.percent >= state.warn_at * state.limit_percent
        return replace(seen, verdict=Verdict.WARN if warned else Verdict.CLEAR)
    if reading.bears_out(seen.floor):
        return replace(seen, verdict=Verdict.FLATTEN)
    since = state.breach_since if state.breaches else reading.at
    breaches = state.breaches + 1
    confirmed = breaches >= CONFIRMING_READINGS and reading.at - since >= CONFIRMING_SECONDS
    verdict = Verdict.FLATTEN if confirmed else Verdict.BLOCK
    return replace(seen, verdict=verdict, breaches=breaches, breach_since=since)


def self_test(state: DrawdownState) -> str | None:
    """Whether a guard with this limit trips where it must, on readings made up for it: what is wrong, or None."""
    begun = replace(state, peak=EQUITY, equity=EQUITY, verdict=Verdict.CLEAR, breaches=0)
    for equity, right in ((EQUITY, Verdict.CLEAR), (begun.floor, Verdict.FLATTEN)):
        said = evaluate(facts(equity).reading, begun).verdict
        if said is not right:
            return f"at an equity of {equity:.2f} after {EQUITY:.2f} it says {said}, not {right}"
    return None


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
