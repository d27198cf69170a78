"""Values for tests: an account, a reading, a symbol, with only what matters given."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.broker.base import Account, MarginMode, Position, Side, Sweep, SymbolSpec, Terminal, Tick
from engine.readings import AccountReading, judge
from engine.signals import Signal, SignalState

LOGIN, SERVER = 1001, "Quarterdeck-Paper"
NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)

ACCOUNT = Account(
    login=LOGIN,
    server=SERVER,
    name="Test",
    company="Test",
    currency="USD",
    currency_digits=2,
    leverage=100,
    trade_mode=0,
    margin_mode=MarginMode.HEDGING,
    trade_allowed=True,
    trade_expert=True,
    balance=10_000.0,
    credit=0.0,
    profit=0.0,
    equity=10_000.0,
    margin=0.0,
    margin_free=10_000.0,
    margin_level=0.0,
)
TERMINAL = Terminal(connected=True, trade_allowed=True, tradeapi_disabled=False, build=5000, name="Test")
EURUSD = SymbolSpec(
    name="EURUSD",
    digits=5,
    point=0.00001,
    tick_size=0.00001,
    tick_value=1.0,
    tick_value_loss=1.0,
    contract_size=100_000.0,
    volume_min=0.01,
    volume_max=100.0,
    volume_step=0.01,
    volume_limit=0.0,
    stops_level=10,
    freeze_level=0,
    execution_mode=2,
    filling_mode=3,
    trade_mode=4,
    order_mode=127,
    expiration_mode=15,
    currency_profit="USD",
    currency_base="EUR",
)
TICK = Tick("EURUSD", 1.10000, 1.10010, 1_767_600_000_000)


def account(equity: float = 10_000.0, *, balance: float = 10_000.0, **changes: Any) -> Account:
    """An account whose profit explains its equity, unless told otherwise."""
    return replace(ACCOUNT, **{"balance": balance, "equity": equity, "profit": equity - balance, **changes})


def position(profit: float = 0.0, **changes: Any) -> Position:
    """An open buy of one lot."""
    made = Position(
        ticket=7,
        identifier=7,
        symbol="EURUSD",
        side=Side.BUY,
        volume=1.0,
        price_open=1.1,
        price_current=1.1,
        sl=1.09,
        tp=1.12,
        profit=profit,
        swap=0.0,
        magic=0,
        comment="",
        time_msc=1_767_600_000_000,
    )
    return replace(made, **changes)


def sweep(
    equity: float = 10_000.0,
    positions: tuple[Position, ...] | None = None,
    terminal: Terminal = TERMINAL,
    **changes: Any,
) -> Sweep:
    """A sweep whose positions bear out the equity, unless they are given."""
    made = account(equity, **changes)
    if positions is None:
        positions = (position(made.profit),) if made.profit else ()
    return Sweep(made, terminal, positions, (), {}, ())


def reading(equity: float = 10_000.0, *, at: float = 0.0, **changes: Any) -> AccountReading:
    """A judged reading of the test account."""
    return judge(sweep(equity, **changes), login=LOGIN, server=SERVER, at=at)


class FixedClock:
    """A clock that stands still."""

    def monotonic(self) -> float:
        return 0.0

    def utc(self) -> datetime:
        return NOW


def signal(side: Side = Side.BUY, **changes: Any) -> Signal:
    """An approved signal for half a lot of EURUSD with a stop 50 pips away and a target twice as far."""
    made = Signal(
        id="ABCDEFGH",
        account="1@x",
        version=1,
        state=SignalState.APPROVED,
        symbol="EURUSD",
        side=side,
        volume=0.5,
        entry=1.1,
        sl=1.095 if side is Side.BUY else 1.105,
        tp=1.11 if side is Side.BUY else 1.09,
        source="test",
        note="",
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
    )
    return replace(made, **changes)
