"""What each answer of the broker means for an order: one table, one place.

Sources: MQL5 reference, "Return Codes of the Trade Server" and "OrderSend"; MetaTrader5 Python documentation of
order_send and last_error; behaviour of wheel 5.0.6231 as measured (argument errors are found before anything is sent).
"""

from dataclasses import dataclass
from enum import StrEnum

from engine.broker.base import BrokerError, GatewayUnavailable
from engine.broker.mt5 import NotSent


class Outcome(StrEnum):
    """What became of an order."""

    DONE = "DONE"
    PARTIAL = "PARTIAL"
    IN_FLIGHT = "IN_FLIGHT"
    """Accepted, not finished: look again, never send again."""
    UNKNOWN = "UNKNOWN"
    """It may or may not have been executed: search, never send again."""
    RETRY = "RETRY"
    """Refused for its price or its moment: may be sent again with a fresh price."""
    REJECTED = "REJECTED"
    """Refused; sending it again would be refused again."""
    BLOCKED = "BLOCKED"
    """Refused until the account, the symbol or the market changes state."""
    NOT_SENT = "NOT_SENT"
    """It never left this machine."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A return code's name and what it means for an order; `pause` in seconds before the second try, then doubled."""

    outcome: Outcome
    name: str
    pause: float = 0.0


RETCODES: dict[int, Meaning] = {
    10004: Meaning(Outcome.RETRY, "requote"),
    10006: Meaning(Outcome.REJECTED, "request rejected"),
    10007: Meaning(Outcome.REJECTED, "request cancelled by trader"),
    10008: Meaning(Outcome.IN_FLIGHT, "order placed"),
    10009: Meaning(Outcome.DONE, "done"),
    10010: Meaning(Outcome.PARTIAL, "done in part"),
    10011: Meaning(Outcome.UNKNOWN, "request processing error"),
    10012: Meaning(Outcome.UNKNOWN, "request cancelled by timeout"),
    10013: Meaning(Outcome.REJECTED, "invalid request"),
    10014: Meaning(Outcome.REJECTED, "invalid volume"),
    10015: Meaning(Outcome.REJECTED, "invalid price"),
    10016: Meaning(Outcome.REJECTED, "invalid stops"),
    10017: Meaning(Outcome.BLOCKED, "trade is disabled"),
    10018: Meaning(Outcome.BLOCKED, "market is closed"),
    10019: Meaning(Outcome.BLOCKED, "not enough money"),
    10020: Meaning(Outcome.RETRY, "prices changed"),
    10021: Meaning(Outcome.RETRY, "no quotes to process the request", pause=0.5),
    10022: Meaning(Outcome.REJECTED, "invalid expiration"),
    10023: Meaning(Outcome.IN_FLIGHT, "order state changed"),
    10024: Meaning(Outcome.RETRY, "too many requests", pause=1.0),
    10025: Meaning(Outcome.DONE, "no changes in request"),
    10026: Meaning(Outcome.BLOCKED, "autotrading disabled by server"),
    10027: Meaning(Outcome.BLOCKED, "autotrading disabled by client terminal"),
    10028: Meaning(Outcome.IN_FLIGHT, "request locked for processing"),
    10029: Meaning(Outcome.RETRY, "order or position frozen", pause=0.5),
    10030: Meaning(Outcome.REJECTED, "invalid order filling type"),
    10031: Meaning(Outcome.UNKNOWN, "no connection with the trade server"),
    10032: Meaning(Outcome.BLOCKED, "only allowed for live accounts"),
    10033: Meaning(Outcome.BLOCKED, "limit of pending orders reached"),
    10034: Meaning(Outcome.BLOCKED, "limit of volume reached"),
    10035: Meaning(Outcome.REJECTED, "invalid order type"),
    10036: Meaning(Outcome.REJECTED, "position already closed"),
    10038: Meaning(Outcome.REJECTED, "close volume exceeds the position's"),
    10039: Meaning(Outcome.IN_FLIGHT, "a close order exists already"),
    10040: Meaning(Outcome.BLOCKED, "limit of open positions reached"),
    10041: Meaning(Outcome.REJECTED, "pending order activation rejected"),
    10042: Meaning(Outcome.BLOCKED, "only long positions allowed"),
    10043: Meaning(Outcome.BLOCKED, "only short positions allowed"),
    10044: Meaning(Outcome.BLOCKED, "only closing allowed"),
    10045: Meaning(Outcome.BLOCKED, "only closing by FIFO allowed"),
    10046: Meaning(Outcome.BLOCKED, "opposite positions prohibited"),
}

POSITION_CLOSED = 10036
NO_CHANGES = 10025
DEFERRING_RETCODES = frozenset({10017, 10018, 10026, 10027, 10032, 10045})
"""Answers to a close that only time, or a person at the terminal, can change; 10045: by closing what is older."""

_NOT_SENT_ERRORS = frozenset({-2, -5, -6, -7, -8, -10003, -10004})
"""Error codes that the client library gives before anything leaves it."""


def of_retcode(retcode: int) -> Meaning:
    """The meaning of a return code; one that is not listed is UNKNOWN."""
    return RETCODES.get(retcode, Meaning(Outcome.UNKNOWN, "a return code that is not documented"))


def of_error(error: BrokerError) -> Outcome:
    """Whether a send that brought no answer was sent at all. Whatever is not provably unsent is UNKNOWN."""
    if isinstance(error, GatewayUnavailable | NotSent) or error.code in _NOT_SENT_ERRORS:
        return Outcome.NOT_SENT
    return Outcome.UNKNOWN
