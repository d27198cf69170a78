"""Textual's driver with a meter: what is written, what the pty took, what the terminal says it has drawn.

In: frames of the application. Out: the same bytes, in ASCII where the terminal knows no more, and the Flow's account.
On Windows the stock driver writes, and nothing is metered.
"""

import errno
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from textual import events
from textual.driver import Driver
from textual.message import Message

from console.ascii import to_ascii
from console.flow import Flow, answer_of

if TYPE_CHECKING:
    from textual.app import App

_CHUNK = 512
"""Bytes to the pty at once: so fine is the account of what it took."""
_LAST_ANSWERS_SECONDS = 1.0
"""How long a console that ends waits for what it has asked the terminal."""


class FlowMoved(Message):
    """The terminal has taken something of what waited."""

    def can_replace(self, message: Message) -> bool:
        """One is enough."""
        return isinstance(message, FlowMoved)


class _Metered:
    """The terminal as a file for Textual's writer thread. Writes at once and tells the flow."""

    def __init__(self, file: TextIO, flow: Flow) -> None:
        self._descriptor = file.fileno()
        self._flow = flow

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> None:
        rest = memoryview(text.encode("utf-8", "replace"))
        while rest:
            try:
                count = os.write(self._descriptor, rest[:_CHUNK])
            except OSError as error:
                if error.errno == errno.EIO and sys.platform != "win32":
                    # The terminal is gone, and no hang-up came: without one a console would live on and spin on it.
                    signal.raise_signal(signal.SIGHUP)
                raise
            rest = rest[count:]
            self._flow.passed(count)

    def flush(self) -> None:
        """Nothing is kept back."""


if sys.platform == "win32":
    from textual.drivers.windows_driver import WindowsDriver

    class ConsoleDriver(WindowsDriver):
        """The stock driver, in ASCII where asked for."""

        ascii_only = False

        def write(self, data: str) -> None:
            """Write to the terminal."""
            super().write(to_ascii(data) if self.ascii_only else data)

else:
    from textual.drivers import linux_driver
    from textual.drivers.linux_driver import LinuxDriver

    from console.pasted import PasteParser

    class ConsoleDriver(LinuxDriver):
        """The stock driver over a metered file. The application has a `flow`."""

        ascii_only = False

        def __init__(self, app: "App[Any]", **options: Any) -> None:
            super().__init__(app, **options)
            self._flow: Flow = app.flow  # type: ignore[attr-defined]
            self._file: Any = _Metered(self._file, self._flow)
            self._flow.moved = lambda: self.send_message(FlowMoved())

        def run_input_thread(self) -> None:
            """Read keys; the parser is found by its name in the stock driver's module."""
            linux_driver.XTermParser = PasteParser  # type: ignore[attr-defined]
            super().run_input_thread()

        def start_application_mode(self) -> None:
            """Begin with a mark: nothing stands before it, so a terminal that answers does so at once."""
            self._flow.restarted()
            super().start_application_mode()  # type: ignore[no-untyped-call]

        def _sigtstp_application(self, *_: object) -> None:
            """Give the terminal back and stop, in the loop's turn: the signal may come in the middle of a frame."""
            self._loop.call_soon_threadsafe(super()._sigtstp_application)

        def _sigcont_application(self, *_: object) -> None:
            """Take the terminal again if it was given back; who was only stopped (SIGSTOP) has it still."""
            if self._must_signal_resume:
                self._loop.call_soon_threadsafe(super()._sigcont_application)

        def stop_application_mode(self) -> None:
            """Give the terminal back once it has answered: one that comes late is typed into the shell."""
            self._flow.leave()
            until = time.monotonic() + _LAST_ANSWERS_SECONDS
            while self._flow.asking and time.monotonic() < until:
                time.sleep(0.01)
            super().stop_application_mode()

        def write(self, data: str) -> None:
            """Write to the terminal, and count it."""
            data = to_ascii(data) if self.ascii_only else data
            self._flow.wrote(len(data.encode("utf-8", "replace")))
            super().write(data)

        def flush(self) -> None:
            """The end of a frame: ask the terminal to say when it is there."""
            if mark := self._flow.mark():
                self.write(mark)
                self._flow.marked()

        def remind(self) -> None:
            """Ask again when an answer is overdue."""
            if mark := self._flow.remind():
                self.write(mark)
                self._flow.marked()

        def process_message(self, message: Message) -> None:
            """Keep the terminal's answers to the marks from the application."""
            if isinstance(message, events.CursorPosition):
                mark = answer_of(message.x, message.y)
                if mark is not None:
                    self._flow.answered(mark)
                    return
            super().process_message(message)


class AsciiDriver(ConsoleDriver):
    """For a terminal that knows no more than ASCII."""

    ascii_only = True


def driver_class(ascii_only: bool) -> type[Driver]:
    """The driver for this terminal."""
    return AsciiDriver if ascii_only else ConsoleDriver
