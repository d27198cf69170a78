import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from console import calls
from engine.control.client import ControlClient
from engine.control.messages import (
    AddSignal,
    Approve,
    Flatten,
    Pause,
    Reject,
    Reset,
    Resume,
    SetBases,
    SettleFunds,
    Stop,
    Unlock,
)
from tests.unit.console.conftest import Run, serving
from tests.unit.control.fake import START, FakeEngine, flatten, position
from tests.unit.control.fake import signal as proposed


def _add(*options: str) -> list[str]:
    return ["signal", "add", "--symbol", "EURUSD", "--side", "buy", "--sl", "1", "--tp", "2", *options]


COMMANDS_THAT_NEED_AN_ENGINE = [
    ["status"],
    ["status", "--json"],
    ["positions"],
    ["signals"],
    ["orders"],
    ["cancel", "K3V9X2QD"],
    ["signal", "add", "--symbol", "EURUSD", "--side", "buy", "--volume", "0.1", "--sl", "1", "--tp", "2"],
    ["approve", "K3V9X2QD"],
    ["approve", "K3V9X2QD@1"],
    ["reject", "K3V9X2QD"],
    ["pause"],
    ["resume"],
    ["flatten", "--yes"],
    ["close", "--losers", "--yes"],
    ["close", "--position", "1001", "--yes"],
    ["close", "cancel", "C1", "--reason", "x"],
    ["close", "--all", "--yes"],
    ["risk"],
    ["risk", "--json"],
    ["reset", "--reason", "x", "--yes"],
    ["unlock", "daily loss", "--reason", "x"],
    ["bases", "--initial", "100000", "--reason", "x"],
    ["settle", "cash-flow", "--reason", "x"],
    ["events"],
    ["events", "--follow"],
    ["stop"],
]


