"""When the console paints: as often as its terminal takes what was painted before, and not oftener.

In: ticks, frames shown, the terminal's progress. Out: paints of the newest state. While the terminal is behind, Textual
collects what has changed instead of writing it: the event loop is never stopped by a full pty, and what is shown next
is the newest, however many changes there were. A stalled terminal costs no memory.
"""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from console.flow import Flow

if TYPE_CHECKING:
    from textual.app import App

_SPAN_SECONDS = 5.0
"""Rates are of the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the line is doing. Rates a second, bytes since the start and on their way."""

    bytes_per_second: float
    bytes_total: int
    bytes_waiting: int
    paints_per_second: float
    skips_per_second: float


class Pacer:
    """Paints an application over a flow."""

    def __init__(self, app: "App[Any]", flow: Flow, paint: Callable[[], None], clock: Callable[[], float]) -> None:
        self._app, self._flow, self._paint, self._clock = app, flow, paint, clock
        self._held = ExitStack()
        self.holding = False
        """Whether nothing is written until the terminal has caught up."""
        self.deferred = False
        """Whether the visible screen has changes of its layout that it has not written."""
        self.paints = self.skips = 0
        self._due = self._lost = False
        self._seen: deque[tuple[float, int, int, int]] = deque()

    def tick(self) -> None:
        """Paint, or count a paint that has to wait."""
        self._note()
        remind = getattr(self._app._driver, "remind", None)
        if remind is not None:
            remind()
        self._look()
        if self.holding:
            self.skips += 1
            self._due = True
        else:
            self._paint_now()

    def moved(self) -> None:
        """The terminal has taken something: what waited for it is shown at once."""
        self._look()
        if not self.holding and self._due:
            self._paint_now()

    def shown(self, anything: bool) -> None:
        """A frame was written, or Textual threw one away because nothing may be written now."""
        if self.holding and anything:
            self._lost = True
        self._look()

    def _paint_now(self) -> None:
        self._due = False
        self.paints += 1
        self._paint()

    def _look(self) -> None:
        behind = self._flow.behind
        if behind and not self.holding:
            self.holding = True
            self._held.enter_context(self._app.batch_update())
        elif self.holding and not behind:
            self.holding = False
            self._held.close()
            if self._lost:
                self._lost = False
                self._app.screen.refresh(layout=True)
            elif self.deferred:
                self._app.screen._compositor_refresh()
            self.deferred = False
            self._app.screen.check_idle()

    def _note(self) -> None:
        now = self._clock()
        self._seen.append((now, self._flow.sums.passed, self.paints, self.skips))
        while len(self._seen) > 2 and now - self._seen[0][0] > _SPAN_SECONDS:
            self._seen.popleft()

    def pace(self) -> Pace:
        """What the line is doing now."""
        sums = self._flow.sums
        then, passed, paints, skips = self._seen[0] if self._seen else (self._clock(), sums.passed, 0, 0)
        span = max(self._clock() - then, 0.25)
        return Pace(
            (sums.passed - passed) / span,
            sums.passed,
            sums.waiting,
            (self.paints - paints) / span,
            (self.skips - skips) / span,
        )
