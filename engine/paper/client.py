"""The paper terminal behind the interface of the MetaTrader5 module: same functions, constants, results and errors.

`initialize(path=ADDRESS_FILE)` connects to a running paper terminal. Arguments are judged here, before anything is
sent, as the wheel does. Failure is None (False for initialize, login, symbol_select, market_book_add) with
`last_error()`; an empty answer is (). The wheel's helpers Buy, Sell and Close, which re-send blindly, do not exist.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.paper import arguments as judge
from engine.paper import structs
from engine.paper.arguments import ArgumentFault
from engine.paper.transport import Connect, InProcess, ReceiveFailed, SendFailed, Transport, Unreachable, connect_socket

if TYPE_CHECKING:
    from engine.paper.terminal import PaperTerminal

LastError = tuple[int, str]
SUCCESS: LastError = (1, "Success")
NO_CONNECTION: LastError = (-10004, "No IPC connection")
SEND_FAILED: LastError = (-10001, "IPC send failed")
RECEIVE_FAILED: LastError = (-10002, "IPC recv failed")
UNAUTHORIZED: LastError = (-6, "Terminal: Authorization failed")
METHODS: dict[str, Any] = {name: method for name, method in structs.CONTRACT["methods"].items() if name[0] != "_"}
METH_KEYWORDS, METH_NOARGS = 2, 4
FALSE_ON_FAILURE = frozenset({"initialize", "login", "symbol_select", "market_book_add"})

RATE_FIELDS = [
    ("time", "<i8"), ("open", "<f8"), ("high", "<f8"), ("low", "<f8"), ("close", "<f8"), ("tick_volume", "<u8"),
    ("spread", "<i4"), ("real_volume", "<u8"),
]  # fmt: skip
TICK_FIELDS = [
    ("time", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("last", "<f8"), ("volume", "<u8"), ("time_msc", "<i8"),
    ("flags", "<u4"), ("volume_real", "<f8"),
]  # fmt: skip


def _array(rows: list[Any] | None, fields: list[tuple[str, str]]) -> Any:
    if rows is None:
        return None
    # Imported where it is needed: a gateway that asks for no history does not carry it.
    import numpy as np

    return np.array([tuple(row) for row in rows], dtype=fields)


def _mt5(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a method the calling rules of the wheel's C function of that name, and its way to fail."""
    name = function.__name__
    flags = METHODS[name]["flags"]
    failure = False if name in FALSE_ON_FAILURE else None

    @functools.wraps(function)
    def call(self: "PaperClient", *args: Any, **kwargs: Any) -> Any:
        if kwargs and not flags & METH_KEYWORDS:
            raise TypeError(f"{name}() takes no keyword arguments")
        if args and flags & METH_NOARGS:
            raise TypeError(f"{name}() takes no arguments ({len(args)} given)")
        try:
            result = function(self, *args, **kwargs)
        except ArgumentFault as fault:
            self.error = (-2, str(fault))
            return failure
        return failure if result is None else result

    return call


def _exactly(count: int, args: tuple[Any, ...]) -> None:
    if len(args) != count:
        raise ArgumentFault(judge.INVALID_ARGUMENTS)


