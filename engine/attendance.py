"""Who is at the desk, and what happens when the last operator has left it.

In: streams that open and end. Out: `operator_attached` and `operator_detached` events, the list of those attached, and
after the grace time a pause or a flatten, if the profile says so. Whether the desk is attended is durable: an engine
that was killed with an operator attached waits for one again after its start. It never acts where nobody ever was.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from engine.clock import iso
from engine.control.messages import AttachedView
from engine.control.settings import ControlSettings
from engine.control.target import Visitor
from engine.events import Draft, EventType
from engine.keeper import Keeper
from engine.modes import Modes
from engine.recorder import Recorder, Spawn
from engine.state import EngineMode

NOBODY = "nobody attached"
"""Who paused or flattened, in the journal."""
_KEY = "attendance"
_NAMES = 100
"""How many names are remembered by when they left."""


class Attendance:
    """The desk of one account. `flatten` closes everything and halts, for a reason."""

    def __init__(
        self,
        recorder: Recorder,
        modes: Modes,
        settings: ControlSettings,
        *,
        spawn: Spawn,
        flatten: Callable[[str], Awaitable[None]],
    ) -> None:
        self._recorder = recorder
        self._modes = modes
        self._settings = settings
        self._spawn = spawn
        self._flatten = flatten
        self._here: dict[Visitor, AttachedView] = {}
        self._left: dict[str, tuple[int, str]] = {}
        """By name: the newest event when it left, and the time."""
        self._attended = False
        """Whether there was an operator for whose leaving nothing has been done yet."""
        self._deadline: float | None = None
        self._open = False
        self._keeper = Keeper[None](recorder, spawn, _KEY, self._kept)

    def attached(self) -> list[AttachedView]:
        """Everybody with an open stream, in the order in which they came."""
        return list(self._here.values())

    def notice(self) -> str | None:
        """What the operator must know while the grace time runs; None when it does not."""
        if self._deadline is None:
            return None
        left = max(0.0, self._deadline - self._recorder.clock.monotonic())
        return f"NO OPERATOR ATTACHED: {self._settings.on_last_operator} in {left:.0f} s"

    async def restore(self, values: Mapping[str, str]) -> None:
        """Take up what was kept. Whoever was attached when the engine ended has left then, as far as they could see."""
        kept = json.loads(values.get(_KEY, "{}"))
        self._attended = bool(kept.get("attended", False))
        self._left = {name: (int(seq), str(at)) for name, (seq, at) in kept.get("left", {}).items()}
        gone = kept.get("here", [])
        if gone:
            journal = self._recorder.journal
            newest = await journal.events(max(0, journal.last_seq - 1), 1)
            at = newest[0].timestamp if newest else self._recorder.clock.utc()
            for who in gone:
                self._note_left(str(who["operator"]), journal.last_seq, at)
            self._keeper.changed(*(self._detached({**who, "reason": "the engine ended"}) for who in gone))

    def begin(self) -> None:
        """Visitors can come now: from here the grace time runs, if an operator was attached before the start."""
        self._open = True
        self._consider()

    def stop(self) -> None:
        """The engine ends: who is cut off by that has not left."""
        self._open = False

    def arrive(self, visitor: Visitor) -> None:
        """A stream has been opened."""
        operator = visitor.operator
        elsewhere = any(view.name == operator.name for view in self._here.values())
        seq, at = (None, None) if elsewhere else self._left.get(operator.name, (None, None))
        now = self._recorder.clock.utc()
        self._here[visitor] = AttachedView(
            id=visitor.console,
            name=operator.name,
            role=operator.role,
            origin=operator.origin,
            via=operator.via,
            since=now,
            away_seq=seq,
            away_since=datetime.fromisoformat(at) if at is not None else None,
        )
        if not self._open:
            return
        if operator.role == "operator":
            self._attended = True
            self._deadline = None
        self._keeper.changed(self._recorder.draft(EventType.OPERATOR_ATTACHED, **_of(visitor)))

    def leave(self, visitor: Visitor) -> None:
        """That stream has ended."""
        del self._here[visitor]
        if not self._open:
            return
        self._note_left(visitor.operator.name, self._recorder.journal.last_seq, self._recorder.clock.utc())
        self._consider()
        self._keeper.changed(self._detached(_of(visitor)))

    def watch(self) -> None:
        """Act once the grace time is over. Called several times a second; never waits."""
        if self._deadline is None or not self._open or self._recorder.clock.monotonic() < self._deadline:
            return
        self._deadline = None
        self._spawn(self._act())

    async def _act(self) -> None:
        action, mode = self._settings.on_last_operator, self._modes.mode
        reason = f"no operator has been attached for {self._settings.grace_seconds:g} s ([control] on_last_operator)"
        if action == "flatten" and mode not in (EngineMode.FLATTENING, EngineMode.HALTED):
            await self._flatten(reason)
        elif action == "pause" and mode is EngineMode.RUNNING:
            await self._modes.block(EngineMode.PAUSED, reason, operator=NOBODY, origin="engine")
        elif action == "pause" and mode is EngineMode.PAUSED:
            await self._modes.insist_on_pause(reason, operator=NOBODY, origin="engine")
        # Not before it is on record: an engine that is killed meanwhile must begin again.
        self._attended = self._operated()
        self._keeper.changed()

    def _operated(self) -> bool:
        return any(view.role == "operator" for view in self._here.values())

    def _consider(self) -> None:
        """Begin the grace time when there is no operator left, and one has been here."""
        if not self._attended or self._operated():
            return
        if self._settings.on_last_operator == "keep":
            self._attended = False
        elif self._deadline is None:
            self._deadline = self._recorder.clock.monotonic() + self._settings.grace_seconds

    def _note_left(self, name: str, seq: int, at: datetime) -> None:
        self._left.pop(name, None)
        self._left[name] = (seq, iso(at))
        while len(self._left) > _NAMES:
            del self._left[next(iter(self._left))]

    def _detached(self, who: Mapping[str, Any]) -> Draft:
        return self._recorder.draft(EventType.OPERATOR_DETACHED, **who)

    def _kept(self) -> tuple[str, None]:
        here = [_of(visitor) for visitor in self._here]
        return json.dumps({"attended": self._attended, "here": here, "left": self._left}), None


def _of(visitor: Visitor) -> dict[str, str]:
    """What the journal says of a visitor."""
    return {**visitor.operator.who(), "role": visitor.operator.role, "console": visitor.console}
