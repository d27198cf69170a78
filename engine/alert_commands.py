"""What operators do about alerts, and how alerts are shown to them."""

from typing import Any

from engine.account import AccountEngine
from engine.approvals import Refused
from engine.control.messages import Acknowledge, AlertView
from engine.text import plain


def acknowledge(engine: AccountEngine, action: Acknowledge, reason: str, who: dict[str, str]) -> str:
    """Close open alerts. Raises Refused when none of those named is open."""
    if not action.all and not action.ids:
        raise Refused("nothing to acknowledge: name the alerts by their ids, or say all")
    if action.all and action.ids:
        raise Refused("name alerts by their ids, or say all; not both")
    found = engine.alerts.acknowledge(None if action.all else action.ids, reason, **who)
    missing = sorted(set(action.ids) - {alert.id for alert in found})
    if not found:
        raise Refused(f"no open alert {', '.join(missing)}" if missing else "no alert is open")
    said = f"acknowledged {', '.join(alert.id for alert in found)}"
    return f"{said}; not open: {', '.join(missing)}" if missing else said


def test(engine: AccountEngine, who: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Send a test to every target. Raises Refused when there is none."""
    name, targets = engine.alerts.send_test(**who)
    if not targets:
        raise Refused('nobody is told of alerts: the profile names no target; say [alerts] targets = ["phone"]')
    seconds = engine.settings.alerts.deliver_seconds
    return f"test sent to {', '.join(targets)}", {"test": name, "targets": targets, "seconds": seconds}


def alert_views(engine: AccountEngine) -> list[AlertView]:
    """The open alerts, critical ones first."""
    board = engine.alerts.board
    return [
        AlertView(
            id=alert.id,
            key=plain(alert.key, 100),
            severity=alert.severity.value,
            text=plain(alert.text),
            raised_at=alert.raised_at,
            count=alert.count,
            delivered_to=list(alert.delivered_to),
            failing=board.failing(alert),
        )
        for alert in board.open()
    ]
