"""An account made up for the guards' rehearsals: 10,000 in a currency of its own, a symbol, positions, times.

Nothing here is read from or sent to anybody.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.broker.base import Account, MarginMode, Position, Side, SymbolSpec, Tick
from engine.guards.base import Entry, Facts, Moment
from engine.readings import AccountReading, Validity

MONDAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""A Monday's noon, far from any change of the clocks."""

EQUITY = 10_000.0

SPEC = SymbolSpec(
    name="REHEARSAL",
    digits=5,
    point=0.00001,
    tick_size=0.00001,
    tick_value=1.0,
    tick_value_loss=1.0,
    contract_size=100_000.0,
    volume_min=0.01,
    volume_max=1e9,
    volume_step=0.01,
    volume_limit=0.0,
    stops_level=0,
    freeze_level=0,
    execution_mode=2,
    filling_mode=1,
    trade_mode=4,
    order_mode=127,
    expiration_mode=15,
    currency_profit="YYY",
    currency_base="XXX",
)
"""One lot at 1.0 is worth 100,000, and a fall of 0.01 costs 1,000."""

_ACCOUNT = Account(
    login=1,
    server="rehearsal",
    name="",
    company="",
    currency="ZZZ",
    currency_digits=2,
    leverage=100,
    trade_mode=0,
    margin_mode=MarginMode.HEDGING,
    trade_allowed=True,
    trade_expert=True,
    balance=EQUITY,
    credit=0.0,
    profit=0.0,
    equity=EQUITY,
    margin=0.0,
    margin_free=EQUITY,
    margin_level=0.0,
)


def moment(utc: datetime = MONDAY) -> Moment:
    """One moment; the broker's clock is two hours ahead of UTC."""
    return Moment(utc, utc.replace(tzinfo=None) + timedelta(hours=2), 0.0)


def facts(
    equity: float = EQUITY,
    *,
    positions: tuple[Position, ...] = (),
    at: Moment | None = None,
    spread_points: float = 0.0,
    symbol: str = SPEC.name,
    **account: Any,
) -> Facts:
    """What a guard looks at, with a VALID reading of this equity that the positions bear out."""
    made = replace(_ACCOUNT, equity=equity, profit=equity - EQUITY, **account)
    now = at or moment()
    quote = Tick(symbol, 1.0, 1.0 + spread_points * SPEC.point, int(now.utc.timestamp() * 1000))
    return Facts(
        moment=now,
        reading=AccountReading(Validity.VALID, "", now.monotonic, made, positions, equity),
        specs={symbol: replace(SPEC, name=symbol)},
        quotes={symbol: quote},
    )


def position(number: int = 1, *, volume: float = 1.0, price: float = 1.0, sl: float = 0.99) -> Position:
    """A buy at 1.0."""
    return Position(
        ticket=number,
        identifier=number,
        symbol=SPEC.name,
        side=Side.BUY,
        volume=volume,
        price_open=price,
        price_current=price,
        sl=sl,
        tp=0.0,
        profit=0.0,
        swap=0.0,
        magic=0,
        comment="",
        time_msc=0,
    )


def entry(*, volume: float = 1.0, price: float = 1.0, sl: float = 0.99, symbol: str = SPEC.name) -> Entry:
    """A buy that is about to be sent."""
    return Entry(magic=1, symbol=symbol, side=Side.BUY, volume=volume, price=price, sl=sl)
