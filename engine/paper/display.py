"""What a terminal shows: the answers of views.py, bent by the faults that are on.

Cut off from the broker it shows what it knew then; after a restart it may not have its positions yet; its ticks may
stand still while the broker's market goes on. Nothing here changes the account.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from engine.paper import requests as rq
from engine.paper.account import PaperAccount
from engine.paper.faultplan import Disconnect, Equity, Freeze, Login, Unsynchronised
from engine.paper.faults import Faults
from engine.paper.history import PriceHistory
from engine.paper.structs import CONSTANTS, CONTRACT
from engine.paper.views import SUCCESS, LastError, Views

CONNECTION = CONSTANTS["TRADE_RETCODE_CONNECTION"]
LISTS, COUNTS = frozenset({"positions_get", "orders_get"}), frozenset({"positions_total", "orders_total"})
_ACCOUNT: list[str] = CONTRACT["structs"]["AccountInfo"]["fields"]
_TERMINAL: list[str] = CONTRACT["structs"]["TerminalInfo"]["fields"]


class Display:
    """The answers of one terminal under its faults."""

    def __init__(
        self, account: PaperAccount, prices: Mapping[str, PriceHistory], login: int, server: str, faults: Faults
    ) -> None:
        self._account = account
        self._prices = prices
        self._login = login
        self._server = server
        self._faults = faults
        self._shown = dict(prices)
        self._live = Views(account, self._shown, login, server)
        self._known: Views | None = None

    def update(self) -> None:
        """Begin or end what the faults of now do to the display."""
        if not self._faults.on(Disconnect):
            self._known = None
        elif self._known is None:
            # The ledger is the broker's: the terminal never had it, and nothing is entered there meanwhile.
            account = copy.deepcopy(self._account, {id(self._account.ledger): self._account.ledger})
            self._known = Views(account, copy.deepcopy(self._shown), self._login, self._server)
        frozen = {fault.symbol for _, fault in self._faults.on(Freeze)}
        for name, price in self._prices.items():
            stands = name in frozen or None in frozen
            if stands and self._shown[name] is price:
                self._shown[name] = copy.deepcopy(price)
            elif not stands:
                self._shown[name] = price

    def call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, LastError]:
        """Answer one call."""
        if not self._faults:
            return self._live.call(name, args, kwargs)
        if self._known is None:
            result, error = self._live.call(name, args, kwargs)
        elif name == "order_send":
            return self.unsent(args, CONNECTION)
        else:
            result, error = self._known.call(name, args, kwargs)
        return (None if result is None else self._bent(name, result)), error

    def unsent(self, args: Sequence[Any], retcode: int) -> tuple[Any, LastError]:
        """The answer of order_send to a request that never reached the dealing desk."""
        request = rq.read_request(args[0])
        if request is None:
            return self._live.call("order_send", args, {})
        quote = self._account.quotes.get(request.symbol)
        bid, ask = (quote.bid, quote.ask) if quote else (0.0, 0.0)
        comment = rq.COMMENTS.get(retcode, "")
        return (retcode, 0, 0, 0.0, 0.0, bid, ask, comment, 0, 0, request), SUCCESS

    def _bent(self, name: str, result: Any) -> Any:
        if name == "terminal_info" and self._known is not None:
            return _changed(_TERMINAL, result, connected=False)
        if name == "account_info":
            return self._account_shown(result)
        limits = [fault.shown for _, fault in self._faults.on(Unsynchronised)]
        if self._faults.synchronising():
            limits.append(0)
        if limits and name in LISTS:
            return result[: min(limits)]
        if limits and name in COUNTS:
            return min(result, *limits)
        return result

    def _account_shown(self, row: Sequence[Any]) -> Sequence[Any]:
        for _, fault in self._faults.on(Equity):
            row = _changed(_ACCOUNT, row, equity=fault.value)
        for _, other in self._faults.on(Login):
            row = _changed(_ACCOUNT, row, login=other.login, server=other.server)
        return row


def _changed(fields: Sequence[str], row: Sequence[Any], **values: Any) -> tuple[Any, ...]:
    return tuple((dict(zip(fields, row, strict=True)) | values).values())
