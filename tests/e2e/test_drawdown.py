"""The drawdown guard on a replayed market: it trips, closes everything, and stays latched whatever is killed."""

import os
import signal

import pytest

from tests.e2e.conftest import OpenHouse
from tests.e2e.house import gone, until
from tests.e2e.ticks import falling, write

LIMIT = 2


def test_guard_trips_flattens_and_stays_halted_through_a_kill_until_an_operator_resets(open_house: OpenHouse) -> None:
    house = open_house(QUARTERDECK_DRAWDOWN__LIMIT_PERCENT=str(LIMIT))
    ticks = falling(house.home / "EURUSD-falling.csv", 100_000)
    arguments = ("--replay", str(ticks), "--speed", "max")
    engine = house.engine(*arguments)
    login = house.look()["account"]["login"]
    trade = ("--symbol", "EURUSD", "--side", "buy", "--volume", "4", "--sl", "0.3", "--tp", "4")
    identifier = house.done("signal", "add", *trade).strip()
    house.done("approve", f"{identifier}@1")

    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert seen["positions"] == []
    assert "drawdown" in seen["engine"]["halt_reason"]
    assert seen["flatten"]["statement"].startswith("flat, confirmed by the broker at ")
    assert seen["account"]["equity"] == seen["account"]["balance"] <= 10_000 * (1 - LIMIT / 100)
    (tripped,) = house.events("guard_tripped")
    assert tripped["metadata"]["percent"] >= LIMIT
    # The first breach is caught, not a later one: a tick costs 4 USD, 0.04 %.
    assert tripped["metadata"]["percent"] < LIMIT + 1
    assert tripped["metadata"]["limit_percent"] == LIMIT
    order = [event["event_type"] for event in house.events()]
    assert order.index("trade_executed") < order.index("guard_tripped") < order.index("flatten_finished")

    os.kill(engine.pid, signal.SIGKILL)
    until(lambda: gone(engine.pid), "the end of the engine")
    house.engine(*arguments)
    seen = house.look()
    assert (seen["account"]["login"], seen["engine"]["mode"]) == (login, "HALTED")
    assert "drawdown" in seen["engine"]["halt_reason"]
    assert seen["drawdown"]["peak"] == 10_000
    assert seen["drawdown"]["percent"] >= LIMIT
    refused = house.run("resume")
    assert refused.returncode == 1
    assert "HALTED" in refused.stderr

    assert "PAUSED" in house.done("reset", "--yes", "--reason", "the file is a test")
    status = house.json("status")
    assert status["mode"] == "PAUSED"
    assert status["drawdown"]["peak"] == status["account"]["equity"]
    assert len(house.events("guard_tripped")) == len(house.events("flatten_finished")) == 1
    assert "events: ok" in house.done("journal", "verify")


@pytest.mark.parametrize("speed", ["max", "1000"])
def test_replay_that_has_ended_keeps_its_last_quote_to_close_on_and_takes_no_entries(
    open_house: OpenHouse, speed: str
) -> None:
    house = open_house(QUARTERDECK_PAPER__DEMO_STRATEGY="false")
    ticks = write(house.home / "ticks.csv", [110_000, 110_010, 110_020])
    engine = house.engine("--replay", str(ticks), "--symbol", "EURUSD", "--speed", speed)
    house.see(lambda seen: seen["markets"] and seen["markets"][0]["finished"], "the file's end")
    seen = house.look()
    assert seen["reading"]["validity"] == "VALID"
    assert [(market["symbol"], market["bid"], market["ask"]) for market in seen["markets"]] == [
        ("EURUSD", 1.1002, 1.10021)
    ]
    assert any("REPLAY HAS ENDED" in notice for notice in seen["engine"]["notices"])
    identifier = house.propose()
    refused = house.run("approve", f"{identifier}@1")
    assert refused.returncode == 1
    assert "replay has ended" in refused.stderr
    assert engine.poll() is None
