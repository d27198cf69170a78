"""A program for the crash tests: appends until it is killed or refused, and says on stdout what was acknowledged.

`python -m tests.unit.journal.child PATH KIND COUNT`: KIND `loop` has several appenders, `urgent` has one and goes on
with urgent appends once it was refused. Lines: `ok SEQ`, `urgent SEQ`, `refused WORDS`, `new risk: WORDS`, `done`.
"""

import asyncio
import sys
from pathlib import Path

from engine.journal import Journal, JournalError
from tests.unit.journal.toy import draft, make, new, raised


async def _append(journal: Journal, count: int, name: str) -> None:
    """Raise a counter of one's own, `count` times."""
    await journal.append(new(name))
    for number in range(1, count + 1):
        (first, second) = await journal.append(raised(name, number), draft(name=name, text="x" * 200))
        print("ok", first.seq, flush=True)
        print("ok", second.seq, flush=True)
        journal.record_equity("a", number, 1, 2, 1.5)


async def run(path: Path, kind: str, count: int) -> None:
    journal = make(path)
    await journal.open()
    name = f"n{journal.last_seq}"
    try:
        if kind == "loop":
            await asyncio.gather(*(_append(journal, count, f"{name}-{each}") for each in range(4)))
        else:
            await _append(journal, count, name)
    except JournalError as error:
        print("refused", error, flush=True)
        for number in range(count):
            before = journal.last_seq
            await journal.append_urgent(draft(what="close", number=number), patience=20)
            if journal.last_seq > before:
                print("urgent", journal.last_seq, flush=True)
        try:
            await journal.append(draft(what="new risk"))
        except JournalError as refused:
            print("new risk:", refused, flush=True)
    print("failure", journal.failure, flush=True)
    await journal.close()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
