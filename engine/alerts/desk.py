"""The alert desk: listens to what is journalled, keeps the open alerts, has them delivered until somebody acknowledges.

In: drafts in the moment they are handed to the journal, results of deliveries, an operator's word. Out: ALERT_* events,
messages handed to the courier. `hear` stands in front of every commit: it looks a rule up and returns. Everything else
is in a task that nobody waits for, and whose failure is shown and does not end the engine: its guards matter more.
"""

import asyncio
import logging
import random
from dataclasses import replace
from datetime import datetime

from engine.alerts.board import Alert, Batch, Board
from engine.alerts.delivery import Courier, Result
from engine.alerts.letter import Message, compose
from engine.alerts.rules import Over, Raised, Rules, Severity
from engine.alerts.settings import AlertSettings
from engine.clock import iso
from engine.events import Draft, EventType
from engine.recorder import Recorder, Spawn
from engine.text import plain

_LOOK_SECONDS = 1.0
"""How often the journal's health and the times of repetitions are looked at, when nothing happens."""
_AFTER_FAILURE_SECONDS = 5.0
_UNTOLD = 10_000
"""So many events since the last heartbeat, the newest ones, are looked through at a start."""
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_log = logging.getLogger(__name__)


class AlertDesk:
    """The alerts of one account. Nothing is heard, kept or sent before `start`."""

    def __init__(self, recorder: Recorder, settings: AlertSettings, randomness: random.Random) -> None:
        self._recorder = recorder
        self._clock = recorder.clock
        self._settings = settings
        self._randomness = randomness
        self._rules = Rules()
        self.board = Board(settings)
        self.failure = ""
        """Why alerts may not reach anybody: a bug, in words; "" while all is well."""
        self._courier: Courier | None = None
        self._unwritten: list[Draft] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._journal_failed = False

    async def start(self, courier: Courier, spawn: Spawn) -> None:
        """Take up the open alerts of earlier runs, and begin to listen. Raises JournalError."""
        self._courier = courier
        if not self._settings.targets:
            _log.warning("no [alerts] targets: alerts are shown and journalled, and nobody is told of them")
        await self._restore()
        self._recorder.journal.overhear(self.hear)
        if await self._died():
            self.raise_alert("death", Severity.CRITICAL, "The engine was started after it had died or was killed")
        await self._take_up_untold()
        self._task = spawn(self._run())

    async def stop(self) -> None:
        """Record what is unrecorded and give up what is being delivered; it is owed after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._courier is not None:
            await self._courier.close()
        await self._write()

    def hear(self, draft: Draft) -> None:
        """Look at what is being journalled. Never waits and never raises."""
        try:
            now = self._clock.monotonic()
            found = self._rules.finding(draft, now)
            if isinstance(found, Raised):
                self.raise_alert(found.key, found.severity, found.text)
            elif isinstance(found, Over):
                self.board.over(found, f"{found.text} ({self._clock.utc():%H:%M:%S} UTC)")
        except Exception as error:
            self._failed(error)

    def raise_alert(self, key: str, severity: Severity, text: str) -> None:
        """Raise an alert; the same key, while it is open, is the same alert. Returns at once."""
        now, utc = self._clock.monotonic(), self._clock.utc()
        alert, news, gone = self.board.raise_(Raised(key, severity, plain(text)), self._new_id(), now, utc)
        if gone:
            self._note(EventType.ALERT_ACKNOWLEDGED, ids=[item.id for item in gone], operator="", reason="gave way")
        if news:
            self._note(
                EventType.ALERT_RAISED,
                id=alert.id,
                key=alert.key,
                severity=alert.severity,
                text=alert.text,
                raised_at=iso(alert.raised_at),
                count=alert.count,
            )

    def acknowledge(self, ids: list[str] | None, reason: str, **who: str) -> list[Alert]:
        """Close these open alerts, None: all; nothing more of them is sent. Returns those that were open."""
        found = self.board.acknowledge(None if ids is None else set(ids))
        if found:
            self._note(
                EventType.ALERT_ACKNOWLEDGED,
                ids=[alert.id for alert in found],
                keys=[alert.key for alert in found],
                reason=reason,
                **who,
            )
        return found

    def send_test(self, **who: str) -> tuple[str, list[str]]:
        """Send a test to every target and the escalation. Returns its id, by which events tell the outcome."""
        name = f"test-{self._new_id()}"
        targets = [*self._settings.targets, *self._settings.escalation]
        text = f"This is a test of the alerts, asked for by {plain(who.get('operator', '?'), 64)}. [{name}]"
        title = f"Quarterdeck TEST: {plain(self._recorder.account, 60)}"
        if targets and self._courier is not None:
            messages = [Message(target, Severity.WARNING, title, text) for target in targets]
            self._courier.send(messages, lambda result: self._tell_result(result, [name], 1))
        return name, targets

    async def _restore(self) -> None:
        """Load the alerts that earlier runs left open, with the time that has passed since anybody was told."""
        query, account = self._recorder.journal.query, self._recorder.account
        delivered: dict[str, dict[str, datetime]] = {}
        for name, target, at in await query("SELECT alert, target, at FROM alert_deliveries"):
            delivered.setdefault(name, {})[target] = datetime.fromisoformat(at)
        rows = await query(
            "SELECT id, key, severity, text, raised_at, count FROM alerts WHERE account = ? ORDER BY raised_at",
            (account,),
        )
        now, utc = self._clock.monotonic(), self._clock.utc()
        for name, key, severity, text, raised_at, count in rows:
            reached = delivered.get(name, {})
            alert = Alert(name, key, Severity(severity), text, datetime.fromisoformat(raised_at), count, tuple(reached))
            since = (utc - max(reached.values())).total_seconds() if reached else None
            self.board.restore(alert, since, now)

    async def _last(self, *kinds: EventType) -> tuple[int, str]:
        """The newest event of these kinds: its number and its kind; 0 and "" when there is none."""
        marks = ", ".join("?" * len(kinds))
        rows = await self._recorder.journal.query(
            "SELECT seq, event_type FROM event WHERE account = ?"  # noqa: S608 - question marks only
            f" AND event_type IN ({marks}) ORDER BY seq DESC LIMIT 1",
            (self._recorder.account, *kinds),
        )
        return (rows[0][0], rows[0][1]) if rows else (0, "")

    async def _died(self) -> bool:
        """Whether the run before this one has not said that it stopped."""
        _, kind = await self._last(EventType.ENGINE_STARTED, EventType.ENGINE_STOPPED)
        return kind == EventType.ENGINE_STARTED

    async def _take_up_untold(self) -> None:
        """Raise what the last events mean and nobody was told: a kill comes between an event and its alert too.

        Here also are those that no engine has written: what was merged from beside the journal.
        """
        journal = self._recorder.journal
        since, _ = await self._last(EventType.HEARTBEAT)
        events = await journal.events(max(since, journal.last_seq - _UNTOLD), _UNTOLD)
        raised = {e.metadata["key"]: e.seq for e in events if e.event_type is EventType.ALERT_RAISED}
        rules, untold = Rules(), dict[str, Raised]()
        for event in events:
            if event.account not in ("", self._recorder.account):
                continue
            found = rules.finding(event, event.timestamp.timestamp())
            if isinstance(found, Over):
                untold = {key: each for key, each in untold.items() if not found.covers(key)}
            elif found is not None and raised.get(found.key, 0) < event.seq:
                untold[found.key] = replace(found, text=f"{found.text} ({event.timestamp:%H:%M:%S} UTC)")
        for each in untold.values():
            self.raise_alert(each.key, each.severity, each.text)

    async def _run(self) -> None:
        while True:
            try:
                await self._once()
            except Exception as error:
                self._failed(error)
                await asyncio.sleep(_AFTER_FAILURE_SECONDS)

    async def _once(self) -> None:
        """Send what is due, record what is new, and wait for more."""
        self._wake.clear()
        failure = self._recorder.journal.failure
        if failure is not None and not self._journal_failed:
            self._journal_failed = True
            self.raise_alert(
                "journal", Severity.CRITICAL, f"The journal failed, no new orders until a restart: {failure}"
            )
        self._send(self.board.due(self._clock.monotonic()))
        await self._write()
        due = self.board.next_at(self._clock.monotonic())
        wait = _LOOK_SECONDS if due is None else min(_LOOK_SECONDS, max(0.0, due - self._clock.monotonic()))
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _send(self, batches: list[Batch]) -> None:
        if self._courier is None or not batches:
            return
        by_target = {batch.target: batch for batch in batches}
        messages = [compose(batch.target, batch.alerts, self._recorder.account) for batch in batches]
        self._courier.send(messages, lambda result: self._settled(by_target[result.target], result))

    def _settled(self, batch: Batch, result: Result) -> None:
        attempt = self.board.settle(batch, result.why, self._clock.monotonic())
        self._tell_result(result, [alert.id for alert in batch.alerts], attempt)

    def _tell_result(self, result: Result, ids: list[str], attempt: int) -> None:
        if result.why is None:
            self._note(EventType.ALERT_DELIVERED, target=result.target, ids=ids)
        else:
            self._note(EventType.ALERT_FAILED, target=result.target, ids=ids, attempt=attempt, reason=result.why)

    def _note(self, kind: EventType, **details: object) -> None:
        self._unwritten.append(self._recorder.draft(kind, **details))
        self._wake.set()

    async def _write(self) -> None:
        """Record in order, waiting at most 50 ms, which only this task does."""
        drafts, self._unwritten = self._unwritten, []
        if drafts:
            await self._recorder.urgent(*drafts)

    def _new_id(self) -> str:
        return "".join(self._randomness.choice(_LETTERS) for _ in range(5))

    def _failed(self, error: Exception) -> None:
        self.failure = f"{type(error).__name__}: {plain(str(error), 200)}"
        _log.error("alerts failed", exc_info=error)
