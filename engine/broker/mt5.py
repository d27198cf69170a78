"""MetaTrader 5 behind the engine's Broker protocol: which call goes where, and what its answer means.

In: the engine's questions and trade requests. Out: frozen values, or BrokerError with MT5's own code. order_send has
the order gateway to itself; everything else is read through the other. None is an error, never an empty answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from engine.broker.base import (
    Account,
    BrokerError,
    CheckReply,
    Deal,
    Order,
    Position,
    SendReply,
    Sweep,
    SymbolSpec,
    Terminal,
    Tick,
)
from engine.broker.codes import (
    AccountTradeMode,
    DealEntry,
    DealReason,
    DealType,
    Execution,
    Expiration,
    Filling,
    LastError,
    OrderFilling,
    OrdersAllowed,
    OrderState,
    OrderTime,
    OrderType,
    Retcode,
    SymbolTradeMode,
    TradeAction,
)
from engine.broker.conditions import filling_for, floor_volume, round_price, volume_problem
from engine.broker.connection import Call, Lane, Result
from engine.broker.gateway import Gateways
from engine.broker.parse import parse, parse_rows
from engine.broker.worker import NOT_FOUND
from engine.config import GatewaySettings

__all__ = [
    "AccountTradeMode",
    "DealEntry",
    "DealReason",
    "DealType",
    "Execution",
    "Expiration",
    "Filling",
    "LastError",
    "Mt5Broker",
    "NotSent",
    "OrderFilling",
    "OrderState",
    "OrderTime",
    "OrderType",
    "OrdersAllowed",
    "Retcode",
    "SymbolTradeMode",
    "TradeAction",
    "filling_for",
    "floor_volume",
    "round_price",
    "volume_problem",
]

_REFUSED_BY_THE_CLIENT = frozenset({"SystemError", "TypeError", NOT_FOUND})
"""Exceptions that the module raises while it reads its arguments, before anything is sent (measured)."""

_Value = TypeVar("_Value")


class NotSent(BrokerError):
    """The broker module refused the arguments of a call: nothing reached the terminal. A fault of the caller's."""


