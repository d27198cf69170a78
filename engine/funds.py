"""The ledger of an account's funds (balance + credit): which part of them its deals explain.

    deals -> explained          funds of a reading - explained - held = unexplained: a step without a deal (yet)

In: the funds of valid readings. Out: the state that tells cash flows from results; what becomes of deals and of time is
in `cashflows.py`. Pure: no broker, no clock. The state must be kept together with the guards' memory, in one write: a
flow that is counted in one of them only would be shifted twice or never.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from engine.broker.base import Deal
from engine.broker.codes import DealType

OVERLAP_SECONDS = 7200
"""How far behind the newest deal others are looked for: they come late, and the broker's clock is put back an hour in
autumn, so that newer deals bear older times."""
LEVELS_SECONDS = 10.0
"""How long a reading's funds are remembered, for deals that come later than their money."""

FLOWS = frozenset({DealType.BALANCE, DealType.CREDIT, DealType.CHARGE, DealType.CORRECTION, DealType.BONUS})
"""Deals that are neither profit nor loss (reference/mt5.md 1.1 and 4; field.md, failure 10). Every other type that
`engine/broker/mt5.py` knows is a result; one that it does not know is left to the operator."""

_TYPES = frozenset(DealType)
_ROUNDINGS = 3
"""So many halves of the smallest unit of money may lie between deals and funds: the broker rounds each amount."""
_EXTRA_DIGITS = 4

HeldAs = Literal["provisional", "cash flow", "result"]