class PaperClient:
    """One client of a paper terminal. The module's functions are the methods of one instance of this."""

    def __init__(self, connect: Connect = connect_socket) -> None:
        self._connect = connect
        self._transport: Transport | None = None
        self.error: LastError = (0, "")

    @classmethod
    def in_process(cls, terminal: "PaperTerminal") -> "PaperClient":
        """A client that calls a terminal directly, without process or socket. `initialize()` still comes first."""
        return cls(lambda _path: InProcess(terminal))

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self._transport is None:
            self.error = NO_CONNECTION
            return None
        try:
            result, self.error = self._transport.call(name, list(args), kwargs)
        except SendFailed:
            self._drop(SEND_FAILED)
            return None
        except ReceiveFailed:
            self._drop(RECEIVE_FAILED)
            return None
        return result

    def _drop(self, error: LastError) -> None:
        if self._transport is not None:
            self._transport.close()
        self._transport = None
        self.error = error

    def _struct(self, kind: type[structs.StructSequence], name: str, *args: Any, **kwargs: Any) -> Any:
        row = self._call(name, *args, **kwargs)
        return None if row is None else kind(row)

    def _structs(self, kind: type[structs.StructSequence], name: str, *args: Any, **kwargs: Any) -> Any:
        rows = self._call(name, *args, **kwargs)
        return None if rows is None else tuple(kind(row) for row in rows)

    @_mt5
    def initialize(self, *args: Any, **kwargs: Any) -> Any:
        """Connect to the terminal whose address file is `path`. Checks login and server when they are given."""
        if len(args) > 1:
            raise ArgumentFault(judge.INVALID_ARGUMENTS)
        path = args[0] if args else kwargs.get("path")
        if path is not None and not isinstance(path, str):
            raise judge.invalid("path")
        account = judge.connection(kwargs, "initialize")
        self.shutdown()
        try:
            self._transport = self._connect(path)
        except Unreachable as problem:
            self.error = (-10003, f"IPC initialize failed, {problem}")
            return False
        if self._authorized("initialize", account):
            return True
        error = self.error
        self.shutdown()
        self.error = error
        return False

    def _authorized(self, name: str, account: dict[str, Any]) -> bool:
        known = self._call(name, **account)
        if known is False:
            self.error = UNAUTHORIZED
        return known is True

    @_mt5
    def login(self, *args: Any, **kwargs: Any) -> Any:
        """Whether the terminal's account is the one named; a paper terminal has just one."""
        if len(args) > 1 or ("login" in kwargs) == bool(args):
            raise ArgumentFault(judge.INVALID_ARGUMENTS)
        named = {"login": args[0], **kwargs} if args else kwargs
        return self._authorized("login", judge.connection(named, "login"))

    @_mt5
    def shutdown(self) -> Any:
        """Disconnect. Always True."""
        if self._transport is not None:
            self._transport.close()
        self._transport = None
        return True

    @_mt5
    def last_error(self) -> Any:
        """Code and text of the last call; (0, '') before the first. Reading it does not change it."""
        return self.error

    @_mt5
    def version(self) -> Any:
        """(500, build, release date), or (0, 0, '') without a connection."""
        version = self._call("version")
        return (0, 0, "") if version is None else tuple(version)

    @_mt5
    def terminal_info(self) -> Any:
        """State of the terminal."""
        return self._struct(structs.TerminalInfo, "terminal_info")

    @_mt5
    def account_info(self) -> Any:
        """State of the account."""
        return self._struct(structs.AccountInfo, "account_info")

    @_mt5
    def symbols_total(self) -> Any:
        """How many symbols there are."""
        return self._call("symbols_total")

    @_mt5
    def symbols_get(self, *args: Any, **kwargs: Any) -> Any:
        """All symbols, or those of a group."""
        if args:
            raise ArgumentFault(judge.UNNAMED)
        named = {"group": judge.group(kwargs["group"])} if "group" in kwargs else {}
        return self._structs(structs.SymbolInfo, "symbols_get", **named)

    @_mt5
    def symbol_info(self, *args: Any) -> Any:
        """Conditions and prices of a symbol."""
        _exactly(1, args)
        return self._struct(structs.SymbolInfo, "symbol_info", judge.text("symbol", args[0]))

    @_mt5
    def symbol_info_tick(self, *args: Any) -> Any:
        """The last tick of a symbol."""
        _exactly(1, args)
        return self._struct(structs.Tick, "symbol_info_tick", judge.text("symbol", args[0]))

    @_mt5
    def symbol_select(self, *args: Any) -> Any:
        """Show a symbol in Market Watch, or take it out."""
        if len(args) not in (1, 2):
            raise ArgumentFault(judge.INVALID_ARGUMENTS)
        symbol = judge.text("symbol", args[0])
        return self._call("symbol_select", symbol, bool(args[1]) if len(args) == 2 else True)

    @_mt5
    def positions_total(self) -> Any:
        """How many positions are open."""
        return self._call("positions_total")

    @_mt5
    def positions_get(self, *args: Any, **kwargs: Any) -> Any:
        """Open positions: all, or of a symbol, a group or a ticket."""
        named = judge.selection(args, kwargs, "positions_get")
        return self._structs(structs.TradePosition, "positions_get", **named)

    @_mt5
    def orders_total(self) -> Any:
        """How many orders are pending."""
        return self._call("orders_total")

    @_mt5
    def orders_get(self, *args: Any, **kwargs: Any) -> Any:
        """Pending orders."""
        return self._structs(structs.TradeOrder, "orders_get", **judge.selection(args, kwargs, "orders_get"))

    def _trade(self, kind: type[structs.StructSequence], name: str, request: list[Any]) -> Any:
        row = self._call(name, request)
        return None if row is None else kind([*row[:-1], structs.TradeRequest(row[-1])])

    @_mt5
    def order_check(self, *args: Any, **kwargs: Any) -> Any:
        """Whether a request would be carried out: retcode 0, and the account after it."""
        request = judge.trade_request(args, kwargs, "order_check")
        return self._trade(structs.OrderCheckResult, "order_check", request)

    @_mt5
    def order_send(self, *args: Any, **kwargs: Any) -> Any:
        """Send a trade request."""
        request = judge.trade_request(args, kwargs, "order_send")
        return self._trade(structs.OrderSendResult, "order_send", request)

    @_mt5
    def order_calc_margin(self, *args: Any) -> Any:
        """Margin of a trade: (action, symbol, volume, price)."""
        _exactly(4, args)
        action, symbol = judge.unsigned("action", args[0], "order_calc_margin"), judge.text("symbol", args[1])
        numbers = [judge.number(name, value) for name, value in zip(("volume", "price"), args[2:], strict=True)]
        return self._call("order_calc_margin", action, symbol, *numbers)

    @_mt5
    def order_calc_profit(self, *args: Any) -> Any:
        """Profit of a trade: (action, symbol, volume, price_open, price_close)."""
        _exactly(5, args)
        action, symbol = judge.unsigned("action", args[0], "order_calc_profit"), judge.text("symbol", args[1])
        names = ("volume", "price_open", "price_close")
        numbers = [judge.number(name, value) for name, value in zip(names, args[2:], strict=True)]
        return self._call("order_calc_profit", action, symbol, *numbers)

    @_mt5
    def history_orders_total(self, *args: Any) -> Any:
        """How many finished orders there are between two dates."""
        named = judge.history(args, {}, "history_orders_total")
        return self._call("history_orders_total", named["start"], named["end"])

    @_mt5
    def history_orders_get(self, *args: Any, **kwargs: Any) -> Any:
        """Finished orders between two dates, or by ticket or position."""
        named = judge.history(args, kwargs, "history_orders_get")
        return self._structs(structs.TradeOrder, "history_orders_get", **named)

    @_mt5
    def history_deals_total(self, *args: Any) -> Any:
        """How many deals there are between two dates."""
        named = judge.history(args, {}, "history_deals_total")
        return self._call("history_deals_total", named["start"], named["end"])

    @_mt5
    def history_deals_get(self, *args: Any, **kwargs: Any) -> Any:
        """Deals between two dates, of an order (`ticket`) or of a position."""
        named = judge.history(args, kwargs, "history_deals_get")
        return self._structs(structs.TradeDeal, "history_deals_get", **named)

    @_mt5
    def copy_ticks_from(self, *args: Any) -> Any:
        """Ticks from a date on: (symbol, date_from, count, flags)."""
        _exactly(4, args)
        symbol, start = judge.text("symbol", args[0]), judge.date("date_from", args[1])
        rows = self._call(
            "copy_ticks_from", symbol, start, judge.whole("count", args[2]), judge.whole("flags", args[3])
        )
        return _array(rows, TICK_FIELDS)

    @_mt5
    def copy_ticks_range(self, *args: Any) -> Any:
        """Ticks between two dates: (symbol, date_from, date_to, flags)."""
        _exactly(4, args)
        symbol, start = judge.text("symbol", args[0]), judge.date("date_from", args[1])
        end, flags = judge.date("date_to", args[2]), judge.whole("flags", args[3])
        return _array(self._call("copy_ticks_range", symbol, start, end, flags), TICK_FIELDS)

    def _rates(self, name: str, args: tuple[Any, ...], *rest: Any) -> Any:
        symbol, timeframe = judge.text("symbol", args[0]), judge.whole("timeframe", args[1])
        return _array(self._call(name, symbol, timeframe, *rest), RATE_FIELDS)

    @_mt5
    def copy_rates_from(self, *args: Any) -> Any:
        """The last bars up to a date: (symbol, timeframe, date_from, count)."""
        _exactly(4, args)
        start, count = judge.date("date_from", args[2]), judge.unsigned("count", args[3], "copy_rates_from")
        return self._rates("copy_rates_from", args, start, count)

    @_mt5
    def copy_rates_from_pos(self, *args: Any) -> Any:
        """Bars counted back from the current one, which is 0: (symbol, timeframe, start_pos, count)."""
        _exactly(4, args)
        place, count = (
            judge.unsigned(name, value, "copy_rates_from_pos")
            for name, value in zip(("start_pos", "count"), args[2:], strict=True)
        )
        return self._rates("copy_rates_from_pos", args, place, count)

    @_mt5
    def copy_rates_range(self, *args: Any) -> Any:
        """Bars that open between two dates: (symbol, timeframe, date_from, date_to)."""
        _exactly(4, args)
        start, end = judge.date("date_from", args[2]), judge.date("date_to", args[3])
        return self._rates("copy_rates_range", args, start, end)

    @_mt5
    def market_book_add(self, *args: Any) -> Any:
        """Depth of market: there is none here, so False."""
        _exactly(1, args)
        return self._call("market_book_add", judge.text("symbol", args[0]))

    @_mt5
    def market_book_get(self, *args: Any) -> Any:
        """Depth of market: there is none here, so None."""
        _exactly(1, args)
        return self._call("market_book_get", judge.text("symbol", args[0]))

    @_mt5
    def market_book_release(self, *args: Any) -> Any:
        """Depth of market: there is none here, so None."""
        _exactly(1, args)
        return self._call("market_book_release", judge.text("symbol", args[0]))


__version__: str = structs.CONTRACT["version"]
_client = PaperClient()
globals().update(structs.CONSTANTS)
globals().update({name: getattr(_client, name) for name in METHODS})


def __getattr__(name: str) -> Any:
    """Only for type checkers: the functions and constants above are set from the contract."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
