"""What the broker grants an account and how its server behaves. Values, nothing else.

`Conditions` is fixed for the life of an account; `Interference` is what a fault plan bends while it runs, and is only
ever touched by it.
"""

from dataclasses import dataclass, field

from engine.paper.structs import CONSTANTS

NETTING = CONSTANTS["ACCOUNT_MARGIN_MODE_RETAIL_NETTING"]
EXCHANGE = CONSTANTS["ACCOUNT_MARGIN_MODE_EXCHANGE"]
HEDGING = CONSTANTS["ACCOUNT_MARGIN_MODE_RETAIL_HEDGING"]
PERCENT = CONSTANTS["ACCOUNT_STOPOUT_MODE_PERCENT"]
MONEY = CONSTANTS["ACCOUNT_STOPOUT_MODE_MONEY"]
COMMENTS_KEPT, COMMENTS_CUT, COMMENTS_REPLACED = "keep", "cut", "replace"


@dataclass(frozen=True, slots=True)
class Conditions:
    """An account's conditions.

    `commission_per_lot` is in account currency per lot and side. `margin_call` and `stop_out` are percent of the
    margin, or with `stop_out_mode` MONEY an equity in account currency. `limit_orders` is how many pending orders may
    stand, 0: any. `execution_delay_ms` is how long after the reply a market order's deal is made, in milliseconds of
    the market's time. `comments`: what the server does with the comment of a request: "keep", "cut" it to 16
    characters, or "replace" it by its own.
    """

    currency: str = "USD"
    leverage: int = 100
    margin_mode: int = HEDGING
    fifo_close: bool = False
    commission_per_lot: float = 0.0
    stop_out_mode: int = PERCENT
    margin_call: float = 100.0
    stop_out: float = 50.0
    limit_orders: int = 0
    execution_delay_ms: int = 0
    comments: str = COMMENTS_KEPT

    @property
    def hedging(self) -> bool:
        """Whether every deal opens a position of its own."""
        return self.margin_mode == HEDGING

    @property
    def closes_by_fifo(self) -> bool:
        """Whether the oldest position of a symbol must be closed first: never on a netting account."""
        return self.fifo_close and self.hedging


@dataclass(slots=True)
class Interference:
    """What goes wrong at the broker right now; all of it off by default.

    `closed` are symbols without trading (None in it: all of them). `requote`: instant execution finds the price
    changed. `drop_stops`: stop loss and take profit of an opening get lost. `server_autotrading` and
    `terminal_autotrading` off refuse requests of programs (10026, 10027). `fill_share` is the share of a market order
    that the server fills.
    """

    closed: set[str | None] = field(default_factory=set)
    requote: bool = False
    drop_stops: bool = False
    server_autotrading: bool = True
    terminal_autotrading: bool = True
    fill_share: float = 1.0
