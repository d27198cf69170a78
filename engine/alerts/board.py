"""The open alerts, and what is to be told to whom next. Pure: times, ids and outcomes are given to it.

An alert owes a target something while the target is in its `owed`. A round adds its targets: the first when the alert
is raised; for a critical one a further round every `repeat_seconds`, with those of the escalation, whether or not the
one before has reached anybody. A target that fails is tried again, for all that it is owed, after a growing pause.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.alerts.rules import Over, Raised, Severity
from engine.alerts.settings import AlertSettings

MOST_OPEN = 100
"""Open alerts. A further one takes the place of the oldest warning, or else is only counted."""
OVERFLOW = "overflow"
PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds before a target that failed is tried again; the last one stays."""
_LONGEST_TEXT = 500


@dataclass(slots=True)
class Alert:
    """One thing that somebody must be told, until it is acknowledged."""

    id: str
    key: str
    severity: Severity
    text: str
    raised_at: datetime
    count: int = 1
    delivered_to: tuple[str, ...] = ()
    owed: set[str] = field(default_factory=set)
    told_at: float = 0.0
    """When it was last put up for telling; monotonic seconds."""
    next_round: float | None = None
    telling: int = 0
    """Goes up whenever there is something new to tell, so that an older message's delivery does not settle it."""


@dataclass(slots=True)
class _Line:
    """How it stands with one target."""

    busy: bool = False
    failures: int = 0
    retry_at: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be told to one target now."""

    target: str
    alerts: tuple[Alert, ...]
    tellings: Mapping[str, int]


class Board:
    """All open alerts of one account."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._open: dict[str, Alert] = {}
        """By key."""
        self._lines = {name: _Line() for name in (*settings.targets, *settings.escalation)}

    def open(self) -> list[Alert]:
        """The open alerts, critical ones first, the oldest first."""
        return sorted(self._open.values(), key=lambda alert: (alert.severity is not Severity.CRITICAL, alert.raised_at))

    def restore(self, alert: Alert, since_told: float | None, now: float) -> None:
        """Take up an alert of an earlier run. `since_told`: seconds since it last reached anybody, None: never."""
        alert.told_at = now - (since_told or 0.0)
        alert.owed = set(self._settings.targets) - set(alert.delivered_to)
        if alert.severity is Severity.CRITICAL:
            waited = min(max(since_told or 0.0, 0.0), self._settings.repeat_seconds)
            alert.next_round = now + self._settings.repeat_seconds - waited
        self._open[alert.key] = alert

    def raise_(self, raised: Raised, new_id: str, now: float, utc: datetime) -> tuple[Alert, bool, list[Alert]]:
        """Raise an alert. Returns it, whether it is news (to be told and recorded), and what gave way to it."""
        known = self._open.get(raised.key)
        if known is not None:
            return known, self._again(known, raised, now), []
        gone: list[Alert] = []
        if len(self._open) >= MOST_OPEN and raised.key != OVERFLOW:
            oldest = min(
                (item for item in self._open.values() if item.severity is Severity.WARNING),
                key=lambda item: item.raised_at,
                default=None,
            )
            if oldest is None:
                text = f"More than {MOST_OPEN} alerts are open; see the events. The last: {raised.text}"
                return self.raise_(Raised(OVERFLOW, raised.severity, text), new_id, now, utc)
            gone.append(self._open.pop(oldest.key))
        alert = Alert(new_id, raised.key, raised.severity, raised.text[:_LONGEST_TEXT], utc)
        self._open[raised.key] = alert
        self._tell(alert, now)
        return alert, True, gone

    def _again(self, alert: Alert, raised: Raised, now: float) -> bool:
        alert.count += 1
        alert.text = raised.text[:_LONGEST_TEXT]
        worse = raised.severity is Severity.CRITICAL and alert.severity is Severity.WARNING
        if worse:
            alert.severity = Severity.CRITICAL
        if not worse and now - alert.told_at < self._settings.quiet_seconds:
            return False
        self._tell(alert, now)
        return True

    def _tell(self, alert: Alert, now: float) -> None:
        """A first round: of something new, or of something that is news again."""
        alert.told_at = now
        alert.telling += 1
        alert.owed |= set(self._settings.targets)
        if alert.severity is Severity.CRITICAL and alert.next_round is None:
            alert.next_round = now + self._settings.repeat_seconds

    def over(self, ended: Over, said: str) -> None:
        """Say in each alert that it covers that its cause has ended. They stay open."""
        for alert in self._open.values():
            if ended.covers(alert.key) and not alert.text.endswith(said):
                alert.text = f"{alert.text[: _LONGEST_TEXT - len(said) - 2]}; {said}"

    def acknowledge(self, ids: Collection[str] | None) -> list[Alert]:
        """Take out the alerts of these ids, None: all. Nothing more of them is told."""
        found = [alert for alert in self.open() if ids is None or alert.id in ids]
        for alert in found:
            del self._open[alert.key]
        return found

    def due(self, now: float) -> list[Batch]:
        """What is to be sent now, one batch a target. The target is busy until `settle` says what became of it."""
        self._begin_rounds(now)
        batches: list[Batch] = []
        for name, line in self._lines.items():
            owed = tuple(alert for alert in self.open() if name in alert.owed)
            if owed and not line.busy and now >= line.retry_at:
                line.busy = True
                batches.append(Batch(name, owed, {alert.id: alert.telling for alert in owed}))
        return batches

    def _begin_rounds(self, now: float) -> None:
        for alert in self._open.values():
            if alert.next_round is not None and now >= alert.next_round:
                alert.next_round = now + self._settings.repeat_seconds
                alert.told_at = now
                alert.telling += 1
                alert.owed |= set(self._lines)

    def settle(self, batch: Batch, why: str | None, now: float) -> int:
        """A delivery has ended: `why` it failed, None when it did not. Returns how often in a row it has failed."""
        line = self._lines[batch.target]
        line.busy = False
        if why is not None:
            line.failures += 1
            line.retry_at = now + PAUSES[min(line.failures, len(PAUSES)) - 1]
            line.why = why
            return line.failures
        line.failures, line.retry_at, line.why = 0, 0.0, ""
        for alert in batch.alerts:
            alert.delivered_to = tuple(dict.fromkeys((*alert.delivered_to, batch.target)))
            if alert.telling == batch.tellings[alert.id]:
                alert.owed.discard(batch.target)
        return 0

    def failing(self, alert: Alert) -> list[str]:
        """Where the alert is still owed and could not be delivered, with the reason."""
        return [f"{name}: {line.why}" for name, line in self._lines.items() if line.why and name in alert.owed]

    def next_at(self, now: float) -> float | None:
        """When there is something to do again; monotonic seconds, None: when something happens."""
        times = [alert.next_round for alert in self._open.values() if alert.next_round is not None]
        owed = {name for alert in self._open.values() for name in alert.owed}
        times += [max(now, line.retry_at) for name, line in self._lines.items() if name in owed and not line.busy]
        return min(times, default=None)


def worst(alerts: Sequence[Alert]) -> Severity:
    """How severe the worst of them is."""
    return Severity.CRITICAL if any(item.severity is Severity.CRITICAL for item in alerts) else Severity.WARNING
