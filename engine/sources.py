"""Which source a position or an order comes from: by its magic number, which is that of a signal of ours.

In: magic numbers as the broker shows them. Out: the source that proposed the signal, "" for what is not ours. Read from
the journal's table of signals, which has every one before its order is sent.
"""

from collections.abc import Iterable

from engine.recorder import Recorder
from engine.signals import is_ours, magic_of


class Sources:
    """The sources of one account's signals, by magic number."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._sources: dict[int, str] = {}
        self._read_up_to = 0

    def of(self, magic: int) -> str:
        """The source, as far as it has been learned; "" for what is not ours or not known yet."""
        return self._sources.get(magic, "")

    async def learn(self, magics: Iterable[int]) -> None:
        """Make sure that these are known. Raises JournalError when the journal cannot be read."""
        if all(magic in self._sources for magic in magics if is_ours(magic)):
            return
        rows = await self._recorder.journal.query(
            "SELECT rowid, id, json_extract(proposal, '$.source') FROM signals WHERE account = ? AND rowid > ?"
            " ORDER BY rowid",
            (self._recorder.account, self._read_up_to),
        )
        for rowid, signal_id, source in rows:
            self._sources[magic_of(signal_id)] = source
            self._read_up_to = rowid
