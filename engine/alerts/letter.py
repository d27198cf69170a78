"""What is sent: a title and a body that fit a phone. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.alerts.board import Alert, worst
from engine.text import plain

_LISTED = 8
_LONGEST = 220


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one target. `severity` is "warning" or "critical"."""

    target: str
    severity: str
    title: str
    body: str


def compose(target: str, alerts: Sequence[Alert], account: str) -> Message:
    """The alerts in one message, the worst first, with what acknowledges them."""
    severity = worst(alerts)
    lines = [
        f"{alert.severity.upper()} {alert.raised_at:%H:%M:%S} UTC: {plain(alert.text, _LONGEST)}"
        f"{f' ({alert.count} times)' if alert.count > 1 else ''} [{alert.id}]"
        for alert in alerts[:_LISTED]
    ]
    if len(alerts) > _LISTED:
        lines.append(f"... and {len(alerts) - _LISTED} more")
    lines.append(f"Acknowledge: quarterdeck ack {alerts[0].id if len(alerts) == 1 else '--all'}")
    return Message(target, severity, f"Quarterdeck {severity.upper()}: {plain(account, 60)}", "\n".join(lines))
