"""How much of what the console wrote its terminal has taken: the account that the refresh is paced by.

In: bytes handed to the writer, bytes the pty took, the terminal's answers. Out: what still waits, and whether the next
frame has to. A mark behind each frame asks the terminal where its cursor is: its answer says that everything before has
been drawn, also where a network or sshd holds more than the pty does. Told by three threads; never blocks.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_BYTES = 600
"""Bytes that may be on their way while another frame is begun: half a second of 9,600 bit/s."""
PROBE_SECONDS = 2.0
"""A terminal that has not answered the first mark for this long is taken for one that answers none."""
REMIND_SECONDS = 2.0
"""A mark that has no answer is sent again after this long: an answer can be lost."""
MARKS = 20
"""Marks are told apart by the column they move the cursor to."""
_MARK_ROW = 2
"""Not the first row: there a terminal's answer is written like a function key."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Bytes since the start: given to the writer, taken by the pty, drawn by the terminal as far as is known."""

    written: int
    passed: int
    taken: int

    @property
    def waiting(self) -> int:
        """Bytes on their way."""
        return self.written - self.taken


class Flow:
    """The account of one terminal. `clock` counts monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._written = self._passed = self._answered = 0
        self._marks: deque[tuple[int, int]] = deque()
        self._next = 0
        self._marked_at = 0.0
        self._answers: bool | None = None
        self._unmarked = False
        self._leaving = False
        self.moved: Callable[[], None] = lambda: None
        """Called, from any thread, when the terminal has taken something."""

    def wrote(self, count: int) -> None:
        """Bytes were handed to the writer."""
        with self._lock:
            self._written += count
            self._unmarked = True

    def passed(self, count: int) -> None:
        """The pty took bytes."""
        with self._lock:
            self._passed += count
            empty = self._passed == self._written
        if empty:
            self.moved()

    def mark(self) -> str:
        """What to write behind a frame so that the terminal says when it has drawn it; empty without need."""
        with self._lock:
            if self._leaving or not self._unmarked or len(self._marks) >= MARKS - 1:
                return ""
            if self._answers is False and self._marks:
                return ""
            self._next = self._next % MARKS + 1
            text = _asked(self._next)
            self._marks.append((self._next, self._written + len(text)))
            self._marked_at = self._clock()
            return text

    def marked(self) -> None:
        """The mark has been handed to the writer like all else."""
        with self._lock:
            self._unmarked = False

    def remind(self) -> str:
        """The last mark again, when its answer is overdue and nothing else is on its way to the terminal."""
        now = self._clock()
        with self._lock:
            if (
                self._leaving
                or not self._marks
                or self._passed < self._written
                or now - self._marked_at < REMIND_SECONDS
            ):
                return ""
            if self._answers is None and now - self._marked_at >= PROBE_SECONDS:
                self._answers = False
            if not self._answers:
                return ""
            self._marked_at = now
            return _asked(self._marks[-1][0])

    def leave(self) -> None:
        """The screen is given back: what the terminal is asked from now on, a shell would take for typed."""
        with self._lock:
            self._leaving = True

    @property
    def asking(self) -> bool:
        """Whether answers of a terminal that may give them are still to come."""
        with self._lock:
            return bool(self._marks) and self._answers is not False

    def answered(self, column: int) -> None:
        """The terminal has drawn everything before the mark of this column, counted from 1. Others mean nothing."""
        with self._lock:
            if column not in {mark for mark, _ in self._marks}:
                return
            self._answers = True
            while self._marks:
                mark, upto = self._marks.popleft()
                self._answered = max(self._answered, upto)
                if mark == column:
                    break
        self.moved()

    @property
    def sums(self) -> Sums:
        """The account now."""
        with self._lock:
            return self._sums()

    def _sums(self) -> Sums:
        # Until it has answered once nothing waits for its answer: the first frames of one that never does come at once.
        taken = min(self._answered, self._passed) if self._answers else self._passed
        return Sums(self._written, self._passed, taken)

    @property
    def behind(self) -> bool:
        """Whether the next frame has to wait: the pty is full, or too much is on its way to the terminal."""
        with self._lock:
            sums = self._sums()
            return sums.passed < sums.written or sums.waiting > WINDOW_BYTES

    def restarted(self) -> None:
        """Another screen is begun: nothing of what was on its way matters."""
        with self._lock:
            self._marks.clear()
            self._answered = self._passed = self._written
            self._answers = None
            self._leaving = False


def _asked(mark: int) -> str:
    return f"\x1b[{_MARK_ROW};{mark}H\x1b[6n"


def answer_of(x: int, y: int) -> int | None:
    """The mark that an answer with these coordinates, counted from 0, belongs to; None for somebody else's."""
    return x + 1 if y == _MARK_ROW - 1 and x < MARKS else None
