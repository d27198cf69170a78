"""What each MT5 function answers, from the books: rows in the contract's order of fields, and a last_error code.

In: a function's name and arguments that the client module has already judged (engine/paper/arguments.py). Out:
JSON-ready rows, or None with the code. Unknown symbols, calls and shapes are answered, never raised.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from engine.paper import requests as rq
from engine.paper.account import PaperAccount
from engine.paper.books import Order, Position
from engine.paper.groups import in_group
from engine.paper.history import TIMEFRAMES, Bar, PriceHistory
from engine.paper.holdings import Totals
from engine.paper.margin import hedged_margin, margin_of
from engine.paper.market import Instrument
from engine.paper.money import NoRate
from engine.paper.structs import CONSTANTS, CONTRACT

LastError = tuple[int, str]
SUCCESS: LastError = (1, "Success")
CALL_FAILED: LastError = (-1, "Terminal: Call failed")
INVALID_PARAMS: LastError = (-2, "Terminal: Invalid params")
NOT_FOUND: LastError = (-4, "Terminal: Not found")
UNSUPPORTED: LastError = (-7, "Terminal: Unsupported")

BUILD = int(CONTRACT["version"].rsplit(".", 1)[1])
RELEASED = "1 Sep 2026"
COMPANY = "Quarterdeck"
MAX_BARS = 10_000
SIDES = {rq.BUY: 1, rq.SELL: -1}


_Held = TypeVar("_Held", Position, Order)


class NotFound(Exception):
    """Something that was named does not exist, or is not in Market Watch."""


class Malformed(Exception):
    """Arguments that the client module would not have sent."""


class Views:
    """The answers of one terminal."""

    def __init__(self, account: PaperAccount, prices: Mapping[str, PriceHistory], login: int, server: str) -> None:
        self._account = account
        self._prices = prices
        self._login = login
        self._server = server
        self._selected = set(prices)
        self._request_id = 0
        self._functions: dict[str, Callable[..., Any]] = {
            "initialize": self._logged_in,
            "login": self._logged_in,
            "version": lambda: (500, BUILD, RELEASED),
            "terminal_info": self._terminal_info,
            "account_info": self._account_info,
            "symbols_total": lambda: len(self._prices),
            "symbols_get": self._symbols_get,
            "symbol_info": lambda symbol: self._symbol_info(self._known(symbol)),
            "symbol_info_tick": lambda symbol: self._price(symbol).last,
            "symbol_select": self._symbol_select,
            "positions_total": lambda: len(self._account.books.positions),
            "positions_get": self._positions_get,
            "orders_total": lambda: len(self._account.books.orders),
            "orders_get": self._orders_get,
            "order_check": self._order_check,
            "order_send": self._order_send,
            "order_calc_margin": self._order_calc_margin,
            "order_calc_profit": self._order_calc_profit,
            "history_orders_total": lambda start, end: len(self._account.books.history.orders_between(start, end)),
            "history_orders_get": self._history_orders_get,
            "history_deals_total": lambda start, end: len(self._account.books.history.deals_between(start, end)),
            "history_deals_get": self._history_deals_get,
            "copy_ticks_from": self._copy_ticks_from,
            "copy_ticks_range": lambda symbol, start, end, flags: self._price(symbol).ticks_between(
                start * 1000, end * 1000, flags
            ),
            "copy_rates_from": self._copy_rates_from,
            "copy_rates_from_pos": self._copy_rates_from_pos,
            "copy_rates_range": self._copy_rates_range,
        }

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, LastError]:
        """Answer one call. market_book_* fail as they do at a broker without depth of market."""
        function = self._functions.get(name)
        if function is None:
            return None, CALL_FAILED
        try:
            return function(*args, **kwargs), SUCCESS
        except NotFound:
            return None, NOT_FOUND
        except NoRate as missing:
            return None, (NOT_FOUND[0], f"{NOT_FOUND[1]}: {missing}")
        except Malformed:
            return None, INVALID_PARAMS

    def _known(self, symbol: str) -> Instrument:
        instrument = self._account.instruments.get(symbol)
        if instrument is None:
            raise NotFound
        return instrument

    def _price(self, symbol: str) -> PriceHistory:
        if symbol not in self._selected:
            raise NotFound
        return self._prices[symbol]

    def _logged_in(self, login: int | None = None, server: str | None = None) -> bool:
        return login in (None, 0, self._login) and server in (None, "", self._server)

    def _terminal_info(self) -> tuple[Any, ...]:
        community_account = community_connection = email = ftp = notifications = mqid = False
        connected = True
        trade_allowed = self._account.interference.terminal_autotrading
        dlls_allowed = tradeapi_disabled = False
        return (
            community_account, community_connection, connected, dlls_allowed, trade_allowed, tradeapi_disabled, email,
            ftp, notifications, mqid, BUILD, MAX_BARS, 65001, 0, 0.0, 0.0, COMPANY, "Quarterdeck Paper Terminal",
            "English", "", "", "",
        )  # fmt: skip

    def _account_info(self) -> tuple[Any, ...]:
        account, conditions = self._account, self._account.conditions
        balance, credit, profit, equity, margin, free, level = account.totals()
        return (
            self._login, CONSTANTS["ACCOUNT_TRADE_MODE_DEMO"], conditions.leverage, conditions.limit_orders,
            conditions.stop_out_mode, True, account.interference.server_autotrading, conditions.margin_mode,
            account.valuation.digits, conditions.closes_by_fifo, balance, credit, profit, equity, margin, free, level,
            conditions.margin_call, conditions.stop_out, 0.0, 0.0, 0.0, 0.0, 0.0, "Paper account", self._server,
            conditions.currency, COMPANY,
        )  # fmt: skip

    def _symbols_get(self, group: str | None = None) -> list[tuple[Any, ...]]:
        return [
            self._symbol_info(instrument)
            for name, instrument in self._account.instruments.items()
            if group is None or in_group(name, group)
        ]

    def _symbol_select(self, symbol: str, enable: bool = True) -> bool:
        self._known(symbol)
        if enable:
            self._selected.add(symbol)
        elif any(position.symbol == symbol for position in self._account.books.positions.values()):
            raise NotFound
        else:
            self._selected.discard(symbol)
        return True

    def _symbol_info(self, instrument: Instrument) -> tuple[Any, ...]:
        return symbol_row(self._account, self._prices[instrument.name], instrument, instrument.name in self._selected)

    def _positions_get(self, **by: Any) -> list[tuple[Any, ...]]:
        return [self._position_row(position) for position in _selected(self._account.books.positions.values(), **by)]

    def _orders_get(self, **by: Any) -> list[tuple[Any, ...]]:
        return [
            tuple(
                order._replace(
                    price_current=self._account.price_for(order.type, order.symbol), time_done=0, time_done_msc=0
                )
            )
            for order in _selected(self._account.books.orders.values(), **by)
        ]

    def _position_row(self, position: Position) -> tuple[Any, ...]:
        account = self._account
        opened, updated = position.time_msc, position.time_update_msc
        return (
            position.ticket, opened // 1000, opened, updated // 1000, updated, position.type, position.magic,
            position.identifier, position.reason, position.volume, position.price_open, position.sl, position.tp,
            account.closing_price(position), position.swap, account.profit(position), position.symbol,
            position.comment, "",
        )  # fmt: skip

    def _order_check(self, values: Sequence[Any]) -> tuple[Any, ...]:
        request = self._request(values)
        problem, after = self._account.check(request)
        balance, _, profit, equity, margin, free, level = after or Totals(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return problem.retcode, balance, equity, profit, margin, free, level, problem.comment, request

    def _order_send(self, values: Sequence[Any]) -> tuple[Any, ...]:
        request = self._request(values)
        self._request_id += 1
        done = self._account.send(request)
        quote = self._account.quotes.get(request.symbol)
        bid, ask = (quote.bid, quote.ask) if quote else (0.0, 0.0)
        return (
            done.retcode, done.deal, done.order, done.volume, done.price, bid, ask, done.comment, self._request_id, 0,
            request,
        )  # fmt: skip

    def _request(self, values: Sequence[Any]) -> rq.TradeRequest:
        request = rq.read_request(values)
        if request is None:
            raise Malformed
        return request

    def _order_calc_margin(self, action: int, symbol: str, volume: float, price: float) -> float:
        instrument, valuation, sign = self._known(symbol), self._account.valuation, self._sign(action)
        if not price > 0:
            raise Malformed
        rate = valuation.margin_rate(instrument, sign, price)
        leverage = self._account.conditions.leverage
        return valuation.money(margin_of(instrument, sign, volume, price, rate, leverage))

    def _order_calc_profit(self, action: int, symbol: str, volume: float, opened: float, closed: float) -> float:
        instrument = self._known(symbol)
        if not closed > 0:
            raise Malformed
        return self._account.valuation.profit(instrument, self._sign(action), volume, opened, closed)

    def _sign(self, action: int) -> int:
        if action not in SIDES:
            raise Malformed
        return SIDES[action]

    def _history_orders_get(self, **by: Any) -> list[Any]:
        history = self._account.books.history
        if "ticket" in by:
            return list(history.orders_of_ticket(by["ticket"]))
        if "position" in by:
            return list(history.orders_of_position(by["position"]))
        orders = history.orders_between(by["start"], by["end"])
        return [order for order in orders if by.get("group") is None or in_group(order.symbol, by["group"])]

    def _history_deals_get(self, **by: Any) -> list[Any]:
        history = self._account.books.history
        if "ticket" in by:
            return list(history.deals_of_order(by["ticket"]))
        if "position" in by:
            return list(history.deals_of_position(by["position"]))
        deals = history.deals_between(by["start"], by["end"])
        return [deal for deal in deals if by.get("group") is None or in_group(deal.symbol, by["group"])]

    def _copy_ticks_from(self, symbol: str, start: float, count: int, flags: int) -> list[Any]:
        return self._price(symbol).ticks_between(start * 1000, float("inf"), flags)[:count]

    def _bars(self, symbol: str, timeframe: int) -> list[Bar]:
        if timeframe not in TIMEFRAMES:
            raise Malformed
        return self._price(symbol).bars(timeframe)

    def _copy_rates_from(self, symbol: str, timeframe: int, date: float, count: int) -> list[Bar]:
        bars = [bar for bar in self._bars(symbol, timeframe) if bar.time <= date]
        return bars[max(0, len(bars) - count) :]

    def _copy_rates_from_pos(self, symbol: str, timeframe: int, position: int, count: int) -> list[Bar]:
        bars = self._bars(symbol, timeframe)
        end = max(0, len(bars) - position)
        return bars[max(0, end - count) : end]

    def _copy_rates_range(self, symbol: str, timeframe: int, start: float, end: float) -> list[Bar]:
        return [bar for bar in self._bars(symbol, timeframe) if start <= bar.time <= end]


def _selected(
    held: Iterable[_Held], symbol: str | None = None, ticket: int | None = None, group: str | None = None
) -> Iterable[_Held]:
    """Positions or orders of a symbol, a group or a ticket; all of them when nothing is asked for."""
    if symbol is not None:
        return (one for one in held if one.symbol == symbol)
    if group is not None:
        return (one for one in held if in_group(one.symbol, group))
    if ticket is not None:
        return (one for one in held if one.ticket == ticket)
    return held


SYMBOL_FIELDS: tuple[str, ...] = tuple(CONTRACT["structs"]["SymbolInfo"]["fields"])
_SYMBOL_FLAGS = frozenset({"custom", "select", "visible", "spread_float", "margin_hedged_use_leg"})
_SYMBOL_TEXTS = frozenset(SYMBOL_FIELDS[SYMBOL_FIELDS.index("basis") :])
_SYMBOL_WHOLE = frozenset(SYMBOL_FIELDS[: SYMBOL_FIELDS.index("bid")])


def _zero(field: str) -> Any:
    if field in _SYMBOL_TEXTS:
        return ""
    if field in _SYMBOL_FLAGS:
        return False
    return 0 if field in _SYMBOL_WHOLE else 0.0


_SYMBOL_ZEROS = {field: _zero(field) for field in SYMBOL_FIELDS}


def symbol_row(account: PaperAccount, prices: PriceHistory, instrument: Instrument, selected: bool) -> tuple[Any, ...]:
    """The 96 fields of symbol_info; what an over-the-counter pair does not have is zero."""
    last, day = prices.last, prices.day
    try:
        gain, loss = account.valuation.tick_values(instrument)
    except NoRate:
        gain = loss = 0.0
    bid, ask = (last.bid, last.ask) if last else (0.0, 0.0)
    known: dict[str, Any] = {
        "select": selected,
        "visible": selected,
        "time": last.time if last else 0,
        "digits": instrument.digits,
        "spread": instrument.points(ask - bid),
        "spread_float": True,
        "trade_calc_mode": instrument.calc_mode,
        "trade_mode": instrument.trade_mode,
        "trade_stops_level": instrument.stops_level,
        "trade_freeze_level": instrument.freeze_level,
        "trade_exemode": instrument.execution_mode,
        "swap_mode": instrument.swap_mode,
        "swap_rollover3days": instrument.swap_rollover3days,
        "margin_hedged_use_leg": instrument.margin_hedged_use_leg,
        "expiration_mode": instrument.expiration_mode,
        "filling_mode": instrument.filling_mode,
        "order_mode": instrument.order_mode,
        "bid": bid,
        "bidhigh": day.bid_high,
        "bidlow": day.bid_low,
        "ask": ask,
        "askhigh": day.ask_high,
        "asklow": day.ask_low,
        "point": instrument.point,
        "trade_tick_value": gain,
        "trade_tick_value_profit": gain,
        "trade_tick_value_loss": loss,
        "trade_tick_size": instrument.tick,
        "trade_contract_size": instrument.contract_size,
        "volume_min": instrument.volume_min,
        "volume_max": instrument.volume_max,
        "volume_step": instrument.volume_step,
        "volume_limit": instrument.volume_limit,
        "swap_long": instrument.swap_long,
        "swap_short": instrument.swap_short,
        "margin_initial": instrument.margin_initial,
        "margin_maintenance": instrument.margin_maintenance,
        "margin_hedged": hedged_margin(instrument),
        "session_open": day.opened,
        "price_change": (bid / day.opened - 1) * 100 if day.opened else 0.0,
        "currency_base": instrument.base,
        "currency_profit": instrument.profit,
        "currency_margin": instrument.margin_currency or instrument.base,
        "description": f"{instrument.base} against {instrument.profit}",
        "name": instrument.name,
        "path": f"Paper\\{instrument.name}",
    }
    return tuple((_SYMBOL_ZEROS | known).values())
