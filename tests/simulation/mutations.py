"""The engine with one safeguard taken out: whatever the campaign does not find with it has no test.

Each mutation is a context manager over monkeypatches, so that the same seeds run on the same code otherwise.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from engine import execution, flatten, outcomes, projection, reconcile
from engine.alerts.desk import AlertDesk
from engine.approvals import SignalBook
from engine.broker.worker import Dispatcher
from engine.events import EventType
from engine.evidence import Evidence, Trace
from engine.gate import EntryGate
from engine.journal import Statement
from engine.modes import Modes
from engine.outcomes import Outcome
from engine.protection import Protector
from engine.signals import Intent, Signal, SignalState

Mutation = Callable[[], AbstractContextManager[None]]
MUTATIONS: dict[str, Mutation] = {}


def mutation(make: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
    """Register a mutation under its function's name."""
    MUTATIONS[make.__name__] = contextmanager(make)
    return make


@mutation
def no_intent_before_the_send() -> Iterator[None]:
    """The claim is kept in memory only."""

    async def claim(self: Any, signal: Signal, intent: Intent) -> Signal:
        return self._keep(replace(signal, state=SignalState.EXECUTING, intent=intent))  # type: ignore[no-any-return]

    with patch.object(SignalBook, "claim", claim):
        yield


@mutation
def claim_without_conditions() -> Iterator[None]:
    """The step to EXECUTING asks neither for state and version nor for expiry, mode and epoch."""

    def claim(event: Any) -> Statement:
        details = event.metadata
        return Statement(
            "UPDATE signals SET state = 'EXECUTING', version = version + 1, intent = ? WHERE id = ?",
            (projection._json(details["intent"]), details["signal"]),
        )

    with patch.object(projection, "_claim", claim), patch.object(SignalBook, "seconds_left", lambda self, signal: 9.0):
        yield


@mutation
def unknown_is_failed() -> Iterator[None]:
    """An order whose outcome is not known is written off as refused."""

    async def unknown(self: Any, signal: Signal, reason: str) -> Signal:
        return await self._fail(signal, reason)  # type: ignore[no-any-return]

    with patch.object(execution.Executor, "_unknown", unknown):
        yield


@mutation
def unknown_is_sent_again() -> Iterator[None]:
    """An order whose outcome is not known is tried again, as if it had been refused for its price."""
    codes = {
        code: outcomes.Meaning(Outcome.RETRY, meaning.name) if meaning.outcome is Outcome.UNKNOWN else meaning
        for code, meaning in outcomes.RETCODES.items()
    }

    async def nothing(*about: Any) -> Evidence:
        return Evidence(Trace.NOTHING)

    with patch.object(outcomes, "RETCODES", codes), patch.object(execution, "search", nothing):
        yield


@mutation
def one_empty_look_is_flat() -> Iterator[None]:
    """Flat is said after one empty look, without holding it."""
    honest = flatten.Flattener.run

    async def run(self: Any, *about: Any) -> Any:
        self._hold_seconds = 0.0
        return await honest(self, *about)

    with patch.object(flatten.Flattener, "run", run):
        yield


@mutation
def old_openings_are_sent() -> Iterator[None]:
    """The gateway does not look at the entry epoch."""
    with patch.object(Dispatcher, "raise_epoch", lambda self, epoch: None):
        yield


@mutation
def stop_is_not_read_back() -> Iterator[None]:
    """After a fill nobody looks whether the position has its stop."""

    async def protect(self: Any, *about: Any) -> bool:
        return True

    with patch.object(Protector, "protect", protect):
        yield


@mutation
def unknown_does_not_block() -> Iterator[None]:
    """New risk is taken on a symbol whose last order's outcome is not known."""
    with patch.object(reconcile.Reconciler, "blocks", lambda self, symbol: None):
        yield


@mutation
def deals_are_not_looked_at() -> Iterator[None]:
    """A deal of an order that was said to be refused stays unseen."""

    async def look(self: Any) -> None:
        self.compared = True

    with patch.object(reconcile.Reconciler, "look_at_deals", look):
        yield


@mutation
def restart_forgets_what_was_in_flight() -> Iterator[None]:
    """What was being executed when the engine died is written off."""

    async def adopt(self: Any) -> None:
        for signal in self._book.unresolved():
            if signal.state is SignalState.EXECUTING:
                await self._book.step(signal, SignalState.FAILED, EventType.TRADE_FAILED, reason="the engine stopped")

    async def look(self: Any) -> None:
        self.compared = True

    with (
        patch.object(reconcile.Reconciler, "adopt_interrupted", adopt),
        patch.object(reconcile.Reconciler, "look_at_deals", look),
    ):
        yield


@mutation
def pause_only_in_the_journal() -> Iterator[None]:
    """Blocking waits for its record and the gateways are not told: what is queued goes out meanwhile."""

    def block(self: Modes, mode: Any, reason: str, *causes: Any, **who: str) -> Any:
        change, after = self._change(self.state, mode, reason, **who)

        async def later() -> None:
            await self._recorder.urgent(*causes, change)
            self.state = after

        return later()

    with patch.object(Modes, "block", block), patch.object(EntryGate, "account_refusal", lambda self: None):
        yield


@mutation
def what_a_kill_left_untold_stays_untold() -> Iterator[None]:
    """A start raises no alert for what was journalled last."""

    async def nothing(self: Any) -> None:
        """Nobody is told."""

    with patch.object(AlertDesk, "_take_up_untold", nothing):
        yield
