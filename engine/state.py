"""The engine's mode, the entry epoch, and which changes of mode are legal.

    STARTING -> RECONCILING -> PAUSED <-> RUNNING
    any -> FLATTENING -> HALTED          (a whole-account flatten only)
    HALTED -> PAUSED                     (an operator's reset only)

A restart restores RUNNING, PAUSED or HALTED as stored, and goes on with a stored FLATTENING.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EngineMode(StrEnum):
    """What the engine may do. Closing, cancelling and flatten work in every mode."""

    STARTING = "STARTING"
    RECONCILING = "RECONCILING"
    PAUSED = "PAUSED"
    RUNNING = "RUNNING"
    FLATTENING = "FLATTENING"
    HALTED = "HALTED"


TRANSITIONS: dict[EngineMode, frozenset[EngineMode]] = {
    EngineMode.STARTING: frozenset({EngineMode.RECONCILING, EngineMode.FLATTENING}),
    EngineMode.RECONCILING: frozenset(
        {EngineMode.PAUSED, EngineMode.RUNNING, EngineMode.HALTED, EngineMode.FLATTENING}
    ),
    EngineMode.PAUSED: frozenset({EngineMode.RUNNING, EngineMode.FLATTENING}),
    EngineMode.RUNNING: frozenset({EngineMode.PAUSED, EngineMode.FLATTENING}),
    EngineMode.FLATTENING: frozenset({EngineMode.HALTED}),
    EngineMode.HALTED: frozenset({EngineMode.PAUSED, EngineMode.FLATTENING}),
}


class IllegalTransition(Exception):
    """A change of mode that the table does not have."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the journal keeps of one account, besides its signals.

    `baseline` is what the guards' memory last began from (the account's first reading, or a reset), as JSON values;
    `baseline_seq` is the event that set it. `halt_reason` says why the account is flattening or halted.
    """

    account: str
    mode: EngineMode
    epoch: int
    halt_reason: str
    baseline_seq: int
    baseline: Mapping[str, Any]


def check_transition(before: EngineMode, after: EngineMode) -> None:
    """Raise IllegalTransition unless the table has this change."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"{before} does not go to {after}")
