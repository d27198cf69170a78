"""What a seed of the guards' campaign draws: the terminal's faults, and the rules with the judge's words for them."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.simulation.guard_judge import Limit
from tests.simulation.virtual import EPOCH

ACTIVE_SECONDS = 75.0
QUIET_SECONDS = 6.0
"""Nothing happens before: the guards begin with what is there."""
RESET_AT = 35.0
"""When the day of the limits that have one ends, in seconds of the run."""
DAY = {"zone": "UTC", "time": (EPOCH + timedelta(seconds=RESET_AT)).strftime("%H:%M:%S")}
STALE_SECONDS = 1.0


def drawn_fault(draws: random.Random) -> dict[str, Any]:
    """One fault of the terminal, as a plan would say it."""
    at = round(draws.uniform(QUIET_SECONDS, ACTIVE_SECONDS), 2)
    lasting = {"at": at, "seconds": round(draws.uniform(0.5, 8), 2)}
    call = {"call": "account_info", "at": at}
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: {"kind": "equity", "value": draws.choice((0.0, "nan", "inf", 1.0)), **lasting},
        lambda: {"kind": "equity", "value": draws.choice((0.0, 1.0, 30_000.0)), **lasting},
        lambda: {"kind": "login", "login": 5, **lasting},
        lambda: {"kind": "disconnect", "unsynchronised": round(draws.uniform(0, 2), 2), **lasting},
        lambda: {"kind": "freeze", **lasting},
        lambda: {"kind": "unsynchronised", "shown": draws.randint(0, 1), **lasting},
        lambda: {"kind": "restart", "at": at, "seconds": 2.0, "unsynchronised": round(draws.uniform(0, 3), 2)},
        lambda: {"kind": "fail", "count": draws.randint(1, 12), **call},
        lambda: {"kind": "late", "count": draws.randint(1, 4), "seconds": draws.choice((0.4, 1.5)), **call},
        lambda: {"kind": "hang", **call},
    ]
    return draws.choice(kinds)()


def drawn_rules(draws: random.Random) -> tuple[dict[str, Any], list[Limit]]:
    """A profile's guards, and the same in the judge's words."""
    percent = draws.choice((3.0, 5.0, 8.0))
    limits = [Limit("drawdown", "peak", percent=percent)]
    guards: dict[str, Any] = {}
    loss: list[dict[str, Any]] = []
    if draws.random() < 0.5:
        money = draws.choice((9_500.0, 9_700.0, 4_000.0))
        guards["equity_floor"] = {"money": money, "warn_money": 100.0}
        limits.append(Limit("equity floor", "floor", money=money))
    if draws.random() < 0.5:
        basis = draws.choice(("day-start balance", "day-start equity"))
        daily: dict[str, Any] = {
            "name": "daily loss",
            "basis": basis,
            "percent": draws.choice((2.0, 4.0)),
            "of": draws.choice(("basis", "initial")),
            "reset": DAY,
            "action": "flatten and lock",
            "lock": draws.choice(("reset", "operator", 5.0)),
            "begins_again": draws.random() < 0.5,
        }
        loss.append(daily)
        limits.append(
            Limit(
                "daily loss",
                "day balance" if basis == "day-start balance" else "day equity",
                percent=daily["percent"],
                of_initial=daily["of"] == "initial",
                begins_again=daily["begins_again"],
            )
        )
    if draws.random() < 0.4:
        most: dict[str, Any] = {
            "name": "max loss",
            "basis": draws.choice(("initial", "highest equity")),
            "money": draws.choice((400.0, 700.0)),
            "action": draws.choice(("flatten", "flatten and lock", "block")),
        }
        if most["action"] != "flatten":
            most["lock"] = "operator"
        loss.append(most)
        kind: Any = "initial" if most["basis"] == "initial" else "peak"
        limits.append(
            Limit("max loss", kind, money=most["money"], follows="shift", closes=most["action"] != "block")
        )  # fmt: skip
    if draws.random() < 0.4:
        preset = draws.choice(("static", "equity-trailing", "ftmo-2step"))
        guards["presets"] = [preset]
        firm: dict[str, Any] = {"act_at": 0.9, "follows": "keep", "begins_again": False}
        if preset == "equity-trailing":
            limits.append(Limit("equity-trailing max loss", "peak", percent=4.0, **firm))
        else:
            limits.append(Limit(f"{preset} max loss", "initial", percent=10.0, of_initial=True, **firm))
        if preset == "ftmo-2step":
            limits.append(Limit("ftmo-2step daily loss", "day balance", percent=5.0, of_initial=True, **firm))
    if draws.random() < 0.5:
        guards["open_positions"] = {"most": draws.randint(2, 4)}
    if loss:
        guards["loss"] = loss
    settings = {
        "guards": guards,
        "drawdown": {"limit_percent": percent},
        "reading": {"interval_seconds": 0.25, "stale_after_seconds": STALE_SECONDS},
        "flatten": {"hold_seconds": 1.0, "settle_seconds": 5.0},
        "loop": {"settle_seconds": 10.0, "reconcile_seconds": 2.0},
    }
    return settings, limits
