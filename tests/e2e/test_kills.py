"""Every process may be killed at any instant: what goes on, what comes back, and what the operator is told."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import OpenHouse, OpenScreen, houses
from tests.e2e.house import House, gone, until
from tests.e2e.ticks import zigzag

UNTOUCHED = (
    "ticket",
    "identifier",
    "symbol",
    "type",
    "volume",
    "price_open",
    "sl",
    "tp",
    "magic",
    "comment",
    "owner",
)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: gone(pid), f"the end of {pid}", 5)


def same(position: Any, other: Any) -> bool:
    return all(position[name] == other[name] for name in UNTOUCHED)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An engine whose gateways are killed or hung one after the other; itself it lives on."""
    with houses(lambda: tmp_path_factory.mktemp("h")) as make:
        house = make(
            QUARTERDECK_PAPER__DEMO_STRATEGY="false",
            QUARTERDECK_GATEWAY__SEND_SECONDS="2",
        )
        house.engine()
        yield house


@pytest.mark.xdist_group("e2e-gateways")
@pytest.mark.parametrize("slot", ["orders", "reads"])
def test_killed_gateway_is_replaced_and_the_position_stays_one(shared: House, slot: str) -> None:
    shared.flat_and_running()
    position = shared.open_position()
    before = shared.look()
    pid = shared.gateway_pid(slot)
    kill(pid)

    def healed(seen: Any) -> bool:
        restarted = seen["gateway"]["restarts"] == before["gateway"]["restarts"] + 1
        return bool(restarted and seen["gateway"]["connected"] and seen["reading"]["validity"] == "VALID")

    seen = shared.see(healed, "a new gateway and a valid reading", 10)
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    assert seen["engine"]["pid"] == before["engine"]["pid"]
    until(lambda: shared.gateway_pid(slot) != pid, "the record of its start")
    lost = [event["metadata"] for event in shared.events("gateway_lost")]
    assert (lost[-1]["slot"], lost[-1]["pid"]) == (slot, pid)
    until(lambda: len(shared.pids("gateway")) == 2, "two gateways")
    opened = [event["metadata"]["position"] for event in shared.events("position_opened")]
    assert opened.count(position["identifier"]) == 1
    # The new one works: closing goes through the one, the proof of it through the other.
    shared.flat_and_running()
    assert shared.look()["gateway"]["restarts"] == seen["gateway"]["restarts"]


@pytest.mark.xdist_group("e2e-gateways")
def test_reads_move_to_the_standby_when_the_reading_gateway_hangs(shared: House) -> None:
    shared.flat_and_running()
    position = shared.open_position()
    hung = shared.gateway_pid("reads")
    os.kill(hung, signal.SIGSTOP)
    seen = shared.see(lambda seen: seen["reading"]["validity"] == "STALE", "a stale reading", 5)
    assert "has not answered" in seen["reading"]["reason"]
    seen = shared.see(lambda seen: seen["reading"]["validity"] == "VALID", "a valid reading again", 10)
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    assert seen["engine"]["mode"] == "RUNNING"
    until(lambda: gone(hung), "the end of the hung gateway")
    until(lambda: shared.gateway_pid("reads") != hung, "its replacement")


@pytest.mark.xdist_group("e2e-gateways")
def test_flatten_goes_through_the_standby_while_the_order_gateway_hangs(shared: House) -> None:
    shared.flat_and_running()
    for side in ("buy", "sell"):
        shared.open_position(side=side)
    hung = shared.gateway_pid("orders")
    os.kill(hung, signal.SIGSTOP)
    shared.command("flatten", reason="while the order gateway hangs")
    seen = shared.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert seen["positions"] == []
    assert seen["flatten"]["statement"].startswith("flat, confirmed by the broker at ")
    until(lambda: gone(hung), "the end of the hung gateway")
    assert shared.engine_pid() == seen["engine"]["pid"]


def test_engine_restarted_after_a_kill_finds_account_position_peak_and_mode(house: House) -> None:
    ticks = zigzag(house.home / "EURUSD-zigzag.csv", 60_000)
    arguments = ("--replay", str(ticks), "--speed", "max")
    engine = house.engine(*arguments)
    position = house.open_position(volume=1.0)
    # A whole way up and down later the peak is the highest that this market allows, and stays.
    tops = house.see(lambda seen: seen["drawdown"]["peak"] > 10_000, "a peak above the start")["drawdown"]["peak"]

    def settled(seen: Any) -> bool:
        nonlocal tops
        rising, tops = seen["drawdown"]["peak"] != tops, seen["drawdown"]["peak"]
        return not rising and tops - seen["account"]["equity"] > 50

    before = house.see(settled, "equity well below a peak that stands")
    house.command("pause", reason="before the kill")
    terminal, gateways = house.pids("paper terminal"), house.pids("gateway")
    peak = house.look()["drawdown"]["peak"]
    kill(engine.pid)
    until(lambda: all(gone(pid) for pid in gateways), "the end of the gateways with their engine", 5)
    assert house.pids("paper terminal") == terminal

    house.engine(*arguments)
    seen = house.look()
    assert seen["engine"]["mode"] == "PAUSED"
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    assert seen["account"]["login"] == before["account"]["login"]
    assert seen["account"]["balance"] == before["account"]["balance"]
    assert seen["drawdown"]["peak"] == peak > 10_000
    assert house.pids("paper terminal") == terminal
    assert len(house.events("position_opened")) == len(house.events("trade_executed")) == 1
    assert len(house.events("engine_started")) == 2
    assert house.events("engine_stopped") == []
    assert "events: ok" in house.done("journal", "verify")


