"""A real terminal of a fixed size, kept by a tmux server of its own: what it shows, and keys as a hand types them."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

from tests.e2e.house import PATIENCE_SECONDS, House, quarterdeck, until

Found = TypeVar("Found")
_TOLD = '"$@"; echo "[ended: $?]"; read -r _'
"""The exit code told on the screen, which stays: tmux can lose both when the last process in a terminal ends."""


class Screen:
    """A program in a terminal of `width` by `height`. It stays to be looked at after the program has ended."""

    def __init__(self, house: House, width: int, height: int, *command: str) -> None:
        self.width, self.height = width, height
        self._house = house
        self._closed = False
        self._socket = f"e2e-{os.getpid()}-{time.monotonic_ns()}"
        ours = [f"{name}={value}" for name, value in house.environment.items() if name.startswith("QUARTERDECK_")]
        program = ["sh", "-c", _TOLD, "sh", "env", *ours, *(command or quarterdeck())]
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(house.home), *program)

    def _tmux(self, *arguments: str) -> str:
        # Only the program itself belongs to the house, neither tmux nor the shell that waits for its end.
        environment = {
            name: value for name, value in self._house.environment.items() if not name.startswith("QUARTERDECK_")
        }
        environment["TMUX_TMPDIR"] = str(self._house.home)
        command = ["tmux", "-u", "-L", self._socket, "-f", "/dev/null", *arguments]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS
        )
        assert result.returncode == 0, f"{command}: {result.stderr}"
        return result.stdout

    def text(self) -> str:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a text as it is."""
        self._tmux("send-keys", "-l", text)

    def wait(self, probe: Callable[[str], Found | None], what: str, seconds: float = PATIENCE_SECONDS) -> Found:
        """Wait until the screen's text makes the probe answer, and return its answer."""
        try:
            return until(lambda: probe(self.text()), what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def shows(self, *texts: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until all these texts are on the screen at once; a space stands for any white space."""

        def found(text: str) -> str | None:
            flat = " ".join(text.split())
            return text if all(part in flat for part in texts) else None

        return self.wait(found, f"{texts} on the screen", seconds)

    def match(self, pattern: str, seconds: float = PATIENCE_SECONDS) -> re.Match[str]:
        """Wait until a regular expression is found on the screen."""
        return self.wait(lambda text: re.search(pattern, text), f"/{pattern}/ on the screen", seconds)

    def lacks(self, text: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until a text is no longer on the screen."""
        self.wait(lambda shown: text not in shown, f"a screen without {text!r}", seconds)

    def exit_code(self) -> int:
        """Wait for the program's end and return its exit code."""
        return int(self.match(r"\[ended: (\d+)\]")[1])

    def close(self) -> None:
        """Close the terminal: its program gets a hang-up. Safe to call again."""
        if not self._closed:
            self._closed = True
            self._tmux("kill-server")
