"""`quarterdeck alerts`, `ack` and `alert test`."""

import json
from pathlib import Path

import pytest

from engine.alerts.addresses import variable
from engine.control.messages import Acknowledge, AlertView, TestAlert
from tests.unit.alerts.services import CANARY, service
from tests.unit.console.conftest import Run
from tests.unit.control.fake import START, FakeEngine


def alert(name: str = "AB123", **over: object) -> AlertView:
    values = {"id": name, "key": "k", "severity": "critical", "text": "tripped\x1b[2J", "raised_at": START, **over}
    return AlertView.model_validate(values)


def test_open_alerts_are_listed_with_who_was_told_and_where_it_fails(run: Run, engine: FakeEngine) -> None:
    engine.alerts = [alert(count=3, delivered_to=["phone"], failing=["mail: the service answered 500"])]
    printed = run("alerts").stdout
    assert "AB123  CRITICAL" in printed
    assert "3 times  tripped[2J" in printed
    assert "told: phone" in printed
    assert "not delivered: mail: the service answered 500" in printed
    assert json.loads(run("alerts", "--json").stdout)[0]["id"] == "AB123"
    engine.alerts = []
    assert run("alerts").stdout == "no alert is open\n"


@pytest.mark.parametrize(
    ("words", "action"),
    [("ack AB123 CD456", Acknowledge(ids=["AB123", "CD456"])), ("ack --all", Acknowledge(all=True))],
)
def test_alerts_are_acknowledged_by_id_or_all(run: Run, engine: FakeEngine, words: str, action: Acknowledge) -> None:
    assert run(*words.split(), "--reason", "seen").exit_code == 0
    command, operator = engine.executed[0]
    assert (command.action, command.reason, operator.origin) == (action, "seen", "cli")


@pytest.mark.parametrize("words", ["ack", "ack AB123 --all", "ack ../x"])
def test_an_acknowledgement_that_names_nothing_or_nonsense_is_not_sent(
    run: Run, engine: FakeEngine, words: str
) -> None:
    assert run(*words.split()).exit_code == 2
    assert engine.executed == []


def test_a_test_goes_through_the_engine_and_tells_of_each_target(run: Run, engine: FakeEngine) -> None:
    engine.data = {"test": "test-1", "targets": ["phone", "mail"], "seconds": 5}
    engine.snapshot_error = None
    asked = engine.execute

    async def execute(command, operator):  # type: ignore[no-untyped-def]
        engine.happen(1, "alert_delivered", target="mail", ids=["test-0"])
        engine.happen(1, "alert_failed", target="mail", ids=["test-1"], reason="the service answered 500")
        engine.happen(1, "alert_delivered", target="phone", ids=["test-1"])
        return await asked(command, operator)

    engine.execute = execute  # type: ignore[method-assign]
    result = run("alert", "test")
    assert result.exit_code == 1
    assert result.stdout == "mail: FAILED, the service answered 500\nphone: accepted by the service\n"
    assert engine.executed[0][0].action == TestAlert()


def test_a_refused_test_says_why(run: Run, engine: FakeEngine) -> None:
    engine.refusal = "the profile names no target"
    result = run("alert", "test")
    assert result.exit_code == 1
    assert "names no target" in result.stderr


def test_without_an_engine_a_test_is_delivered_from_here_and_says_so(
    run: Run, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_ALERTS__TARGETS", '["phone"]')
    with service() as there:
        monkeypatch.setenv(variable("phone"), there.address)
        result = run("alert", "test")
        assert result.exit_code == 0
        assert "no engine runs: delivered from here" in result.stdout
        assert "phone: accepted by the service" in result.stdout
        assert "sent without an engine" in there.texts()
        there.mode = "500"
        result = run("alert", "test")
        assert result.exit_code == 1
        assert "phone: FAILED, the service answered 500" in result.stdout
        assert CANARY not in result.output


def test_without_an_engine_and_without_targets_it_is_refused(run: Run, state: Path) -> None:
    result = run("alert", "test")
    assert result.exit_code == 1
    assert "names no target" in result.stderr
