"""The faults that a seed of the campaign draws: of the terminal, of its answers, of the market."""

import random
from collections.abc import Callable
from typing import Any

ACTIVE_SECONDS = 45.0
SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY")
RETCODES = (
    10004, 10006, 10007, 10008, 10010, 10011, 10012, 10013, 10014, 10015, 10016, 10017, 10018, 10019, 10020, 10021,
    10022, 10023, 10024, 10025, 10026, 10027, 10028, 10029, 10030, 10031, 10032, 10033, 10034, 10035, 10036, 10038,
    10039, 10040, 10041, 10042, 10043, 10044, 10045, 10046, 10999,
)  # fmt: skip
DOUBTFUL = (10004, 10011, 10012, 10020, 10031, 10999)
"""Those after which an order is easily doubled: drawn as often as all the others."""
ERRORS = ((-1, "fail"), (-10000, "internal"), (-10001, "send"), (-10002, "recv"), (-10005, "timeout"))
"""Those that say nothing of an order; -2 and the like are given before anything is sent."""
READS = ("account_info", "positions_get", "orders_get", "history_deals_get", "symbol_info_tick", "terminal_info")


def drawn_fault(draws: random.Random) -> dict[str, Any]:
    """One fault, as a plan would say it."""
    at = round(draws.uniform(2, ACTIVE_SECONDS), 2)
    lasting = {"at": at, "seconds": round(draws.uniform(0.5, 12), 2)}
    symbol = draws.choice((None, *SYMBOLS))
    sends = {"call": "order_send", "at": at, "count": draws.randint(1, 3)}
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: {"kind": "lost", "silent": draws.random() < 0.5, **sends},
        lambda: {"kind": "fail", "error": draws.choice(ERRORS), "executed": draws.random() < 0.5, **sends},
        lambda: {
            "kind": "retcode",
            "retcode": draws.choice(draws.choice((RETCODES, DOUBTFUL))),
            "executed": draws.random() < 0.5,
            **sends,
        },
        lambda: {"kind": "late", "seconds": round(draws.uniform(0.1, 15), 2), **sends},
        lambda: {"kind": "delay", "seconds": round(draws.uniform(0.1, 15), 2), **sends},
        lambda: {"kind": "hang", **sends},
        lambda: {"kind": "hang", "call": draws.choice(READS), "at": at},
        lambda: {"kind": "late", "call": draws.choice(READS), "at": at, "seconds": 3.0},
        lambda: {"kind": "fail", "call": draws.choice(READS), "at": at, "count": 20, "error": draws.choice(ERRORS)},
        lambda: {"kind": "disconnect", **lasting},
        lambda: {"kind": "restart", "at": at, "seconds": 3.0, "unsynchronised": round(draws.uniform(0, 8), 2)},
        lambda: {"kind": "unsynchronised", "shown": draws.randint(0, 1), **lasting},
        lambda: {"kind": "equity", "value": draws.choice((0.0, "nan", "inf", 1.0)), **lasting},
        lambda: {"kind": "login", "login": 5, **lasting},
        lambda: {"kind": "drop_stops", "at": at, "seconds": round(draws.uniform(5, 40), 2)},
        lambda: {"kind": "freeze", "symbol": symbol, **lasting},
        lambda: {"kind": "closed", "symbol": symbol, **lasting},
        lambda: {"kind": "autotrading", "where": draws.choice(("terminal", "server")), **lasting},
        lambda: {"kind": "partial", "share": draws.choice((0.0, 0.5)), **lasting},
        lambda: {"kind": "spread", "factor": 15.0, "symbol": symbol, **lasting},
        lambda: {
            "kind": "refill",
            "symbol": draws.choice(SYMBOLS),
            "side": "buy",
            "volume": 0.1,
            "every": 2.0,
            **lasting,
        },
        lambda: {"kind": "cash", "amount": draws.choice((-500.0, 500.0)), "at": at},
    ]
    return draws.choice(kinds)()
