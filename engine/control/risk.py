"""The control API's words about guards: how each stands, what tripped, and what an operator may decide about them.

Money is in the account's currency, percent from 0 to 100, times in UTC, ages in seconds.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from engine.control.wire import Wire

VerdictWord = Literal["CLEAR", "WARN", "BLOCK", "FLATTEN"]


class LockView(Wire):
    """Why a guard keeps entries blocked after its breach is over. `until` None: until an operator unlocks it."""

    since: datetime
    until: datetime | None
    reason: str


class GuardView(Wire):
    """One guard: `value` against `limit`, in `unit`.

    `used` is the share of the limit that is used up (1: at the limit), `warn_at` the share from which it warns.
    `floor` is the equity at which it trips, `headroom` the money left before that and `headroom_percent` the same in
    percent of the equity; all None where equity does not decide.
    """

    name: str
    action: str
    verdict: VerdictWord
    unit: Literal["money", "percent", "lots", "count", "points", "time"]
    value: float
    limit: float
    used: float
    warn_at: float | None
    floor: float | None
    headroom: float | None
    headroom_percent: float | None
    said: str
    """What it found, in words; or the error because of which it blocks."""
    evaluated_age_seconds: float | None
    """Since it last judged a valid reading; None before the first."""
    lock: LockView | None = None
    lifts_at: datetime | None = None
    """When its breach ends by itself, where time alone decides, as a cool-down or a closed session."""
    failed: bool = False
    """It raised instead of judging: entries are blocked."""


class TripView(Wire):
    """What last closed everything: which guard, when, at which reading."""

    guard: str
    at: datetime
    equity: float
    floor: float | None
    said: str
    breached: bool
    """Whether the same guard is still breached: then a reset that keeps its baseline is refused."""


class FundsView(Wire):
    """A step of the balance that no deal explains. `provisional`: guards go on with unchanged headroom meanwhile."""

    amount: float
    since: datetime
    provisional: bool


class RiskView(Wire):
    """Everything about guards that a console shows. `guards`: the drawdown guard first."""

    guards: list[GuardView] = []
    market_time: datetime | None = None
    """Now by the market's time, UTC, which locks and breaches end by: of a replay, its own. None: no quote came yet."""
    trip: TripView | None = None
    funds: FundsView | None = None
    loosened: list[str] = []
    """What the profile now says less strictly than what is in force: refused until a reset, or a start with nothing
    open or locked."""
    bases_wanted: list[str] = []
    """Why an operator must say what the guards measure from before entries resume; empty when nothing is wanted."""


class Reset(Wire):
    """Lift the halt: HALTED to PAUSED. Refused unless flat; needs a reason, and on a live account its number.

    `present`: peaks begin again at the present equity, except those of a firm's rule. `keep`: they stay; refused
    while the guard that tripped is still breached.
    """

    kind: Literal["reset"] = "reset"
    baseline: Literal["present", "keep"] = "present"
    account: int | None = None


class Unlock(Wire):
    """Lift a guard's lock that waits for an operator. Needs a reason. A lock with an end is waited for."""

    kind: Literal["unlock"] = "unlock"
    guard: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class SetBases(Wire):
    """Say what the guards measure from. Needs a reason. What is None stays as it is."""

    kind: Literal["set_bases"] = "set_bases"
    initial: Annotated[float, Field(gt=0)] | None = None
    highest_equity: Annotated[float, Field(gt=0)] | None = None
    highest_close: Annotated[float, Field(gt=0)] | None = None
    """The highest balance at a day's end."""
    day_start_balance: Annotated[float, Field(gt=0)] | None = None
    day_start_equity: Annotated[float, Field(gt=0)] | None = None


class SettleFunds(Wire):
    """Say what an unexplained step of the balance was. Needs a reason.

    `cash flow`: the baselines stay where they have been put; `result`: it was profit or loss after all.
    """

    kind: Literal["settle_funds"] = "settle_funds"
    what: Literal["cash flow", "result"]