def _spawn(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "console.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("arguments", COMMANDS_THAT_NEED_AN_ENGINE, ids=" ".join)
def test_without_an_engine_every_command_says_so_and_exits_4(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert result.stderr.startswith("profile 'paper': no engine answers at ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["explode"], "explode"),
        (["status", "--loud"], "--loud"),
        (["approve"], "ID[@VERSION]"),
        (["approve", "K3@x"], "ID@VERSION"),
        (["approve", ""], "ID@VERSION"),
        (["reset", "--yes"], "--reason"),
        (["reset", "--reason", "  ", "--yes"], "--reason"),
        (["reset", "--reason", "x", "--baseline", "old", "--yes"], "--baseline"),
        (["unlock", "daily loss"], "--reason"),
        (["unlock", "daily loss", "--reason", " "], "--reason"),
        (["bases", "--initial", "0", "--reason", "x"], "--initial"),
        (["bases", "--initial", "100000"], "--reason"),
        (["settle", "both", "--reason", "x"], "WHAT"),
        (["settle", "result"], "--reason"),
        (["pause", "--reason", "x" * 501], "--reason"),
        (["events", "--after", "-1"], "--after"),
        (["flatten", "--yes", "--timeout", "-1"], "--timeout"),
        (["close", "--yes"], "--position"),
        (["close", "--losers", "--winners", "--yes"], "--position"),
        (["close", "--symbol", "EUR USD", "--yes"], "--symbol"),
        (["close", "--losers", "--volume", "1", "--yes"], "--volume"),
        (["close", "cancel", "C1"], "--reason"),
        (["close", "cancel", "C1", "--reason", " "], "--reason"),
        (["signal", "add", "--symbol", "EURUSD"], "--side"),
        (
            ["signal", "add", "--symbol", "EURUSD", "--side", "up", "--volume", "1", "--sl", "1", "--tp", "2"],
            "--side",
        ),
        (
            ["signal", "add", "--symbol", "EURUSD", "--side", "buy", "--volume", "0", "--sl", "1", "--tp", "2"],
            "--volume",
        ),
        (
            ["signal", "add", "--symbol", "EUR USD", "--side", "buy", "--volume", "1", "--sl", "1", "--tp", "2"],
            "--symbol",
        ),
        (
            ["signal", "add", "--symbol", "EURUSD", "--side", "buy", "--volume", "1", "--sl", "nan", "--tp", "2"],
            "--sl",
        ),
        (
            [
                "signal",
                "add",
                "--symbol",
                "EURUSD",
                "--side",
                "buy",
                "--volume",
                "1",
                "--sl",
                "1",
                "--tp",
                "2",
                "--expires",
                "0",
            ],
            "--expires",
        ),
        (["--profile", "../x", "status"], "profile '../x'"),
        (["--profile", "../x", "journal", "verify"], "profile '../x'"),
    ],
)
def test_bad_usage_names_the_argument_and_exits_2(
    run: Run, engine: FakeEngine, arguments: list[str], named: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert engine.executed == []


def test_status_json_has_exactly_the_agreed_shape(run: Run, engine: FakeEngine) -> None:
    engine.positions = [position()]
    engine.signals = [proposed(), proposed("OTHER000", state="EXECUTING")]
    result = run("status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "mode": "RUNNING",
        "environment": "paper",
        "account": {
            "login": 5000001,
            "server": "Paper",
            "currency": "USD",
            "balance": 10000.0,
            "equity": 10010.0,
            "margin": 108.0,
        },
        "reading": {"validity": "VALID", "age_seconds": 0.1},
        "drawdown": {"peak": 10100.0, "percent": 0.89, "limit_percent": 20.0, "headroom": 1930.0},
        "positions": 1,
        "pending_signals": 1,
        "gateway": {"connected": True, "restarts": 0},
        "engine": {"pid": 4242, "started_at": "2026-03-02T08:00:00Z", "heartbeat_age_seconds": 1.5},
        "market": {
            "symbol": "EURUSD",
            "bid": 1.08,
            "ask": 1.0801,
            "time": "2026-03-02T08:00:00Z",
            "finished": False,
        },
    }


def test_status_of_an_engine_that_knows_nothing_yet(run: Run, engine: FakeEngine) -> None:
    engine.empty = True
    known = json.loads(run("status", "--json").stdout)
    assert (known["account"], known["drawdown"], known["market"]) == (None, None, None)
    assert known["reading"] == {"validity": "NONE", "age_seconds": None}
    shown = run("status")
    assert shown.exit_code == 0
    assert "NONE" in shown.stdout


def test_status_for_people_is_aligned_and_clean(run: Run, engine: FakeEngine) -> None:
    engine.padding = "BLIND\x1b[2J\u202e no reading\nfor 9 s"
    engine.flatten = flatten("FLAT", statement="flat, confirmed by the broker at 14:03:22")
    shown = run("status").stdout
    assert "PAPER      RUNNING  profile paper" in shown
    assert "notice     BLIND[2J no reading for 9 s" in shown
    assert "equity     10,010.00 USD" in shown
    assert "0.89 % of 20 %" in shown
    assert "flat, confirmed by the broker at 14:03:22" in shown
    assert "\x1b" not in shown


def test_positions_json_uses_the_names_of_mt5(run: Run, engine: FakeEngine) -> None:
    engine.positions = [position(1001), position(1002, type=1, comment="\x1b[31m\u202eevil")]
    result = run("positions", "--json")
    assert json.loads(result.stdout)[0] == {
        "ticket": 1001,
        "symbol": "EURUSD",
        "type": 0,
        "volume": 0.1,
        "price_open": 1.08,
        "price_current": 1.081,
        "sl": 1.07,
        "tp": 1.1,
        "profit": 10.0,
        "swap": 0.0,
        "magic": 77,
        "comment": "qd",
    }
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout


def test_positions_for_people(run: Run, engine: FakeEngine) -> None:
    assert run("positions").stdout == "no open positions\n"
    engine.positions = [position(1001), position(1002, type=1, sl=0.0, comment="\x1b[31mevil", note="closing, try 2")]
    head, first, second = run("positions").stdout.splitlines()
    assert head.split()[:5] == ["position", "ticket", "symbol", "side", "volume"]
    assert first.split()[:6] == ["1001", "1001", "EURUSD", "buy", "0.10", "1.08000"]
    assert "sell" in second
    assert "[31mevil  closing, try 2" in second
    assert "\x1b" not in second
    assert head.index("symbol") == first.index("EURUSD") == second.index("EURUSD")


def test_signals_are_listed(run: Run, engine: FakeEngine) -> None:
    assert run("signals").stdout == "no signals\n"
    engine.signals = [proposed(), proposed("OTHER000", money_at_risk=None, reward_to_risk=None, drift_points=None)]
    shown = run("signals").stdout
    assert "K3V9X2QD@1  PENDING  buy" in shown
    assert "4:00" in shown
    listed = json.loads(run("signals", "--json").stdout)
    assert [one["id"] for one in listed] == ["K3V9X2QD", "OTHER000"]


def test_signal_add_prints_only_its_id(run: Run, engine: FakeEngine) -> None:
    engine.data = {"signal": "K3V9X2QD"}
    result = run(*_add("--volume", "0.1", "--entry", "1.05", "--expires", "60", "--note", "by hand"))
    assert (result.exit_code, result.stdout) == (0, "K3V9X2QD\n")
    assert engine.executed[0][0].action == AddSignal(
        symbol="EURUSD", side="buy", volume=0.1, sl=1.0, tp=2.0, entry=1.05, expires_seconds=60, note="by hand"
    )
    assert engine.executed[0][1].origin == "cli"


def test_signal_that_is_refused_exits_1(run: Run, engine: FakeEngine) -> None:
    engine.refusal = "stop on the wrong side"
    result = run(
        *["signal", "add", "--symbol", "EURUSD", "--side", "sell", "--volume", "0.1", "--sl", "1.0", "--tp", "1.1"]
    )
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "refused: stop on the wrong side\n")


def test_approve_without_a_version_prints_and_sends_the_present_one(run: Run, engine: FakeEngine) -> None:
    engine.signals = [proposed("OTHER000"), proposed(version=7)]
    result = run("approve", "K3V9X2QD")
    assert result.exit_code == 0
    assert "K3V9X2QD@7  PENDING  buy   0.10" in result.stdout
    assert result.stdout.endswith("approve done\n")
    assert [command.action for command, _ in engine.executed] == [Approve(signal="K3V9X2QD", version=7)]


def test_approve_with_a_version_sends_exactly_that(run: Run, engine: FakeEngine) -> None:
    engine.signals = [proposed(version=7)]
    engine.refusal = "the signal has moved on to version 7"
    result = run("approve", "K3V9X2QD@3")
    assert (result.exit_code, result.stderr) == (1, "refused: the signal has moved on to version 7\n")
    assert [command.action for command, _ in engine.executed] == [Approve(signal="K3V9X2QD", version=3)]


def test_unknown_signal_is_refused_without_a_command(run: Run, engine: FakeEngine) -> None:
    result = run("approve", "NOTHERE0")
    assert result.exit_code == 1
    assert "NOTHERE0" in result.stderr
    assert engine.executed == []


def test_reject_carries_its_reason(run: Run, engine: FakeEngine) -> None:
    engine.signals = [proposed(version=2)]
    assert run("reject", "K3V9X2QD", "--reason", "news").exit_code == 0
    command, _ = engine.executed[0]
    assert (command.action, command.reason) == (Reject(signal="K3V9X2QD", version=2), "news")


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (["pause"], Pause()),
        (["resume"], Resume()),
        (["stop"], Stop()),
        (["reset", "--yes"], Reset()),
        (["reset", "--yes", "--baseline", "keep", "--account", "7"], Reset(baseline="keep", account=7)),
        (["unlock", "daily loss"], Unlock(guard="daily loss")),
        (
            ["bases", "--initial", "100000", "--highest-close", "101000.5"],
            SetBases(initial=100_000.0, highest_close=101_000.5),
        ),
        (["bases"], SetBases()),
        (["settle", "cash-flow"], SettleFunds(what="cash flow")),
        (["settle", "result"], SettleFunds(what="result")),
    ],
)
def test_plain_commands_are_sent_or_refused(run: Run, engine: FakeEngine, arguments: list[str], action: object) -> None:
    result = run(*arguments, "--reason", "because")
    kind = {"bases": "set_bases", "settle": "settle_funds"}.get(arguments[0], arguments[0])
    assert (result.exit_code, result.stdout) == (0, f"{kind} done\n")
    command, operator = engine.executed[0]
    assert (command.action, command.reason, operator.origin) == (action, "because", "cli")
    engine.refusal = "not in this mode\x1b[2J"
    result = run(*arguments, "--reason", "because")
    assert (result.exit_code, result.stderr) == (1, "refused: not in this mode[2J\n")


