"""The broker as the engine sees it: plain frozen values and one protocol. What MT5 means by them is in `mt5.py`.

A read either returns what the broker said or raises BrokerError: an error is never an empty answer. Money is in
the account's currency, volumes in lots, times in milliseconds of the broker server's own clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Protocol


class Side(StrEnum):
    """Which way a trade goes."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The side that closes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class MarginMode(IntEnum):
    """How the account nets positions (ACCOUNT_MARGIN_MODE_*)."""

    NETTING = 0
    EXCHANGE = 1
    HEDGING = 2


class BrokerError(Exception):
    """The broker interface answered None, or did not answer. `code` is MT5's last_error code."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"{function}: ({code}) {text}")
        self.function = function
        self.code = code
        self.text = text


class BrokerTimeout(BrokerError):
    """A call passed its deadline; its gateway is being replaced. Whether it took effect is not known."""


class GatewayUnavailable(BrokerError):
    """No gateway could take the call: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Account:
    """One `account_info`, with the terminal's own state read in the same round trip."""

    login: int
    server: str
    name: str
    company: str
    currency: str
    currency_digits: int
    leverage: int
    trade_mode: int
    margin_mode: MarginMode
    trade_allowed: bool
    trade_expert: bool
    balance: float
    credit: float
    profit: float
    equity: float
    margin: float
    margin_free: float
    margin_level: float
    fifo_close: bool = False
    """Whether the oldest position of a symbol must be closed first."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the terminal says of itself. `connected` False: the account and positions it shows are cached values."""

    connected: bool
    trade_allowed: bool
    tradeapi_disabled: bool
    build: int
    name: str


@dataclass(frozen=True, slots=True)
class Position:
    """An open position. `identifier` stays for its life; `ticket` can change on netting accounts."""

    ticket: int
    identifier: int
    symbol: str
    side: Side
    volume: float
    price_open: float
    price_current: float
    sl: float
    tp: float
    profit: float
    swap: float
    magic: int
    comment: str
    time_msc: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order: pending, or from the history."""

    ticket: int
    symbol: str
    type: int
    state: int
    volume_initial: float
    volume_current: float
    price_open: float
    sl: float
    tp: float
    magic: int
    comment: str
    position_id: int
    time_setup_msc: int


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal. `type` 0 buy, 1 sell, 2 and above: not a trade (DEAL_TYPE_*). `entry` 0 in, 1 out, 2 inout, 3 out by."""

    ticket: int
    order: int
    position_id: int
    symbol: str
    type: int
    entry: int
    reason: int
    volume: float
    price: float
    profit: float
    commission: float
    swap: float
    fee: float
    magic: int
    comment: str
    time_msc: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A quote. `time_msc` is of the broker's clock."""

    symbol: str
    bid: float
    ask: float
    time_msc: int


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """The trading conditions of one symbol. Levels are in points; `tick_value` is account currency per lot and tick.

    `currency_base` is what one lot is a quantity of (EUR of EURUSD); "" when it is not known.
    """

    name: str
    digits: int
    point: float
    tick_size: float
    tick_value: float
    tick_value_loss: float
    contract_size: float
    volume_min: float
    volume_max: float
    volume_step: float
    volume_limit: float
    stops_level: int
    freeze_level: int
    execution_mode: int
    filling_mode: int
    trade_mode: int
    order_mode: int
    expiration_mode: int
    currency_profit: str
    currency_base: str = ""


@dataclass(frozen=True, slots=True)
class Sweep:
    """All that a guard cycle looks at, read in one round trip: None where that part could not be read."""

    account: Account | None
    terminal: Terminal | None
    positions: tuple[Position, ...] | None
    orders: tuple[Order, ...] | None
    ticks: Mapping[str, Tick]
    errors: tuple[BrokerError, ...]


@dataclass(frozen=True, slots=True)
class CheckReply:
    """The broker's answer to order_check. `retcode` 0 is good."""

    retcode: int
    comment: str
    margin: float
    margin_free: float


@dataclass(frozen=True, slots=True)
class SendReply:
    """The broker's answer to order_send. A reply is not a deal: deals are read by `order`."""

    retcode: int
    deal: int
    order: int
    volume: float
    price: float
    comment: str


class StaleEpoch(Exception):
    """The gateway refused an opening because the entry epoch was raised after it was prepared. Nothing was sent."""


class Broker(Protocol):
    """One account at one broker. Every method raises BrokerError when the broker did not answer."""

    async def sweep(self, symbols: Sequence[str]) -> Sweep:
        """Read account, terminal, positions, orders and the ticks of `symbols` in one round trip."""
        ...

    async def symbol(self, name: str) -> SymbolSpec:
        """The conditions of a symbol, selected in Market Watch first."""
        ...

    async def tick(self, name: str) -> Tick:
        """The last quote of a symbol."""
        ...

    async def positions(self) -> tuple[Position, ...]:
        """All open positions on the account."""
        ...

    async def orders(self) -> tuple[Order, ...]:
        """All pending orders on the account."""
        ...

    async def deals_of_order(self, order: int) -> tuple[Deal, ...]:
        """The deals that an order made."""
        ...

    async def deals_of_position(self, identifier: int) -> tuple[Deal, ...]:
        """The deals of a position, by its identifier."""
        ...

    async def deals_between(self, start: int, end: int) -> tuple[Deal, ...]:
        """Deals from `start` to `end`, in seconds of the broker's clock."""
        ...

    async def history_orders_between(self, start: int, end: int) -> tuple[Order, ...]:
        """Finished orders from `start` to `end`, in seconds of the broker's clock."""
        ...

    async def finished_order(self, ticket: int) -> Order | None:
        """A finished order by its ticket; None when the history has none."""
        ...

    async def check(self, request: Mapping[str, Any]) -> CheckReply:
        """Ask whether a request would be accepted."""
        ...

    async def send(self, request: Mapping[str, Any], *, epoch: int | None) -> SendReply:
        """Send a trade request. `epoch` is given for an opening and None for whatever lowers risk.

        Raises StaleEpoch when the opening is older than the entry epoch (not sent), GatewayUnavailable when it was
        not sent, BrokerTimeout or BrokerError when the outcome must be classified.
        """
        ...

    async def raise_epoch(self, epoch: int) -> None:
        """Tell both gateways that openings prepared before `epoch` are void."""
        ...
