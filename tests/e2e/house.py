"""One operator's machine in miniature: a home folder, the real programs started on it, and what they leave behind.

In: commands as an operator types them. Out: what they print, what the engine answers on its own socket, and which
processes of this home are alive. Nothing here imports the engine's code but for the places of its socket and of the
paper terminal's control line.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from engine.control.address import control_address
from engine.paper.control import PaperControl
from engine.paper.ledger import Record

Found = TypeVar("Found")
PATIENCE_SECONDS = 60.0
"""How long anything may take on a busy machine before a test gives up."""
_POLL_SECONDS = 0.05
_ENGINE_MODULES = {"engine": "engine", "engine.broker.worker": "gateway", "engine.paper": "paper terminal"}

QUICK = {
    "QUARTERDECK_PAPER__DEMO_STRATEGY": "false",
    "QUARTERDECK_LOOP__HEARTBEAT_SECONDS": "0.5",
}
"""Settings for tests: no proposals but the test's own, and a pulse fast enough to be watched."""


def quarterdeck() -> list[str]:
    """The installed command."""
    script = Path(sys.executable).with_name("quarterdeck")
    return [str(script)] if script.exists() else [sys.executable, "-m", "console.cli"]


def until(probe: Callable[[], Found | None], what: str, seconds: float = PATIENCE_SECONDS) -> Found:
    """Ask again and again until the answer is neither None nor False, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(_POLL_SECONDS)


class _LocalConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, address: str) -> None:
        super().__init__("quarterdeck", timeout=10)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        try:
            self.sock.connect(self._address)
        except OSError:
            self.sock.close()
            raise


class House:
    """A home folder under `folder` and every program that is started on it with `settings` in its environment."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = folder
        self.state = folder / "state" / "paper"
        # COLUMNS and LINES would tell a console another size than its terminal has.
        kept_out = ("QUARTERDECK_", "TMUX", "COLUMNS", "LINES")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
        self.environment = {
            **inherited,
            "LC_ALL": "C.UTF-8",
            **(QUICK if settings is None else settings),
            "QUARTERDECK_HOME": str(folder),
        }
        self._started: list[subprocess.Popen[str]] = []
        self._logs = itertools.count(1)
        self.engine_log = folder / "engine-0.txt"
        """What the engine that was started last has printed."""
        self._ids = itertools.count(1)

    def move_to(self, folder: Path) -> None:
        """Make another folder the home, before anything is started."""
        folder.mkdir(parents=True)
        self.home, self.state = folder, folder / "state" / "paper"
        self.environment["QUARTERDECK_HOME"] = str(folder)

    # programs

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start the command with these arguments and go on. Its output is read by whoever waits for it."""
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "start_new_session": True,
            **options,
        }
        process = subprocess.Popen(
            [*quarterdeck(), *arguments], env=self.environment, cwd=self.home, text=True, **options
        )
        self._started.append(process)
        return process

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command to its end, without a terminal."""
        process = self.start(*arguments)
        try:
            printed, complained = process.communicate(timeout=PATIENCE_SECONDS * 2)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"no end of: quarterdeck {' '.join(arguments)}: {process.communicate()}") from None
        return subprocess.CompletedProcess(arguments, process.returncode, printed, complained)

    def done(self, *arguments: str) -> str:
        """Run the command, which must succeed, and return what it printed."""
        result = self.run(*arguments)
        assert result.returncode == 0, result
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """Run the command with --json and return the value it printed."""
        return json.loads(self.done(*arguments, "--json"))

    def launch_engine(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `quarterdeck engine` in the foreground of nothing, and do not wait for it."""
        with self._next_log().open("w") as output:
            return self.start("engine", *arguments, stdout=output, stderr=subprocess.STDOUT)

    def engine(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start an engine, and wait until it judges readings."""
        process = self.launch_engine(*arguments)

        def judging() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"the engine ended with {process.returncode}: {self.engine_log.read_text()}")
            seen = self.look()
            return seen is not None and seen["engine"]["pid"] == process.pid and seen["reading"]["validity"] == "VALID"

        until(judging, "an engine with a valid reading")
        return process

    def _next_log(self) -> Path:
        self.engine_log = self.home / f"engine-{next(self._logs)}.txt"
        return self.engine_log

    # the engine's socket

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the engine; OSError or HTTPException when there is none."""
        connection = _LocalConnection(control_address(self.state))
        with contextlib.closing(connection):
            headers = {"Content-Type": "application/json", "X-Quarterdeck-Origin": "test"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            with connection.getresponse() as response:
                answer = json.loads(response.read())
                assert response.status == 200, answer
        return answer

    def look(self) -> Any:
        """The engine's snapshot; None when no engine answers."""
        try:
            return self.ask("GET", "/v1/snapshot")
        except (OSError, http.client.HTTPException):
            return None

    def see(self, condition: Callable[[Any], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait for a snapshot of which the condition holds, and return it."""

        def probe() -> Any:
            seen = self.look()
            return seen if seen is not None and condition(seen) else None

        try:
            return until(probe, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last snapshot: {self.look()}") from None

    def request(self, kind: str, reason: str = "", **values: Any) -> Any:
        """Send a command, and return what became of it."""
        identifier = f"e2e-{os.getpid()}-{time.monotonic_ns()}-{next(self._ids)}"
        return self.ask(
            "POST", "/v1/commands", {"id": identifier, "action": {"kind": kind, **values}, "reason": reason}
        )

    def command(self, kind: str, reason: str = "", **values: Any) -> Any:
        """Send a command, which must be accepted."""
        answer = self.request(kind, reason, **values)
        assert answer["accepted"], answer
        return answer["data"]

    def events(self, *kinds: str) -> list[Any]:
        """The journalled events of these kinds (none named: all), in order."""
        found: list[Any] = []
        after = 0
        while True:
            page = self.ask("GET", f"/v1/events?after={after}&limit=1000")
            found += page["events"]
            if not page["events"] or page["events"][-1]["seq"] >= page["last_seq"]:
                return [event for event in found if not kinds or event["event_type"] in kinds]
            after = page["events"][-1]["seq"]

    def propose(self, side: str = "buy", volume: float = 0.1, symbol: str = "EURUSD", distance: float = 0.05) -> str:
        """Propose a trade whose stop and target are too far away to be hit, and return the signal's id."""
        market = next(market for market in self.look()["markets"] if market["symbol"] == symbol)
        sign = 1 if side == "buy" else -1
        stop, target = (round(market["bid"] - sign * step * distance, market["digits"]) for step in (1, -2))
        data = self.command("signal_add", symbol=symbol, side=side, volume=volume, sl=stop, tp=target)
        return str(data["signal"])

    def open_position(self, **values: Any) -> Any:
        """Propose, approve, and return the new position as the engine shows it."""
        before = {position["ticket"] for position in self.look()["positions"]}
        signal = self.propose(**values)
        self.command("approve", signal=signal, version=1)

        def new(seen: Any) -> list[Any]:
            return [position for position in seen["positions"] if position["ticket"] not in before]

        return new(self.see(new, f"the position of {signal}"))[0]

    def open_positions(self, count: int, **values: Any) -> list[Any]:
        """Propose and approve so many trades at once, and return what the engine then shows."""
        before = len(self.look()["positions"])
        for proposed in [self.propose(**values) for _ in range(count)]:
            self.command("approve", signal=proposed, version=1)
        seen = self.see(lambda seen: len(seen["positions"]) == before + count, f"{count} more positions")
        return list(seen["positions"])

    # the paper terminal's control line

    def _at_terminal(self, ask: Callable[[PaperControl], Awaitable[Found]]) -> Found:
        async def asked() -> Found:
            control = await PaperControl.connect(self.state / "paper" / "terminal.json")
            try:
                return await ask(control)
            finally:
                await control.close()

        return asyncio.run(asked())

    def fault(self, **values: Any) -> int:
        """Let something go wrong at the paper terminal, as a table of a plan of faults says it; returns its number."""
        return self._at_terminal(lambda control: control.fault(values))

    def end_fault(self, number: int) -> None:
        """Let a fault happen no more."""
        self._at_terminal(lambda control: control.end_fault(number))

    def ledger(self, after: int = 0) -> list[Record]:
        """What has really happened at the broker, behind a sequence number."""
        return self._at_terminal(lambda control: control.ledger(after))

    def flat_and_running(self) -> None:
        """Bring an engine that tests share back to where it began."""
        if self.look()["positions"]:
            self.command("flatten")
            self.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
        mode = self.look()["engine"]["mode"]
        if mode == "HALTED":
            self.command("reset", reason="between tests")
        if mode != "RUNNING":
            self.command("resume")
        for waiting in self.look()["signals"]:
            self.command("reject", signal=waiting["id"], version=waiting["version"])

    # processes

    def processes(self) -> dict[int, list[str]]:
        """The command lines of all living processes of this home, by pid."""
        mark = f"QUARTERDECK_HOME={self.home}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            # It may end at any moment, and other users' cannot be read.
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().rstrip("\0").split("\0")
        return found

    def pids(self, role: str) -> list[int]:
        """The processes that do one job: "engine", "gateway", "paper terminal" or "console"."""
        return [pid for pid, words in self.processes().items() if role_of(words) == role]

    def engine_pid(self) -> int:
        """The one engine of this home."""
        (pid,) = self.pids("engine")
        return pid

    def gateway_pid(self, slot: str) -> int:
        """The gateway that was started last for "orders" or "reads"."""
        started = [event["metadata"] for event in self.events("gateway_started")]
        return int(next(event["pid"] for event in reversed(started) if event["slot"] == slot))

    def nothing_left(self) -> None:
        """Wait until no process of this home is alive."""
        try:
            until(lambda: not self.processes(), "an empty house")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.processes()}") from None

    def clear(self) -> None:
        """Kill every process of this home, and whatever those start meanwhile."""

        def killed() -> bool:
            pids = self.processes()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not pids

        try:
            until(killed, f"the end of {self.processes()}")
        finally:
            for process in self._started:
                if process.poll() is None:
                    process.kill()
                process.communicate()


def role_of(words: Sequence[str]) -> str:
    """What a process of ours does, by its command line."""
    modules = [words[place + 1] for place in range(len(words) - 1) if words[place] == "-m"]
    if modules and modules[0] in _ENGINE_MODULES:
        return _ENGINE_MODULES[modules[0]]
    named = [place for place, word in enumerate(words) if Path(word).name == "quarterdeck" or word == "console.cli"]
    if named and Path(words[0]).name.startswith("python"):
        rest = words[named[0] + 1 :]
        return "engine" if "engine" in rest else "other command" if rest else "console"
    return "other"


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    return birth(pid) is None


def birth(pid: int) -> int | None:
    """When a process was started, in clock ticks since the machine was: tells it from a later one of the same id.

    None when it has ended.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if status[0] in "ZX" else int(status[19])