def test_engine_error_exits_1(run: Run, engine: FakeEngine) -> None:
    engine.execute_error = ValueError("x")
    result = run("pause")
    assert result.exit_code == 1
    assert "ValueError" in result.stderr


def test_lost_answer_says_that_it_may_have_been_done(
    run: Run, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Impatient(ControlClient):
        def __init__(self, address: str, origin: str) -> None:
            super().__init__(address, origin, timeout=0.05)

    monkeypatch.setattr(calls, "ControlClient", _Impatient)
    engine.hold.clear()
    result = run("pause")
    assert result.exit_code == 4
    assert "may or may not have been done" in result.stderr
    engine.hold.set()


def test_socket_folder_that_cannot_be_trusted_exits_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def _refuse(folder: Path) -> str:
        raise PermissionError("belongs to uid 7")

    monkeypatch.setattr(calls, "control_address", _refuse)
    result = run("status")
    assert result.exit_code == 1
    assert "belongs to uid 7" in result.stderr


@pytest.mark.parametrize("arguments", [["flatten"], ["reset", "--reason", "x"]])
def test_confirmation_without_a_terminal_exits_2(run: Run, engine: FakeEngine, arguments: list[str]) -> None:
    result = run(*arguments, input="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert engine.executed == []


def _answer(arguments: list[str], answer: bytes) -> tuple[int, str]:
    """Run a command in a real terminal and answer its question."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "console.cli", *arguments], stdin=secondary, stdout=secondary, stderr=secondary
    )
    os.close(secondary)
    shown = b""
    while b"[y/N]" not in shown and (chunk := _read(primary)):
        shown += chunk
    os.write(primary, answer)
    while chunk := _read(primary):
        shown += chunk
    os.close(primary)
    return process.wait(30), shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux: the other side has closed
        return b""


def test_flatten_asks_in_a_terminal_and_a_mere_enter_does_nothing(engine: FakeEngine) -> None:
    engine.positions = [position(), position(1002)]
    code, shown = _answer(["flatten"], b"\n")
    assert code == 1
    assert "PAPER  5000001 @ Paper  2 positions" in shown
    assert "nothing was done" in shown
    assert engine.executed == []


def test_flatten_that_is_confirmed_in_a_terminal_is_sent(engine: FakeEngine) -> None:
    engine.flatten = flatten("FLAT", finished_at=_later(), statement="flat, confirmed by the broker at 14:03:22")
    code, shown = _answer(["flatten", "--reason", "news"], b"y\n")
    assert code == 0
    assert "flat, confirmed by the broker at 14:03:22" in shown
    assert (engine.executed[0][0].action, engine.executed[0][0].reason) == (Flatten(), "news")


def test_question_in_vain_when_no_engine_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = _spawn("flatten", stdin=subprocess.DEVNULL)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "--yes" in said) == (2, True)
    primary, secondary = pty.openpty()
    process = _spawn("flatten", stdin=secondary)
    _, said = process.communicate(timeout=30)
    os.close(primary)
    os.close(secondary)
    assert process.returncode == 4
    assert "no engine answers" in said


def _later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def test_flatten_waits_for_the_broker_and_not_for_an_older_one(run: Run, engine: FakeEngine) -> None:
    engine.flatten = flatten("FLAT", id="old", finished_at=START, statement="flat long ago")

    def _proceed() -> None:
        engine.flatten = flatten("RUNNING", remaining=["#1001 EURUSD 0.10"])
        timer = threading.Timer(0.3, _finish)
        timer.start()

    def _finish() -> None:
        engine.flatten = flatten("FLAT", finished_at=_later(), statement="flat, confirmed by the broker at 14:03:22")

    timer = threading.Timer(0.3, _proceed)
    timer.start()
    result = run("flatten", "--yes")
    timer.join()
    assert result.exit_code == 0
    assert result.stdout == "flatten done\nflat, confirmed by the broker at 14:03:22\n"


def test_flatten_that_is_not_done_in_time_exits_3_with_what_is_left(run: Run, engine: FakeEngine) -> None:
    engine.flatten = flatten("DEFERRED", remaining=["#1001 EURUSD 0.10: 10018 market closed\x1b[2J"])
    result = run("flatten", "--yes", "--timeout", "0.3")
    assert result.exit_code == 3
    assert "not flat after 0.3 s; the engine goes on. Left:" in result.stdout
    assert "#1001 EURUSD 0.10: 10018 market closed[2J\n" in result.stdout
    engine.flatten = None
    engine.positions = [position(1001)]
    result = run("flatten", "--yes", "--timeout", "0.3")
    assert (result.exit_code, "1001" in result.stdout) == (3, True)
    engine.positions = []
    result = run("flatten", "--yes", "--timeout", "0.3")
    assert (result.exit_code, "has not confirmed" in result.stdout) == (3, True)


def test_flatten_whose_engine_dies_meanwhile_exits_3_with_what_was_seen_last(run: Run, state: Path) -> None:
    engine = FakeEngine()
    engine.flatten = flatten("RUNNING", remaining=["#1001 EURUSD 0.10"])
    with ExitStack() as running:
        running.enter_context(serving(engine, state))
        dying = threading.Timer(0.4, running.close)
        dying.start()
        result = run("flatten", "--yes", "--timeout", "1.5")
        dying.join()
    assert result.exit_code == 3
    assert "Seen last, since no engine answers" in result.stdout
    assert "#1001 EURUSD 0.10" in result.stdout


def test_flatten_goes_on_over_an_engine_that_was_restarted(run: Run, state: Path) -> None:
    first, second = FakeEngine(), FakeEngine()
    first.flatten = flatten("RUNNING", remaining=["#1001 EURUSD 0.10"])
    second.flatten = flatten("FLAT", finished_at=_later(), statement="flat, confirmed by the broker at 14:03:22")
    with ExitStack() as running:
        running.enter_context(serving(first, state))

        def _restart() -> None:
            running.close()
            running.enter_context(serving(second, state))

        restarting = threading.Timer(0.4, _restart)
        restarting.start()
        result = run("flatten", "--yes", "--timeout", "20")
        restarting.join()
    assert result.exit_code == 0
    assert result.stdout.endswith("flat, confirmed by the broker at 14:03:22\n")


def test_flatten_that_is_cancelled_exits_3(run: Run, engine: FakeEngine) -> None:
    engine.flatten = flatten("CANCELLED", finished_at=_later(), statement="holiday", remaining=["#1001 EURUSD"])
    result = run("flatten", "--yes")
    assert result.exit_code == 3
    assert result.stdout == "flatten done\nthe flatten was cancelled: holiday. Left:\n#1001 EURUSD\n".replace(
        "\n#1001", "\n  #1001"
    )


def test_flatten_that_is_refused_exits_1(run: Run, engine: FakeEngine) -> None:
    engine.refusal = "no"
    assert run("flatten", "--yes").exit_code == 1


def test_events_are_printed_all_and_in_order(run: Run, engine: FakeEngine) -> None:
    engine.happen(2500)
    engine.happen(1, "trade_executed", comment="\x1b[31m\u202eevil")
    lines = run("events", "--json").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, 2502))
    assert json.loads(lines[-1])["metadata"] == {"comment": "\x1b[31m\u202eevil"}
    assert "\x1b" not in lines[-1]
    shown = run("events", "--after", "2499").stdout.splitlines()
    assert len(shown) == 2
    assert shown[1].split()[0] == "2501"
    assert "trade_executed" in shown[1]
    assert "\x1b" not in shown[1]
    assert "\u202e" not in shown[1]
    assert run("events", "--after", "9999").stdout == ""


@pytest.mark.parametrize("as_json", [True, False])
def test_events_are_followed_until_ctrl_c(engine: FakeEngine, as_json: bool) -> None:
    engine.happen(3)
    process = _spawn("events", "--follow", "--after", "1", *(["--json"] if as_json else []))
    assert process.stdout is not None
    assert process.stderr is not None

    def _seqs(count: int) -> Iterator[int]:
        assert process.stdout is not None
        for _ in range(count):
            line = process.stdout.readline()
            yield json.loads(line)["seq"] if as_json else int(line.split()[0])

    assert list(_seqs(2)) == [2, 3]
    for number in range(4, 8):
        engine.happen()
        assert list(_seqs(1)) == [number]
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stderr.read() == ""
    process.stdout.close()
    process.stderr.close()


def test_interrupted_flatten_says_that_it_goes_on(engine: FakeEngine) -> None:
    process = _spawn("flatten", "--yes")
    assert process.stdout is not None
    assert process.stdout.readline() == "flatten done\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on" in said


def test_followed_engine_that_stops_exits_4(state: Path) -> None:
    engine = FakeEngine()
    engine.happen(1)
    with serving(engine, state):
        process = _spawn("events", "--follow")
        assert process.stdout is not None
        process.stdout.readline()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "stop" in said


def test_reader_that_leaves_ends_the_command_quietly(engine: FakeEngine) -> None:
    engine.happen(5000)
    process = _spawn("events")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(30)
    process.stderr.close()


def test_profile_comes_from_option_environment_or_default(
    run: Run, state: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("status").exit_code == 0
    assert "'live'" in run("--profile", "live", "status").stderr
    monkeypatch.setenv("QUARTERDECK_PROFILE", "demo")
    assert "'demo'" in run("status").stderr
    assert run("--profile", "paper", "status").exit_code == 0


def test_no_command_opens_the_console_and_hang_up_ends_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    opened: list[tuple[str, str | None, bool]] = []

    def _run_console(profile: str, terminal: object, *, socket: str | None, read_only: bool) -> int:
        opened.append((profile, socket, read_only))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        return 7

    fake = types.ModuleType("console.run")
    fake.run_console = _run_console  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "console.run", fake)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("--profile", "live").exit_code == 7
        assert run("--read-only", "--socket", "/run/s").exit_code == 7
    finally:
        signal.signal(signal.SIGHUP, before)
    assert opened == [("live", None, False), ("paper", "/run/s", True)]


def test_engine_command_hands_its_arguments_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import engine.__main__ as engine_main

    given: list[list[str]] = []

    def _main(arguments: list[str]) -> int:
        given.append(arguments)
        return 75

    monkeypatch.setattr(engine_main, "main", _main)
    assert run("--profile", "live", "engine", "--replay", "a.csv", "--speed", "max").exit_code == 75
    assert given == [["--profile", "live", "--replay", "a.csv", "--speed", "max"]]


def test_status_and_help_import_neither_textual_nor_the_engine(state: Path) -> None:
    program = (
        "import sys, console.cli\n"
        "heavy = {'textual', 'aiohttp', 'pydantic', 'numpy', 'engine.control.client'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import console.calls, console.output\n"
        "assert 'textual' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