def test_console_restarts_a_killed_engine_and_shows_the_position_again(house: House, open_screen: OpenScreen) -> None:
    screen = open_screen(house, 200, 60)
    screen.shows("RUNNING CONNECTED")
    position = house.open_position()
    screen.press("2")
    screen.shows("2 Positions (1)", str(position["ticket"]))
    killed = house.engine_pid()

    os.kill(killed, signal.SIGSTOP)
    screen.match("STALE|DISCONNECTED", 10)
    os.kill(killed, signal.SIGCONT)
    screen.match("CONNECTED +data <1 s")

    kill(killed)
    screen.shows("DISCONNECTED")
    seen = house.see(lambda seen: seen["engine"]["pid"] != killed, "another engine")
    screen.match("RUNNING +CONNECTED")
    screen.shows("2 Positions (1)", str(position["ticket"]))
    seen = house.see(lambda seen: seen["positions"], "the position")
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    assert len(house.pids("engine")) == 1


def test_engine_does_not_notice_the_death_of_a_console(house: House, open_screen: OpenScreen) -> None:
    screen = open_screen(house)
    screen.shows("RUNNING CONNECTED")
    position = house.open_position()
    before = house.look()
    (console,) = house.pids("console")
    kill(console)
    seen = house.see(lambda seen: seen["seq"] > before["seq"], "the next heartbeat", 5)
    assert seen["engine"]["pid"] == before["engine"]["pid"] == house.engine_pid()
    assert (seen["engine"]["mode"], seen["reading"]["validity"]) == ("RUNNING", "VALID")
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    assert house.pids("console") == []


def test_killed_terminal_is_started_again_with_its_account_and_position(house: House) -> None:
    engine = house.engine()
    position = house.open_position()
    before = house.look()
    (terminal,) = house.pids("paper terminal")
    kill(terminal)
    house.see(lambda seen: seen["reading"]["validity"] != "VALID", "a reading that is not believed", 10)
    seen = house.see(lambda seen: seen["reading"]["validity"] == "VALID", "a valid reading again")
    assert house.pids("paper terminal") != [terminal]
    assert len(house.pids("paper terminal")) == 1
    assert (seen["account"]["login"], seen["account"]["balance"]) == (before["account"]["login"], 10_000)
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    assert (seen["engine"]["mode"], seen["drawdown"]["verdict"]) == ("RUNNING", "CLEAR")
    house.flat_and_running()
    assert len(house.events("position_opened")) == len(house.events("position_closed")) == 1
    assert engine.poll() is None


def test_engine_is_blind_while_the_terminal_cannot_come_back_and_sees_again_when_it_can(
    open_house: OpenHouse,
) -> None:
    house = open_house(QUARTERDECK_PAPER__DEMO_STRATEGY="false", QUARTERDECK_READING__BLIND_AFTER_SECONDS="1")
    ticks = zigzag(house.home / "EURUSD-zigzag.csv", 5_000)
    engine = house.engine("--replay", str(ticks))
    position = house.open_position()
    (terminal,) = house.pids("paper terminal")
    away = ticks.rename(ticks.with_suffix(".away"))
    kill(terminal)

    seen = house.see(lambda seen: seen["reading"]["blind"], "a blind engine", 10)
    assert any(notice.startswith("BLIND") for notice in seen["engine"]["notices"])
    assert seen["gateway"]["connected"] is False
    # What is shown is the last that was believed; nothing is closed for it, and nothing is opened.
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    assert seen["engine"]["mode"] == "RUNNING"
    assert house.events("reading_blind")
    # Longer than one attempt to start it takes.
    until(lambda: b"cannot be read" in (house.state / "paper" / "terminal.log").read_bytes(), "an attempt that failed")

    away.rename(ticks)
    seen = house.see(lambda seen: seen["reading"]["validity"] == "VALID", "a valid reading again")
    assert [same(position, shown) for shown in seen["positions"]] == [True]
    until(lambda: house.events("reading_restored"), "the record of it")
    assert engine.poll() is None
    house.command("stop")
    assert engine.wait(20) == 0
    house.nothing_left()
    assert "events: ok" in house.done("journal", "verify")


def test_flatten_ordered_while_the_terminal_hangs_is_carried_out_once_it_answers(open_house: OpenHouse) -> None:
    house = open_house(QUARTERDECK_PAPER__DEMO_STRATEGY="false", QUARTERDECK_GATEWAY__READ_SECONDS="1")
    engine = house.engine()
    house.open_position()
    (terminal,) = house.pids("paper terminal")
    os.kill(terminal, signal.SIGSTOP)
    house.see(lambda seen: seen["reading"]["validity"] == "STALE", "a stale reading", 5)
    house.command("flatten", reason="while the terminal hangs")
    seen = house.see(lambda seen: not seen["gateway"]["connected"], "both gateways given up", 10)
    assert seen["engine"]["mode"] == "FLATTENING"
    assert seen["reading"]["validity"] == "INVALID"
    # What cannot be read is not taken for closed.
    assert len(seen["positions"]) == 1

    os.kill(terminal, signal.SIGCONT)
    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert seen["flatten"]["statement"].startswith("flat, confirmed by the broker at ")
    assert (seen["positions"], seen["flatten"]["positions_closed"]) == ([], 1)
    assert len(house.events("position_closed")) == 1
    assert house.pids("paper terminal") == [terminal]
    assert engine.poll() is None