class Mt5Broker:
    """One MT5 account, through its two gateways."""

    def __init__(self, gateways: Gateways, settings: GatewaySettings) -> None:
        self._gateways = gateways
        self._settings = settings

    async def sweep(self, symbols: Sequence[str]) -> Sweep:
        """Read account, terminal, positions, orders and ticks in one round trip; what failed is in `errors`."""
        # The orders first: one that is filled between the two calls is in both answers, not in neither.
        calls = [Call("account_info"), Call("terminal_info"), Call("orders_get"), Call("positions_get")]
        calls += [Call("symbol_info_tick", (name,)) for name in symbols]
        results = await self._gateways.call(Lane.READS, calls, deadline=self._settings.read_seconds)
        errors: list[BrokerError] = []

        def part(index: int, read: Callable[[Any, str], _Value]) -> _Value | None:
            function = calls[index].function
            try:
                return read(_answer(function, results[index]), function)
            except BrokerError as error:
                errors.append(error)
                return None

        ticks = [part(index, _tick_reader(name)) for index, name in enumerate(symbols, start=4)]
        return Sweep(
            account=part(0, lambda value, function: parse(Account, value, function)),
            terminal=part(1, lambda value, function: parse(Terminal, value, function)),
            positions=part(3, lambda value, function: parse_rows(Position, value, function)),
            orders=part(2, lambda value, function: parse_rows(Order, value, function)),
            ticks={tick.symbol: tick for tick in ticks if tick is not None},
            errors=tuple(errors),
        )

    async def symbol(self, name: str) -> SymbolSpec:
        """The conditions of a symbol as they are now; put into Market Watch first if it is not there."""
        info = await self._read(Call("symbol_info", (name,)))
        if isinstance(info, Mapping) and not info.get("select"):
            selected, described = await self._read_all(
                [Call("symbol_select", (name, True)), Call("symbol_info", (name,))]
            )
            if not _answer("symbol_select", selected):
                raise BrokerError("symbol_select", selected.code, selected.text)
            info = _answer("symbol_info", described)
        return parse(SymbolSpec, info, "symbol_info")

    async def tick(self, name: str) -> Tick:
        """The last quote of a symbol."""
        return _tick_reader(name)(await self._read(Call("symbol_info_tick", (name,))), "symbol_info_tick")

    async def positions(self) -> tuple[Position, ...]:
        """All open positions on the account."""
        return await self._rows(Position, Call("positions_get"))

    async def orders(self) -> tuple[Order, ...]:
        """All pending orders on the account."""
        return await self._rows(Order, Call("orders_get"))

    async def deals_of_order(self, order: int) -> tuple[Deal, ...]:
        """The deals that an order made."""
        return await self._rows(Deal, Call("history_deals_get", kwargs={"ticket": order}))

    async def deals_of_position(self, identifier: int) -> tuple[Deal, ...]:
        """The deals of a position, by its identifier."""
        return await self._rows(Deal, Call("history_deals_get", kwargs={"position": identifier}))

    async def deals_between(self, start: int, end: int) -> tuple[Deal, ...]:
        """Deals from `start` to `end`, in seconds of the broker's clock."""
        return await self._rows(Deal, Call("history_deals_get", (start, end)))

    async def history_orders_between(self, start: int, end: int) -> tuple[Order, ...]:
        """Finished orders from `start` to `end`, in seconds of the broker's clock."""
        return await self._rows(Order, Call("history_orders_get", (start, end)))

    async def finished_order(self, ticket: int) -> Order | None:
        """A finished order by its ticket; None when the history has none."""
        rows = await self._rows(Order, Call("history_orders_get", kwargs={"ticket": ticket}))
        return rows[0] if rows else None

    async def check(self, request: Mapping[str, Any]) -> CheckReply:
        """Ask whether a request would be accepted."""
        return parse(CheckReply, await self._read(Call("order_check", (dict(request),))), "order_check")

    async def send(self, request: Mapping[str, Any], *, epoch: int | None) -> SendReply:
        """Send a trade request. Without an epoch it lowers risk: it is urgent and is never refused here.

        Raises StaleEpoch, NotSent or GatewayUnavailable (nothing was sent); BrokerTimeout or BrokerError, whose code
        decides whether the outcome is known.
        """
        if epoch is None and request.get("action") == TradeAction.DEAL and not request.get("position"):
            # To the broker a deal without a position's ticket is an opening, on a hedging account one more each time.
            raise NotSent("order_send", LastError.E_INVALID_PARAMS, "a close needs the ticket of its position")
        results = await self._gateways.call(
            Lane.ORDERS,
            [Call("order_send", (dict(request),))],
            deadline=self._settings.send_seconds,
            epoch=epoch,
            urgent=epoch is None,
        )
        return parse(SendReply, _answer("order_send", results[0]), "order_send")

    async def raise_epoch(self, epoch: int) -> None:
        """Tell both gateways that openings prepared before `epoch` are void."""
        await self._gateways.raise_epoch(epoch)

    async def _read_all(self, calls: Sequence[Call]) -> list[Result]:
        return await self._gateways.call(Lane.READS, calls, deadline=self._settings.read_seconds)

    async def _read(self, call: Call) -> Any:
        return _answer(call.function, (await self._read_all([call]))[0])

    async def _rows(self, kind: type[_Value], call: Call) -> tuple[_Value, ...]:
        return parse_rows(kind, await self._read(call), call.function)


def _answer(function: str, result: Result) -> Any:
    """The value of a call, or its error."""
    if result.raised is not None:
        text = f"{result.raised}: {result.text}"
        if result.raised in _REFUSED_BY_THE_CLIENT:
            raise NotSent(function, LastError.E_INVALID_PARAMS, text)
        raise BrokerError(function, LastError.E_INTERNAL_FAIL, text)
    if result.value is None:
        raise BrokerError(function, result.code, result.text)
    return result.value


def _tick_reader(symbol: str) -> Callable[[Any, str], Tick]:
    return lambda value, function: parse(Tick, value, function, symbol=symbol)
