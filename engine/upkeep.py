"""What goes on beside the guard cycle for as long as an engine runs: watching, housekeeping, comparing.

watch       blindness, the kill switch and the last operator's leaving, while a read may hang
housekeep   signals expire, the strategy is asked
compare     the journal is held against the broker, conditions of symbols are read again
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from engine.approvals import Refused, SignalBook
from engine.attendance import Attendance
from engine.clock import Clock
from engine.closedown import Closedown
from engine.cycle import GuardCycle
from engine.journal import JournalError
from engine.killswitch import Killing
from engine.readings import Validity
from engine.reconcile import Reconciler
from engine.specs import SpecBook

_log = logging.getLogger(__name__)
ROUND_SECONDS = 0.25
_SPECS_SECONDS = 10.0
_RECONCILE_SECONDS = 2.0


class Upkeep:
    """Three endless rounds, each a task of the engine's. `cycle` is the guard cycle, once there is one.

    `deals_seconds` is how often the broker's deals are looked at; `symbols` are those whose conditions are kept;
    `ask_strategy` may raise Refused or JournalError.
    """

    def __init__(
        self,
        clock: Clock,
        book: SignalBook,
        specs: SpecBook,
        reconciler: Reconciler,
        closedown: Closedown,
        killing: Killing,
        attendance: Attendance,
        *,
        deals_seconds: float,
        cycle: Callable[[], GuardCycle],
        symbols: Callable[[], tuple[str, ...]],
        ask_strategy: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._book = book
        self._specs = specs
        self._reconciler = reconciler
        self._closedown = closedown
        self._killing = killing
        self._attendance = attendance
        self._deals_seconds = deals_seconds
        self._cycle = cycle
        self._symbols = symbols
        self._ask_strategy = ask_strategy

    def begin(self, group: asyncio.TaskGroup) -> "list[asyncio.Task[None]]":
        """Start the rounds; whoever ends the engine cancels them."""
        return [
            group.create_task(self._housekeep(), name="housekeeping"),
            group.create_task(self._watch(), name="blindness"),
            group.create_task(self._compare(), name="reconciliation"),
        ]

    async def _watch(self) -> None:
        """Looks for blindness, and at the kill switch, while a read hangs: a cycle may wait for that read."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            self._cycle().watch_blindness()
            self._killing.obey()
            self._attendance.watch()

    async def _housekeep(self) -> None:
        while True:
            try:
                await self._book.expire_due()
                await self._ask_strategy()
            except (Refused, JournalError) as refusal:
                # Refused: a signal moved on by itself. A failed journal is shown and blocks entries; guards go on.
                _log.warning("%s", refusal)
            await asyncio.sleep(ROUND_SECONDS)

    async def _compare(self) -> None:
        """Hold the journal against the broker: on every reconnect, when an order of ours changes, and all the time."""
        specs_due = reconcile_due = deals_due = 0.0
        was_connected = False
        while True:
            now = self._clock.monotonic()
            connected = self._cycle().reading.validity is Validity.VALID
            reconnected = connected and not was_connected
            was_connected = connected
            try:
                if now >= reconcile_due or reconnected or self._order_of_ours_changed():
                    reconcile_due = now + _RECONCILE_SECONDS
                    await self._reconciler.reconcile(connected=connected)
                    await self._closedown.look_after()
                if connected and (now >= deals_due or reconnected):
                    deals_due = now + self._deals_seconds
                    await self._reconciler.look_at_deals()
            except (Refused, JournalError) as refusal:
                _log.warning("%s", refusal)
            missing = [name for name in self._symbols() if self._specs.known(name) is None]
            if now >= specs_due:
                specs_due = now + _SPECS_SECONDS
                missing = list(self._symbols())
            for error in await self._specs.refresh_all(missing):
                _log.warning("%s", error)
            await asyncio.sleep(ROUND_SECONDS)

    def _order_of_ours_changed(self) -> bool:
        look = self._closedown.last_look()
        return look is not None and look.orders is not None and self._reconciler.missing(look.orders)
