"""A broker module with the MetaTrader5 interface that answers at once from a `Board`: it costs what a terminal's
answers cost to pass on, and nothing else.

It has the functions that the engine calls, rows with the wheel's fields, and a demo account of 10 000. A close brings
neither profit nor loss, so that the account is after each trial what it was before. Its path is in BREACH_BOARD.
"""

import time
from typing import Any

from engine.paper import structs
from engine.paper.structs import StructSequence
from tests.benchmarks.breach_board import POINT, PRICE, VOLUME, Board, Holding, named

BOARD_VARIABLE = "BREACH_BOARD"
BALANCE = 10_000.0
LOGIN, SERVER = 70_001, "Bench-Demo"
SYMBOLS = ("EURUSD", "GBPUSD", "AUDUSD", "NZDUSD", "USDCHF")
LOSS = 60.0
"""What each position has lost in a breach."""
_MARGIN = 20.0
_BUY, _IN, _OUT, _DEAL, _DONE, _CLOSED = 0, 0, 1, 1, 10009, 10036
_CLOSING_DEAL = 1_000_000_000

_board: Board


def initialize() -> bool:
    global _board
    _board = named(BOARD_VARIABLE)
    return True


def last_error() -> tuple[int, str]:
    return (1, "Success")


def version() -> tuple[int, int, str]:
    return (500, 5200, "1 Sep 2026")


def account_info() -> StructSequence:
    breached = bool(_board.breached)
    holdings = list(_board.holdings())
    loss = round(sum(_loss(holding, breached) for holding in holdings), 2)
    margin = _MARGIN * len(holdings)
    answer = _row(
        structs.AccountInfo,
        login=LOGIN,
        server=SERVER,
        name="Bench",
        company="Bench",
        currency="USD",
        currency_digits=2,
        leverage=100,
        trade_mode=0,
        margin_mode=2,
        trade_allowed=True,
        trade_expert=True,
        balance=BALANCE,
        profit=-loss,
        equity=round(BALANCE - loss, 2),
        margin=margin,
        margin_free=round(BALANCE - loss - margin, 2),
        margin_level=round((BALANCE - loss) / margin * 100, 2) if margin else 0.0,
    )
    if breached and holdings and not _board.read_at:
        _board.read_at = time.monotonic_ns()
    return answer


def terminal_info() -> StructSequence:
    return _row(structs.TerminalInfo, connected=True, trade_allowed=True, build=5200, name="Bench", company="Bench")


def positions_get() -> tuple[StructSequence, ...]:
    breached = bool(_board.breached)
    return tuple(_position(holding, breached) for holding in _board.holdings())


def orders_get() -> tuple[StructSequence, ...]:
    return ()


def symbol_info(name: str) -> StructSequence:
    return _row(
        structs.SymbolInfo,
        name=name,
        select=True,
        visible=True,
        digits=5,
        point=POINT,
        trade_tick_size=POINT,
        trade_tick_value=1.0,
        trade_tick_value_loss=1.0,
        trade_contract_size=100_000.0,
        volume_min=0.01,
        volume_max=100.0,
        volume_step=0.01,
        trade_exemode=2,
        order_mode=127,
        expiration_mode=15,
        filling_mode=1,
        trade_mode=4,
        currency_base="EUR",
        currency_profit="USD",
        bid=PRICE,
        ask=PRICE + POINT,
    )


def symbol_info_tick(name: str) -> StructSequence:
    now = time.time_ns() // 1_000_000
    moved = PRICE - _wobble() * POINT
    return _row(structs.Tick, time=now // 1000, time_msc=now, bid=round(moved, 5), ask=round(moved + POINT, 5))


def history_deals_get(
    start: int = 0, end: int = 0, *, ticket: int = 0, position: int = 0
) -> tuple[StructSequence, ...]:
    if end:
        return ()
    identifier = ticket or position
    magic = next((holding.magic for holding in _board.holdings() if holding.ticket == identifier), None)
    opening = _deal(identifier, identifier, _IN, magic or 0)
    if ticket or magic is not None:
        return (opening,)
    return (opening, _deal(_CLOSING_DEAL + identifier, identifier, _OUT))


def order_check(request: dict[str, Any]) -> StructSequence:
    return _row(structs.OrderCheckResult, balance=BALANCE, equity=BALANCE, margin_free=BALANCE, comment="Done")


def order_send(request: dict[str, Any]) -> StructSequence:
    closing = request.get("position", 0)
    if closing and not _board.first_close_at:
        _board.first_close_at = time.monotonic_ns()
    if _board.delay_us:
        time.sleep(_board.delay_us / 1e6)
    if not closing:
        ticket = _board.open(request["magic"], round(request["sl"] / POINT), round(request["tp"] / POINT))
        return _sent(_DONE, ticket, ticket, request)
    if request["action"] != _DEAL or not _board.take_out(closing):
        return _sent(_CLOSED, 0, 0, request)
    _board.closes += 1
    _board.last_close_at = time.monotonic_ns()
    return _sent(_DONE, _CLOSING_DEAL + closing, _CLOSING_DEAL + closing, request)


def _row(kind: type[StructSequence], **values: Any) -> StructSequence:
    return kind(values.get(name, 0) for name in kind.__match_args__)


def _wobble() -> int:
    """A number that changes ten times a second, so that every reading changes every row on the screen."""
    return time.monotonic_ns() // 100_000_000 % 10


def _loss(holding: Holding, breached: bool) -> float:
    return round((LOSS if breached else 0.0) + 0.01 * ((_wobble() + holding.slot) % 10), 2)


def _position(holding: Holding, breached: bool) -> StructSequence:
    loss = _loss(holding, breached)
    now = time.time_ns() // 1_000_000
    return _row(
        structs.TradePosition,
        ticket=holding.ticket,
        identifier=holding.ticket,
        symbol=SYMBOLS[0] if holding.magic else _symbol(holding.ticket),
        type=_BUY,
        volume=VOLUME,
        price_open=PRICE,
        price_current=round(PRICE - loss * POINT * 10, 5),
        sl=round(holding.sl * POINT, 5),
        tp=round(holding.tp * POINT, 5),
        profit=-loss,
        swap=0.0,
        magic=holding.magic,
        comment="bench",
        external_id="",
        time=now // 1000,
        time_msc=now,
    )


def _symbol(ticket: int) -> str:
    return SYMBOLS[ticket % len(SYMBOLS)]


def _deal(ticket: int, position: int, entry: int, magic: int = 0) -> StructSequence:
    now = time.time_ns() // 1_000_000
    return _row(
        structs.TradeDeal,
        ticket=ticket,
        order=ticket,
        position_id=position,
        symbol=_symbol(position),
        magic=magic,
        entry=entry,
        type=entry,
        reason=3,
        volume=VOLUME,
        price=PRICE,
        comment="bench",
        external_id="",
        time=now // 1000,
        time_msc=now,
    )


def _sent(retcode: int, deal: int, order: int, request: dict[str, Any]) -> StructSequence:
    return _row(
        structs.OrderSendResult,
        retcode=retcode,
        deal=deal,
        order=order,
        volume=VOLUME,
        price=PRICE,
        bid=PRICE,
        ask=PRICE,
        comment="Request executed",
        request=request,
    )
