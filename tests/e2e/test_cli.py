"""The command line against one running engine: what each command prints and with which code it ends."""

import json
import os
import pty
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OpenHouse, houses
from tests.e2e.house import House, until

pytestmark = pytest.mark.xdist_group("e2e-cli")
FLAT = re.compile(r"flat, confirmed by the broker at \d\d:\d\d:\d\d")
STOPS = ("--symbol", "EURUSD", "--side", "buy", "--volume", "0.2", "--sl", "1.1", "--tp", "1.3")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with houses(lambda: tmp_path_factory.mktemp("h")) as make:
        house = make()
        house.engine()
        yield house


@pytest.fixture
def house(shared: House) -> House:
    shared.flat_and_running()
    return shared


def keys(value: Any) -> Any:
    """The names in a JSON object and in the objects directly below."""
    return {name: set(inner) if isinstance(inner, dict) else None for name, inner in value.items()}


def test_status_has_exactly_the_agreed_shape(house: House) -> None:
    status = house.json("status")
    assert keys(status) == {
        "mode": None,
        "environment": None,
        "account": {"login", "server", "currency", "balance", "equity", "margin"},
        "reading": {"validity", "age_seconds"},
        "drawdown": {"peak", "percent", "limit_percent", "headroom"},
        "positions": None,
        "pending_signals": None,
        "gateway": {"connected", "restarts"},
        "engine": {"pid", "started_at", "heartbeat_age_seconds"},
        "market": {"symbol", "bid", "ask", "time", "finished"},
    }
    assert (status["mode"], status["environment"]) == ("RUNNING", "paper")
    assert status["reading"]["validity"] == "VALID"
    assert status["reading"]["age_seconds"] < 1
    assert status["gateway"] == {"connected": True, "restarts": 0}
    assert status["engine"]["pid"] == house.engine_pid()
    assert status["engine"]["heartbeat_age_seconds"] < 2
    assert status["market"]["bid"] < status["market"]["ask"]
    assert status["market"]["finished"] is False
    for moment in (status["engine"]["started_at"], status["market"]["time"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", moment)
    assert "RUNNING" in house.done("status")


def test_signal_is_added_listed_approved_and_becomes_a_position(house: House) -> None:
    identifier = house.done("signal", "add", *STOPS, "--entry", "1.17", "--expires", "200").strip()
    (listed,) = house.json("signals")
    assert (listed["id"], listed["version"], listed["state"]) == (identifier, 1, "PENDING")
    assert (listed["side"], listed["volume"], listed["entry"], listed["sl"]) == ("buy", 0.2, 1.17, 1.1)
    assert 150 < listed["seconds_left"] <= 200

    stale = house.run("approve", f"{identifier}@7")
    assert stale.returncode == 1
    assert "refused" in stale.stderr
    assert house.look()["signals"][0]["state"] == "PENDING"

    assert identifier in house.done("approve", f"{identifier}@1")
    house.see(lambda seen: len(seen["positions"]) == 1, "one position")
    (position,) = house.json("positions")
    assert list(position) == [
        "ticket",
        "symbol",
        "type",
        "volume",
        "price_open",
        "price_current",
        "sl",
        "tp",
        "profit",
        "swap",
        "magic",
        "comment",
    ]
    assert (position["symbol"], position["type"], position["volume"]) == ("EURUSD", 0, 0.2)
    assert (position["sl"], position["tp"]) == (1.1, 1.3)
    again = house.run("approve", f"{identifier}@1")
    assert again.returncode == 1
    assert len(house.look()["positions"]) == 1


def test_signal_is_rejected_with_its_reason_at_the_present_version(house: House) -> None:
    identifier = house.propose()
    assert f"{identifier}@1" in house.done("signals")
    assert identifier in house.done("reject", identifier, "--reason", "against the news")
    assert house.json("signals") == []
    (rejected,) = [event for event in house.events("signal_rejected") if event["metadata"]["signal"] == identifier]
    assert rejected["metadata"]["reason"] == "against the news"
    assert rejected["metadata"]["origin"] == "cli"


def test_paused_engine_refuses_an_approval_which_waits_until_it_resumes(house: House) -> None:
    house.done("pause", "--reason", "lunch")
    assert house.look()["engine"]["mode"] == "PAUSED"
    identifier = house.propose()
    refused = house.run("approve", identifier)
    assert refused.returncode == 1
    assert f"{identifier}@1" in refused.stdout
    assert "PAUSED" in refused.stderr
    assert [signal["state"] for signal in house.look()["signals"]] == ["PENDING"]
    house.done("resume")
    assert house.look()["engine"]["mode"] == "RUNNING"
    assert house.run("resume").returncode == 1
    house.command("approve", signal=identifier, version=1)
    house.see(lambda seen: len(seen["positions"]) == 1, "its position")


def test_flatten_without_yes_and_without_a_terminal_is_a_usage_error_that_does_nothing(house: House) -> None:
    house.open_position()
    result = house.run("flatten")
    assert result.returncode == 2
    assert "--yes" in result.stderr
    assert house.run("reset", "--reason", "no").returncode == 2
    assert house.look()["flatten"] is None or house.look()["engine"]["mode"] == "RUNNING"
    assert len(house.look()["positions"]) == 1


def test_flatten_at_a_terminal_asks_and_a_no_does_nothing(house: House) -> None:
    house.open_position()
    outer, inner = pty.openpty()
    with os.fdopen(outer, "r+b", buffering=0) as terminal, os.fdopen(inner, "r+b", buffering=0) as end:
        asking = house.start("flatten", stdin=end, stdout=end, stderr=end)
        asked = b""
        while b"[y/N]" not in asked:
            asked += terminal.read(1000)
        assert b"PAPER" in asked
        assert str(house.look()["account"]["login"]).encode() in asked
        terminal.write(b"\n")
        assert asking.wait(10) == 1
    assert len(house.look()["positions"]) == 1
    assert house.look()["engine"]["mode"] == "RUNNING"


def test_flatten_ends_flat_and_halted_and_reset_with_a_reason_lifts_it(house: House) -> None:
    for side in ("buy", "sell"):
        house.open_position(side=side)
    assert FLAT.search(house.done("flatten", "--yes", "--reason", "end of the day"))
    seen = house.look()
    assert (seen["engine"]["mode"], seen["positions"], seen["account"]["margin"]) == ("HALTED", [], 0)
    assert seen["account"]["equity"] == seen["account"]["balance"]
    assert house.run("resume").returncode == 1
    assert house.run("reset", "--yes").returncode == 2
    assert "PAUSED" in house.done("reset", "--yes", "--reason", "new day")
    seen = house.look()
    assert (seen["engine"]["mode"], seen["drawdown"]["percent"]) == ("PAUSED", 0)
    assert seen["drawdown"]["peak"] == seen["account"]["equity"]


def test_flatten_that_is_not_waited_for_says_what_is_left_and_goes_on(house: House) -> None:
    house.open_position()
    result = house.run("flatten", "--yes", "--timeout", "0")
    assert result.returncode == 3
    assert "the engine goes on" in result.stdout
    house.see(lambda seen: seen["engine"]["mode"] == "HALTED" and not seen["positions"], "flat in the end")


def test_events_are_printed_from_a_sequence_number_on(house: House) -> None:
    lines = [json.loads(line) for line in house.done("events", "--json").splitlines()]
    assert [event["seq"] for event in lines] == list(range(1, len(lines) + 1))
    assert {"seq", "event_type", "timestamp", "loop_id", "account", "metadata"} == set(lines[0])
    after = lines[-3]["seq"]
    later = [json.loads(line)["seq"] for line in house.done("events", "--json", "--after", str(after)).splitlines()]
    assert later[:2] == [after + 1, after + 2]


def test_followed_events_come_as_they_happen_until_ctrl_c(house: House) -> None:
    after = house.look()["seq"]
    following = house.start("events", "--json", "--follow", "--after", str(after))
    assert following.stdout is not None
    identifier = house.propose()
    for line in following.stdout:
        event = json.loads(line)
        if event["event_type"] == "signal_received" and event["metadata"]["signal"] == identifier:
            break
    following.send_signal(signal.SIGINT)
    _, complained = following.communicate(timeout=20)
    assert (following.returncode, complained) == (0, "")


def test_journal_verifies_beside_the_running_engine(house: House) -> None:
    assert re.search(r"^\d+ events: ok$", house.done("journal", "verify").strip())


def test_what_cannot_be_done_is_refused_with_its_code_and_in_words(house: House) -> None:
    cases: dict[tuple[str, ...], int] = {
        ("approve", "NOSUCH@1"): 1,
        ("signal", "add", *STOPS[:-4], "--sl", "1.3", "--tp", "1.4"): 1,
        ("signal", "add", "--symbol", "NOPAIR", *STOPS[2:]): 1,
        ("signal", "add", *STOPS[:-1], "-1"): 2,
        ("reject", "not a name"): 2,
        ("flatten", "--yes", "--timeout", "soon"): 2,
        ("frobnicate",): 2,
    }
    running = [(arguments, code, house.start(*arguments)) for arguments, code in cases.items()]
    for arguments, code, process in running:
        _, complained = process.communicate(timeout=60)
        assert process.returncode == code, (arguments, complained)
        assert complained.strip(), arguments
        assert "Traceback" not in complained, arguments
    assert house.look()["engine"]["mode"] == "RUNNING"


def test_changed_byte_in_a_copied_journal_is_found(house: House, open_house: OpenHouse) -> None:
    house.open_position()
    copied = open_house()
    copied.state.mkdir(parents=True)
    copy = copied.state / "journal.db"
    with (
        closing(sqlite3.connect(f"file:{house.state / 'journal.db'}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(copy)) as target,
    ):
        original.backup(target)
    assert "events: ok" in copied.done("journal", "verify")

    content = bytearray(copy.read_bytes())
    place = content.index(b'"send_to_fill_ms"')
    content[place + 1] = ord("z")
    copy.write_bytes(content)
    result = copied.run("journal", "verify")
    assert result.returncode == 1
    named = re.search(r"event (\d+)", result.stderr)
    assert named is not None
    assert int(named[1]) in [event["seq"] for event in house.events("trade_executed")]


def test_every_command_says_that_no_engine_runs_and_ends_with_4(open_house: OpenHouse) -> None:
    empty = open_house()
    commands: list[tuple[str, ...]] = [
        ("status", "--json"),
        ("positions",),
        ("signals",),
        ("signal", "add", *STOPS),
        ("approve", "K3V9X2QD@1"),
        ("reject", "K3V9X2QD"),
        ("pause",),
        ("resume",),
        ("flatten", "--yes"),
        ("reset", "--yes", "--reason", "none"),
        ("events",),
        ("events", "--follow"),
        ("stop",),
    ]
    running = [empty.start(*arguments) for arguments in commands]
    for arguments, process in zip(commands, running, strict=True):
        printed, complained = process.communicate(timeout=60)
        assert (process.returncode, printed) == (4, ""), arguments
        assert "no engine answers" in complained, arguments
    assert not list(Path(empty.home).iterdir())


def test_stop_ends_every_process_and_keeps_the_positions_at_the_broker(house: House) -> None:
    position = house.open_position()
    house.done("stop", "--reason", "maintenance")
    house.nothing_left()
    assert house.run("status").returncode == 4
    house.engine()
    (kept,) = house.look()["positions"]
    for name in ("ticket", "volume", "price_open", "sl", "tp", "comment"):
        assert kept[name] == position[name]
    stopped = house.events("engine_stopped", "engine_started")
    assert [event["event_type"] for event in stopped[-2:]] == ["engine_stopped", "engine_started"]
    until(lambda: len(house.pids("gateway")) == 2, "two gateways")
