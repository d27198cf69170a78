"""The engine with one safeguard of its guards taken out: what the guards' campaign does not find has no test."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from engine import account, risk_commands, starting
from engine import risk as risks
from engine.funds import FundsState
from engine.guards import board, drawdown
from engine.guards.base import Verdict
from engine.guards.equity_floor import EquityFloorGuard
from engine.guards.loss import LossLimit
from engine.readings import AccountReading, Validity
from engine.risk import Risk
from engine.state import EngineMode

MUTATIONS: dict[str, Callable[[], AbstractContextManager[None]]] = {}


def mutation(make: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
    """Register a mutation under its function's name."""
    MUTATIONS[make.__name__] = contextmanager(make)
    return make


def _evaluating(changed: Any) -> AbstractContextManager[Any]:
    """Replace the drawdown guard's judgement wherever it is asked."""
    stack = ExitStack()
    stack.enter_context(patch.object(drawdown, "evaluate", changed))
    stack.enter_context(patch.object(risks, "evaluate", changed))
    return stack


@mutation
def strict_comparison() -> Iterator[None]:
    """An equity at the floor is not below it. The self-tests, which would refuse the start, are left out too."""
    honest = drawdown.evaluate

    def evaluate(reading: AccountReading, state: Any) -> Any:
        after = honest(reading, state)
        if reading.validity is Validity.VALID and reading.equity_for_limit == after.floor:
            return replace(after, verdict=Verdict.WARN, breaches=0)
        return after

    def strictly(kind: type[Any]) -> Any:
        asked = kind.judge

        def judge(self: Any, memory: Any, facts: Any) -> Any:
            memory, finding = asked(self, memory, facts)
            at_floor = facts.reading.equity_for_limit == finding.floor
            return memory, replace(finding, breached=finding.breached and not at_floor)

        return patch.object(kind, "judge", judge)

    def untested(risk: Risk) -> None:
        """Every guard is taken at its word."""

    with (
        _evaluating(evaluate),
        strictly(EquityFloorGuard),
        strictly(LossLimit),
        patch.object(starting, "check_guards", untested),
        patch.object(risk_commands, "check_guards", untested),
    ):
        yield


@mutation
def latch_is_forgotten() -> Iterator[None]:
    """An account that was halted when the engine died goes on paused."""
    honest = starting.stored_state

    async def stored_state(recorder: Any) -> Any:
        state = await honest(recorder)
        return replace(state, mode=EngineMode.PAUSED) if state and state.mode is EngineMode.HALTED else state

    with patch.object(account, "stored_state", stored_state):
        yield


@mutation
def peak_moves_on_a_stale_reading() -> Iterator[None]:
    """The highest equity is taken from readings that may not be believed too."""
    honest = drawdown.evaluate

    def evaluate(reading: AccountReading, state: Any) -> Any:
        if reading.validity is Validity.VALID or reading.account is None or not reading.equity < float("inf"):
            return honest(reading, state)
        return replace(state, peak=max(state.peak, reading.equity))

    with _evaluating(evaluate):
        yield


@mutation
def bad_reading_trips() -> Iterator[None]:
    """A reading that may not be believed is held against the floor."""
    honest = drawdown.evaluate

    def evaluate(reading: AccountReading, state: Any) -> Any:
        if reading.validity is not Validity.VALID and reading.account is not None and reading.equity <= state.floor:
            return replace(state, equity=reading.equity, verdict=Verdict.FLATTEN)
        return honest(reading, state)

    with _evaluating(evaluate):
        yield


@mutation
def cash_flow_counts_as_loss() -> Iterator[None]:
    """Nothing that is measured from follows money that comes or goes without a trade."""
    with patch.object(Risk, "shift", lambda self, amount, equity: None):
        yield


@mutation
def flow_counted_twice_after_a_restart() -> Iterator[None]:
    """The deals that were counted are forgotten at a restart."""
    honest = FundsState.from_json

    def from_json(text: str) -> FundsState:
        return replace(honest(text), counted={})

    with patch.object(FundsState, "from_json", staticmethod(from_json)):
        yield


@mutation
def guard_failure_is_swallowed() -> Iterator[None]:
    """A guard that raises stands as it stood."""
    honest = board.judged

    def judged(guard: Any, before: Any, *about: Any) -> Any:
        after = honest(guard, before, *about)
        return before if after.failure else after

    with patch.object(board, "judged", judged):
        yield
