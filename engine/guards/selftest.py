"""The guards' rehearsal: before the first order may be sent, each must break when it is given what breaks it.

In: a guard. Out: what is wrong with it in words, or None. It proves that the guard, as it is configured, trips; not
that its limits are wise. Nothing that it does touches the guard's real memory.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from engine.guards.base import Guard


def self_test(guard: Guard[Any]) -> str | None:
    """Rehearse one guard with its own drill; None when it passes. Never raises."""
    try:
        return _rehearse(guard)
    except Exception as error:
        return f"its rehearsal failed: {type(error).__name__}: {error}"


def _rehearse(guard: Guard[Any]) -> str | None:
    drill = guard.drill()
    memory, finding = guard.judge(_restored(guard, drill.memory), drill.harmless)
    if finding.breached:
        return f"it breaks at a harmless reading: {finding.said}"
    if drill.entry is not None:
        refusal = guard.refuses(memory, drill.harmless, drill.entry)
        if refusal is not None:
            return f"it refuses a harmless opening: {refusal}"
    for news in drill.news:
        memory = guard.learn(memory, news)
    memory = _restored(guard, memory)
    memory, finding = guard.judge(memory, drill.breach)
    if drill.entry is None and not finding.breached:
        return f"it does not break where it must: {finding.said}"
    if drill.entry is not None and guard.refuses(memory, drill.breach, drill.entry) is None:
        return "it does not refuse the opening that it must refuse"
    _restored(guard, memory)
    return None


def _restored(guard: Guard[Any], memory: Any) -> Any:
    """The memory as a restart finds it. Raises ValueError when that is another one."""
    stored = json.loads(json.dumps(asdict(memory), allow_nan=False))
    if not isinstance(stored, Mapping):
        raise ValueError(f"its memory is stored as {stored!r}")
    restored = guard.load(stored)
    if restored != memory:
        raise ValueError(f"its memory {memory!r} is read back as {restored!r}")
    return restored
