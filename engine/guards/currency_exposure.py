"""Exposure per currency: how much is held net in one currency, long or short, in account currency.

A buy of EURUSD holds its worth in EUR and owes it in USD. The account's own currency is not counted. Orders and
openings may be filled or not: each counts towards the side that it adds to and hedges nothing until it is a position.

A contract whose base currency is its profit currency (an index, a share) is counted once in it, and hedges nothing but
itself: financed by margin, its currency risk is its profit only, not its worth, so that it must not make room for a
position in the currency itself. Buys and sells of the same symbol are netted; what remains, long or short, is added to
the net of the currency pairs.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from engine.guards import rehearsal
from engine.guards.base import Action, Drill, Entry, Facts, Finding, Nothing
from engine.guards.findings import StatelessGuard, Unknown, not_known, share
from engine.guards.holdings import Holding, held, limit_of, notional, of_entry, spec_of
from engine.guards.settings import CurrencyExposureRule

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Leg:
    """What a holding adds to a currency: signed, account currency. `contract`: the symbol that it is netted in."""

    currency: str
    contract: str
    amount: Decimal


@dataclass(slots=True)
class _Span:
    """How far it may go either way: the certain net, with all orders that add to one side."""

    short: Decimal = _ZERO
    long: Decimal = _ZERO

    @property
    def worst(self) -> Decimal:
        return max(self.long, -self.short, _ZERO)

    def towards(self, sign: Decimal) -> Decimal:
        """How much it is on the side that `sign` adds to; below 0 when it lies on the other."""
        return self.long if sign > 0 else -self.short


_Spans = dict[tuple[str, str], _Span]


class CurrencyExposureGuard(StatelessGuard):
    """Refuses what adds to a currency beyond its limit; what lessens an exposure is let through.

    It breaks only when exposure cannot be known: a limit that is reached warns, since other currencies may be opened.
    An opening that would turn an exposure into one beyond the limit on the other side is refused too.
    """

    name = "currency exposure"
    action = Action.BLOCK

    def __init__(self, rule: CurrencyExposureRule) -> None:
        self._rule = rule

    def judge(self, memory: Nothing, facts: Facts) -> tuple[Nothing, Finding]:
        """Find the currency that is held most."""
        limit = self._limit(facts)
        try:
            spans = _spans(held(facts), facts)
        except Unknown as unknown:
            return memory, not_known(unknown, float(limit), "money")
        sums = {currency: _worst(spans, currency) for currency, _ in spans}
        currency, most = max(sums.items(), key=lambda item: item[1], default=("", _ZERO))
        used = share(float(most), float(limit))
        said = f"{most:.2f} of {limit:.2f} net in {currency}" if currency else "no currency is held"
        return memory, Finding(float(most), float(limit), "money", used, said, breached=False, warned=most >= limit)

    def refuses(self, memory: Nothing, facts: Facts, entry: Entry) -> str | None:
        """Whether a currency would be beyond the limit on the side that the opening adds to."""
        limit = self._limit(facts)
        try:
            spans = _spans(held(facts), facts)
            legs = _legs(of_entry(entry), facts)
        except Unknown as unknown:
            return f"the exposure cannot be known: {unknown}"
        for leg in legs:
            span = spans[leg.currency, leg.contract]
            side = span.towards(leg.amount) + abs(leg.amount)
            others = _worst(spans, leg.currency) - span.worst
            if side > 0 and side + others > limit:
                way = "long" if leg.amount > 0 else "short"
                return f"it would be {side + others:.2f} {way} in {leg.currency}; at most {limit:.2f}"
        return None

    def drill(self) -> Drill[Nothing]:
        """Half of the limit on nothing, then on the whole of it."""
        limit = float(self._limit(rehearsal.facts()))
        # A lot at 1.0 is worth 100,000.
        full = rehearsal.facts(positions=(rehearsal.position(volume=limit / 100_000),))
        return Drill(Nothing(), rehearsal.facts(), full, entry=rehearsal.entry(volume=limit / 200_000))

    def _limit(self, facts: Facts) -> Decimal:
        return limit_of(facts, self._rule.percent, self._rule.money)


def _legs(holding: Holding, facts: Facts) -> tuple[_Leg, ...]:
    """What it adds to each currency but the account's own. Raises Unknown when a currency is not known."""
    account, spec = facts.reading.account, spec_of(facts, holding.symbol)
    if account is None or not account.currency:
        raise Unknown("the account's currency")
    if not spec.currency_base or not spec.currency_profit:
        raise Unknown(f"the currencies of {spec.name}")
    worth = notional(holding, facts) * holding.side.sign
    if spec.currency_base == spec.currency_profit:
        legs: tuple[_Leg, ...] = (_Leg(spec.currency_base, spec.name, worth),)
    else:
        legs = (_Leg(spec.currency_base, "", worth), _Leg(spec.currency_profit, "", -worth))
    return tuple(leg for leg in legs if leg.currency != account.currency)


def _spans(holdings: Iterable[Holding], facts: Facts) -> _Spans:
    spans: _Spans = defaultdict(_Span)
    for holding in holdings:
        for leg in _legs(holding, facts):
            span = spans[leg.currency, leg.contract]
            if holding.kind == "position" or leg.amount < 0:
                span.short += leg.amount
            if holding.kind == "position" or leg.amount > 0:
                span.long += leg.amount
    return spans


def _worst(spans: _Spans, currency: str) -> Decimal:
    """The exposure in a currency: of its pairs, and of each contract in it."""
    return sum((span.worst for (of, _), span in spans.items() if of == currency), _ZERO)