@dataclass(frozen=True, slots=True)
class Counted:
    """What a deal was counted as: a flow or a result, of this amount (0.0: none that could be counted)."""

    time_msc: int
    amount: float
    flow: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A step that is accounted for without a deal: provisionally as a cash flow, or as an operator said.

    `equity` is the one after the step, with which the baselines were shifted, so that the shift can be undone exactly.
    """

    kind: HeldAs
    amount: float
    equity: float

    @property
    def shifted(self) -> bool:
        """Whether the baselines have been shifted by it."""
        return self.kind != "result"


@dataclass(frozen=True, slots=True)
class Seen:
    """What readings and looks at the deals have shown in this run; times in monotonic seconds, so it is not kept.

    `levels` are the funds of the last readings, each with the time it was first seen; `since` is when the step that is
    not explained was first seen; `looked_at` when the last look was asked for. `deals_since`: deals were counted since
    the funds last agreed, so that a rounding between them may be taken over. `expected` is the equity as it would be
    if every flow that was counted were in the balance, and nothing else had come or gone without a trade.
    """

    at: float
    funds: float
    floating: float
    levels: tuple[tuple[float, float], ...]
    expected: float
    since: float | None = None
    looked_at: float = -math.inf
    deals_since: bool = False


@dataclass(frozen=True, slots=True)
class FundsState:
    """The ledger of one account. Money in account currency, `newest` in seconds of the broker's clock.

    `explained` is the funds at the beginning and the deals since; `counted` are the deals of the last
    OVERLAP_SECONDS before the newest one, by ticket. What is older is taken as counted.
    """

    currency_digits: int
    explained: float
    newest: int
    counted: Mapping[int, Counted] = field(default_factory=dict)
    held: tuple[Held, ...] = ()
    seen: Seen | None = None

    @property
    def look_from(self) -> int:
        """From when on deals must be read, in seconds of the broker's clock."""
        return max(0, self.newest - OVERLAP_SECONDS)

    @property
    def tolerance(self) -> float:
        """How far deals and funds may be apart because of roundings."""
        return 0.5 * 10.0**-self.currency_digits * _ROUNDINGS

    @property
    def settled(self) -> float:
        """The funds that are accounted for: by deals, provisionally, or by an operator's word."""
        return self.money(self.explained + sum(item.amount for item in self.held))

    @property
    def unexplained(self) -> float:
        """The step of the last reading that nothing accounts for; 0.0 when there is none, or no reading."""
        return self._beyond(self.settled)

    @property
    def to_settle(self) -> float:
        """What an operator would settle: the step of the last reading and what is held provisionally."""
        return self.money(self.unexplained + self.provisional)

    @property
    def relief(self) -> float:
        """How much more than the equity is held against a limit, from 0.0: what may have been withdrawn, or is to come.

        Never more than what is missing, and only so far as it took equity along: when a position is closed at a loss
        the balance falls and the equity does not, and that loss is not hidden while its deal is late or unreadable.
        """
        if self.seen is None or self.unexplained >= 0:
            return 0.0
        missing = self.money(self.seen.expected - self.seen.funds - self.seen.floating)
        return min(max(0.0, missing), -self.unexplained)

    @property
    def undealt(self) -> float:
        """What deals alone do not explain of the last reading: held, or unexplained."""
        return self._beyond(self.explained)

    @property
    def provisional(self) -> float:
        """What is held as a cash flow until an operator settles it."""
        return self.money(sum(item.amount for item in self.held if item.kind == "provisional"))

    @property
    def equity(self) -> float:
        """The equity as it is once everything counted is in the balance, and without what nothing accounts for."""
        return self.money(self.settled + self.reading.floating)

    @property
    def reading(self) -> Seen:
        """What was last seen. Raises ValueError before the first reading of this run."""
        if self.seen is None:
            raise ValueError("no reading has been observed in this run yet")
        return self.seen

    def money(self, amount: float) -> float:
        """Free an amount of what binary fractions add to it."""
        return round(amount, self.currency_digits + _EXTRA_DIGITS)

    def same(self, one: float, other: float) -> bool:
        """Whether two amounts are equal but for roundings."""
        return abs(self.money(one - other)) <= self.tolerance

    def _beyond(self, known: float) -> float:
        if self.seen is None or self.same(self.seen.funds, known):
            return 0.0
        return self.money(self.seen.funds - known)

    def to_json(self) -> str:
        """What a restart must find again."""
        deals = [[ticket, made.time_msc, made.amount, made.flow] for ticket, made in sorted(self.counted.items())]
        kept = {"currency_digits": self.currency_digits, "explained": self.explained, "newest": self.newest}
        return json.dumps({**kept, "counted": deals, "held": [asdict(item) for item in self.held]}, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> "FundsState":
        """The ledger that `to_json` wrote. Raises ValueError when it is not one."""
        try:
            return _from_values(json.loads(text))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the stored funds cannot be read: {error!r}") from error


def begin(
    balance: float, credit: float, deals: Iterable[Deal], *, server_time: int, currency_digits: int
) -> FundsState:
    """A new account: what is there is settled, and `deals`, the last ones up to now, are taken as counted.

    Read the deals before and after the account, and begin when both times they are the same: else the money of one may
    be missing in the balance. `server_time`, in seconds of the broker's clock, stands for the newest deal where there
    is none. Raises ValueError.
    """
    state = FundsState(_digits(currency_digits), _funds(balance, credit), server_time)
    known = {deal.ticket: counted_as(state, deal)[0] for deal in deals}
    newest = max((made.time_msc // 1000 for made in known.values()), default=server_time)
    state = replace(state, explained=state.money(state.explained), newest=newest)
    return replace(state, counted=recent(known, state.look_from))


def observe(state: FundsState, balance: float, credit: float, equity: float, at: float) -> FundsState:
    """Take in a VALID reading that was asked for at `at` (monotonic seconds). Raises ValueError for another one."""
    funds = state.money(_funds(balance, credit))
    if not math.isfinite(equity):
        raise ValueError(f"an equity of {equity}: only valid readings may be observed")
    before = state.seen
    levels = before.levels if before is not None else ()
    if not levels or levels[-1][0] != funds:
        levels = (*levels, (funds, at))
    while len(levels) > 1 and levels[1][1] < at - LEVELS_SECONDS:
        levels = levels[1:]
    # What was missing when this run began may all be a withdrawal, until the deals have been looked at.
    expected = equity + max(0.0, state.settled - funds)
    seen = Seen(at, funds, equity - balance - credit, levels, expected)
    if before is not None:
        moved = equity - before.funds - before.floating
        by_trading = moved - common(funds - before.funds, moved)
        seen = replace(before, at=at, funds=funds, floating=seen.floating, levels=levels)
        seen = replace(seen, expected=before.expected + by_trading)
    return dated(replace(state, seen=seen))


def dated(state: FundsState) -> FundsState:
    """Say since when there has been a step: since the funds left the level that is accounted for.

    Deals come later than their money, so while one trade follows another they explain what the funds were just before.
    """
    seen, settled = state.reading, state.settled
    since = seen.at if seen.since is None else seen.since
    for place in range(len(seen.levels) - 1, -1, -1):
        if state.same(seen.levels[place][0], settled):
            if place == len(seen.levels) - 1:
                return _agreed(state)
            since = seen.levels[place + 1][1]
            break
    return replace(state, seen=replace(seen, since=since))


def _agreed(state: FundsState) -> FundsState:
    """Deals and funds agree: a rounding between them is not carried on to the next deals."""
    seen = state.reading
    explained = state.explained
    if seen.deals_since:
        explained = state.money(explained + seen.funds - state.settled)
    return replace(
        state,
        explained=explained,
        seen=replace(seen, expected=seen.funds + seen.floating, since=None, deals_since=False),
    )


def counted_as(state: FundsState, deal: Deal) -> tuple[Counted, str]:
    """What a deal counts as; when its money cannot be counted, as nothing, and why."""
    amount = deal.profit + deal.commission + deal.swap + deal.fee
    why = ""
    if not math.isfinite(amount):
        parts = f"profit {deal.profit}, commission {deal.commission}, swap {deal.swap}, fee {deal.fee}"
        why = f"deal {deal.ticket} is not counted: {parts} is no amount of money"
    elif deal.type not in _TYPES:
        why = (
            f"deal {deal.ticket} of {amount:.{state.currency_digits}f} is not counted: its type {deal.type} is unknown"
        )
    return Counted(deal.time_msc, 0.0 if why else state.money(amount), deal.type in FLOWS), why


def common(one: float, other: float) -> float:
    """What two amounts of the same sign have in common; 0.0 when their signs differ."""
    return math.copysign(min(abs(one), abs(other)), one) if one * other > 0 else 0.0


def recent(counted: Mapping[int, Counted], start: int) -> dict[int, Counted]:
    """The deals from `start` on, in seconds of the broker's clock."""
    return {ticket: made for ticket, made in counted.items() if made.time_msc // 1000 >= start}


def _funds(balance: float, credit: float) -> float:
    if not math.isfinite(balance + credit):
        raise ValueError(f"a balance of {balance} and a credit of {credit}: only valid readings may be observed")
    return balance + credit


def _from_values(values: dict[str, Any]) -> FundsState:
    if set(values) != {"currency_digits", "explained", "newest", "counted", "held"}:
        raise ValueError(f"it has the keys {sorted(values)}")
    counted = {
        _whole(ticket): Counted(_whole(time_msc), _money(amount), _flag(flow))
        for ticket, time_msc, amount, flow in values["counted"]
    }
    if len(counted) != len(values["counted"]):
        raise ValueError("a deal is in it twice")
    held = []
    for item in values["held"]:
        if set(item) != {"kind", "amount", "equity"} or item["kind"] not in get_args(HeldAs):
            raise ValueError(f"{item} is no step that is held")
        held.append(Held(item["kind"], _money(item["amount"]), _money(item["equity"])))
    return FundsState(
        _digits(values["currency_digits"]), _money(values["explained"]), _whole(values["newest"]), counted, tuple(held)
    )


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number from 0")
    return value


def _money(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no amount of money")
    return float(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _digits(value: Any) -> int:
    if not 0 <= _whole(value) <= 8:
        raise ValueError(f"a currency of {value} digits: expected 0 to 8")
    return int(value)
