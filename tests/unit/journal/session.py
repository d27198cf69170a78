"""The scripted session that the proof of the journal breaks off at every write: `python -m tests.unit.journal.session`.

`PATH KIND COUNT`. KIND `script` commits groups of events with projections, readings, values and conflicts, and
checkpoints; `held` records urgent groups while another connection holds the lock, so that only the fallback file takes
them; `open` opens and closes, which merges that file. Each line on stdout is a promise, made once the journal has
answered: `ok SEQ HASH`, `value NUMBER`, `urgent NUMBER` (some file holds it), `refused WORDS`, `failure WORDS`.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import engine.journal.store
from engine.events import Draft, EventType
from engine.journal import Conflict, Journal, JournalError
from tests.unit.journal.toy import ACCOUNT, draft, fallback_written, held_up, make, raised

CHECKPOINT_EVERY = 25
NEVER = "this was refused and must leave no trace"


def group_of(name: str, number: int) -> list[Draft]:
    """The events of one append; each says how many they are, so that a torn group is known."""
    size = 1 + number % 8
    kind = EventType.SIGNAL_RECEIVED if number == 1 else EventType.SIGNAL_APPROVED
    text = "x" * (6000 if number % 15 == 0 else 37 * number % 400)
    marks: dict[str, Any] = {"group": f"{name}-{number}", "size": size, "text": text}
    first = draft(kind, name=name, count=number - 1, **marks)
    return [first, *(draft(place=place, **marks) for place in range(1, size))]


async def script(journal: Journal, count: int) -> None:
    journal_name = f"n{journal.last_seq}"
    for number in range(1, count + 1):
        journal.record_equity(ACCOUNT, number, 1, 3, 2)
        group = group_of(journal_name, number)
        if number % 6 == 0:
            before = journal.last_seq
            await journal.append_urgent(*group, patience=60)
            if journal.failure is not None:
                raise journal.failure.copy()
            events = await journal.events(before, 100)
        else:
            events = await journal.append(*group)
        print("".join(f"ok {event.seq} {event.hash}\n" for event in events), end="", flush=True)
        if number % 7 == 0:
            await journal.set_value(ACCOUNT, "peak", str(number))
            print("value", number, flush=True)
        if number % 9 == 0:
            try:
                await journal.append(draft(text=NEVER), raised(journal_name, 0))
            except Conflict:
                continue
            raise AssertionError("a stale step was not refused")


async def after_a_failure(journal: Journal) -> None:
    """What lowers risk goes on; what raises it does not, however often it is tried."""
    for number in range(3):
        await journal.append_urgent(draft(closing=number), patience=60)
        await fallback_written(journal)
        print("urgent", number, flush=True)
        try:
            await journal.append(draft(text=NEVER))
        except JournalError as error:
            print("refused", error, flush=True)


async def held(journal: Journal, path: Path, numbers: Sequence[int], say: Callable[[str], None]) -> None:
    with held_up(path):
        for number in numbers:
            await journal.append_urgent(draft(closing=number), draft(of=number), patience=0)
            await fallback_written(journal)
            say(f"urgent {number}")


async def run(path: Path, kind: str, count: int) -> None:
    engine.journal.store.CHECKPOINT_COMMITS = CHECKPOINT_EVERY
    journal = make(path)
    await journal.open()
    try:
        if kind == "script":
            await script(journal, count)
        elif kind == "held":
            await held(journal, path, range(count), lambda words: print(words, flush=True))
    except JournalError as error:
        print("refused", error, flush=True)
        await after_a_failure(journal)
    await journal.close()
    print("failure", journal.failure, flush=True)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
