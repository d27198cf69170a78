"""Alerts from a real engine to a real server: a trip is delivered, repeated until `ack`; its address stays secret."""

from pathlib import Path

from tests.e2e.conftest import OpenHouse
from tests.e2e.house import until
from tests.e2e.ticks import falling
from tests.unit.alerts.services import CANARY, service


def test_a_trip_is_delivered_and_repeated_until_somebody_acknowledges_it(open_house: OpenHouse) -> None:
    with service() as phone, service("500") as boss:
        house = open_house(
            QUARTERDECK_PAPER__DEMO_STRATEGY="false",
            QUARTERDECK_LOOP__HEARTBEAT_SECONDS="0.5",
            QUARTERDECK_DRAWDOWN__LIMIT_PERCENT="2",
            QUARTERDECK_ALERTS__TARGETS='["phone"]',
            QUARTERDECK_ALERTS__ESCALATION='["boss"]',
            QUARTERDECK_ALERTS__REPEAT_SECONDS="4",
            QUARTERDECK_ALERT_URL_PHONE=phone.address,
            QUARTERDECK_ALERT_URL_BOSS=boss.address,
        )
        house.engine("--replay", str(falling(house.home / "EURUSD-falling.csv", 100_000)), "--speed", "1000")

        tested = house.run("alert", "test")
        assert tested.returncode == 1, tested
        assert "phone: accepted by the service" in tested.stdout
        assert "boss: FAILED, the service answered 500" in tested.stdout
        assert "This is a test of the alerts" in phone.texts()

        trade = ("--symbol", "EURUSD", "--side", "buy", "--volume", "4", "--sl", "0.3", "--tp", "4")
        house.done("approve", f"{house.done('signal', 'add', *trade).strip()}@1")
        house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
        until(lambda: "Guard drawdown tripped" in phone.texts(), "the alert on the phone")
        boss.mode = "200"
        until(lambda: "Guard drawdown tripped" in boss.texts(), "the escalation")
        until(lambda: phone.texts().count("Guard drawdown tripped") >= 3, "two repetitions")
        (tripped,) = [alert for alert in house.json("alerts") if alert["key"] == "guard:drawdown:tripped"]
        assert {"phone", "boss"} == set(tripped["delivered_to"])

        assert tripped["id"] in house.done("ack", tripped["id"], "--reason", "I am awake")
        assert "acknowledged" in house.done("ack", "--all")
        assert house.json("alerts") == []
        (first, _) = house.events("alert_acknowledged")
        assert (first["metadata"]["reason"], first["metadata"]["origin"]) == ("I am awake", "cli")
        until(lambda: not [words for words in house.processes().values() if "engine.alerts.child" in words], "no child")
        told = len(phone.got)
        seq = house.look()["seq"]
        house.see(lambda seen: seen["seq"] > seq + 12, "six seconds of heartbeats")
        assert len(phone.got) == told

        gateways = [Path(f"/proc/{pid}/environ").read_bytes() for pid in house.pids("gateway")]
        terminals = [Path(f"/proc/{pid}/environ").read_bytes() for pid in house.pids("paper terminal")]
        assert len(gateways) == 2
        assert terminals
        assert not [held for held in (*gateways, *terminals) if CANARY.encode() in held]
        assert "events: ok" in house.done("journal", "verify")
        house.done("stop")
        house.nothing_left()
        leaks = [path for path in house.home.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
        assert leaks == []


def test_an_engine_that_was_killed_says_so_when_it_is_started_again(open_house: OpenHouse) -> None:
    with service() as phone:
        house = open_house(
            QUARTERDECK_PAPER__DEMO_STRATEGY="false",
            QUARTERDECK_ALERTS__TARGETS='["phone"]',
            QUARTERDECK_ALERT_URL_PHONE=phone.address,
        )
        engine = house.engine()
        engine.kill()
        engine.wait()
        house.engine()
        until(lambda: "started after it had died" in phone.texts(), "the alert of the death")
        house.see(lambda seen: [item["key"] for item in seen["alerts"]] == ["death"], "the open alert")
        house.done("stop")
        house.engine()
        assert [item["key"] for item in house.look()["alerts"]] == ["death"]
        assert phone.texts().count("started after it had died") == 1
