"""Values for tests of guards that look at what is held: positions, orders, openings, and the facts around them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.broker.base import Order, Position, Side, SymbolSpec, Tick
from engine.broker.codes import OrderState, OrderType
from engine.guards.base import Entry, Facts, Moment
from tests.unit.core.makers import EURUSD, position
from tests.unit.guards.makers import NOON, facts

GBPUSD = replace(EURUSD, name="GBPUSD", currency_base="GBP")
USDJPY = replace(
    EURUSD, name="USDJPY", currency_base="USD", currency_profit="JPY", digits=3, point=0.001, tick_size=0.001,
    tick_value=0.65, tick_value_loss=0.65,
)  # fmt: skip
EURJPY = replace(USDJPY, name="EURJPY", currency_base="EUR")
GER40 = replace(
    EURUSD, name="GER40", currency_base="EUR", currency_profit="EUR", digits=1, point=0.1, tick_size=0.1,
    tick_value=0.11, tick_value_loss=0.11,
)  # fmt: skip
SPECS = {spec.name: spec for spec in (EURUSD, GBPUSD, USDJPY, EURJPY, GER40)}
QUOTES = {"EURUSD": Tick("EURUSD", 1.1, 1.1001, 1)}


def market(
    *positions: Position,
    orders: tuple[Order, ...] | None = (),
    sent: tuple[Entry, ...] = (),
    specs: Mapping[str, SymbolSpec] = SPECS,
    quotes: Mapping[str, Tick] = QUOTES,
    equity: float = 10_000.0,
    at: str | Moment = NOON,
    **account: Any,
) -> Facts:
    """The facts of a reading with these positions, on an account in US dollars."""
    made = facts(equity, at, positions=positions, **account)
    return replace(made, orders=orders, sent=sent, specs=specs, quotes=quotes)


def unread(made: Facts) -> Facts:
    """The same, but the positions could not be read."""
    return replace(made, reading=replace(made.reading, positions=None, equity_by_positions=None))


def held(number: int = 7, **changes: Any) -> Position:
    """A buy of one lot of EURUSD at 1.1 with its stop at 1.09."""
    return position(**{"ticket": number, "identifier": number, **changes})


def order(**changes: Any) -> Order:
    """A standing buy limit of one lot of EURUSD at 1.1 with its stop at 1.09."""
    made = Order(
        ticket=20,
        symbol="EURUSD",
        type=OrderType.BUY_LIMIT,
        state=OrderState.PLACED,
        volume_initial=1.0,
        volume_current=1.0,
        price_open=1.1,
        sl=1.09,
        tp=0.0,
        magic=0,
        comment="",
        position_id=0,
        time_setup_msc=0,
    )
    return replace(made, **changes)


def opening(volume: float = 1.0, **changes: Any) -> Entry:
    """A buy of EURUSD at 1.1 with its stop at 1.09."""
    return replace(Entry(99, "EURUSD", Side.BUY, volume, 1.1, 1.09), **changes)
