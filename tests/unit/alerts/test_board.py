"""Open alerts: what is one alert, who is told of it, when again, and until when."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from engine.alerts.board import MOST_OPEN, OVERFLOW, PAUSES, Alert, Batch, Board
from engine.alerts.letter import compose
from engine.alerts.rules import Over, Raised, Severity
from engine.alerts.settings import AlertSettings

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SETTINGS = AlertSettings(targets=("phone", "mail"), escalation=("boss",), repeat_seconds=300, quiet_seconds=100)


class Desk:
    """A board with a clock and ids of its own."""

    def __init__(self, settings: AlertSettings = SETTINGS) -> None:
        self.board = Board(settings)
        self.now = 0.0
        self.count = 0

    def put(self, key: str = "k", severity: str = "critical", text: str = "words") -> tuple[Alert, bool]:
        self.count += 1
        utc = NOW + timedelta(seconds=self.now)
        alert, news, self.gone = self.board.raise_(
            Raised(key, Severity(severity), text), f"A{self.count}", self.now, utc
        )
        return alert, news

    def due(self) -> dict[str, Batch]:
        return {batch.target: batch for batch in self.board.due(self.now)}

    def deliver(self) -> dict[str, list[str]]:
        """Have everything that is due delivered; who was told of what."""
        told = self.due()
        for batch in told.values():
            self.board.settle(batch, None, self.now)
        return {target: [alert.id for alert in batch.alerts] for target, batch in told.items()}


def test_a_warning_is_delivered_once_to_each_target_and_stays_open() -> None:
    desk = Desk()
    desk.put(severity="warning")
    assert desk.deliver() == {"phone": ["A1"], "mail": ["A1"]}
    desk.now = 10_000
    assert desk.deliver() == {}
    (alert,) = desk.board.open()
    assert alert.delivered_to == ("phone", "mail")


def test_a_critical_one_is_repeated_and_escalated_until_it_is_acknowledged() -> None:
    desk = Desk()
    desk.put()
    assert set(desk.deliver()) == {"phone", "mail"}
    desk.now = 299
    assert desk.deliver() == {}
    assert desk.board.next_at(desk.now) == 300
    for round_ in (300, 600, 900):
        desk.now = round_
        assert set(desk.deliver()) == {"phone", "mail", "boss"}
        assert desk.deliver() == {}
    assert [alert.id for alert in desk.board.acknowledge({"A1"})] == ["A1"]
    desk.now = 100_000
    assert desk.deliver() == {}
    assert desk.board.next_at(desk.now) is None


def test_it_escalates_although_the_first_target_has_never_answered() -> None:
    desk = Desk()
    desk.put()
    hung = desk.due()
    desk.now = 300
    assert set(desk.due()) == {"boss"}
    assert set(hung) == {"phone", "mail"}


def test_the_same_key_while_open_counts_and_is_told_again_after_the_quiet_time_only() -> None:
    desk = Desk()
    assert desk.put(severity="warning", text="first")[1]
    desk.deliver()
    desk.now = 99
    alert, news = desk.put(severity="warning", text="second")
    assert (news, alert.id, alert.count, alert.text) == (False, "A1", 2, "second")
    assert desk.deliver() == {}
    desk.now = 100
    assert desk.put(severity="warning")[1]
    assert desk.deliver() == {"phone": ["A1"], "mail": ["A1"]}


def test_what_grows_critical_is_told_at_once() -> None:
    desk = Desk()
    desk.put(severity="warning")
    desk.deliver()
    alert, news = desk.put(severity="critical")
    assert news
    assert set(desk.deliver()) == {"phone", "mail"}
    assert desk.board.next_at(0) == 300
    desk.put(severity="warning")
    assert alert.severity is Severity.CRITICAL


def test_a_target_that_fails_is_tried_again_after_growing_pauses_and_holds_up_no_other() -> None:
    desk = Desk()
    desk.put(severity="warning")
    batches = desk.due()
    assert desk.due() == {}, "both are busy"
    desk.board.settle(batches["mail"], None, desk.now)
    pauses = []
    batch = batches["phone"]
    for attempt in range(1, 8):
        assert desk.board.settle(batch, "the service answered 500", desk.now) == attempt
        (alert,) = desk.board.open()
        assert desk.board.failing(alert) == ["phone: the service answered 500"]
        again = desk.board.next_at(desk.now)
        assert again is not None
        pauses.append(again - desk.now)
        desk.now = again - 0.001
        assert desk.due() == {}
        desk.now = again
        batch = desk.due()["phone"]
    assert pauses == [*PAUSES, PAUSES[-1], PAUSES[-1]]
    desk.board.settle(batch, None, desk.now)
    assert desk.board.failing(alert) == []
    assert alert.delivered_to == ("mail", "phone")


def test_what_is_news_while_a_message_is_under_way_is_not_settled_by_its_delivery() -> None:
    desk = Desk()
    desk.put(severity="warning")
    batches = desk.due()
    desk.put(severity="critical")
    for batch in batches.values():
        desk.board.settle(batch, None, desk.now)
    assert set(desk.deliver()) == {"phone", "mail"}


def test_alerts_that_are_due_together_are_one_message_the_worst_first() -> None:
    desk = Desk()
    desk.put("a", "warning")
    desk.put("b", "critical")
    assert desk.deliver() == {"phone": ["A2", "A1"], "mail": ["A2", "A1"]}


def test_open_alerts_are_bounded_and_a_critical_one_gives_way_to_nothing() -> None:
    desk = Desk()
    first, _ = desk.put("old", "warning")
    for number in range(MOST_OPEN - 1):
        desk.put(f"c{number}")
    assert len(desk.board.open()) == MOST_OPEN
    desk.put("late")
    assert desk.gone == [first]
    over, _ = desk.put("later", "critical", "text")
    assert (over.key, desk.gone) == (OVERFLOW, [])
    assert "text" in over.text
    again, _ = desk.put("latest")
    assert (again.id, again.count) == (over.id, 2)
    assert len(desk.board.open()) == MOST_OPEN + 1


def test_a_restart_goes_on_where_it_was() -> None:
    desk = Desk()
    told = Alert("T", "t", Severity.CRITICAL, "x", NOW, delivered_to=("phone", "mail"))
    half = Alert("H", "h", Severity.WARNING, "x", NOW, delivered_to=("mail",))
    desk.board.restore(told, 200, 0)
    desk.board.restore(half, 1e6, 0)
    assert desk.deliver() == {"phone": ["H"]}
    desk.now = 99
    assert desk.deliver() == {}
    desk.now = 100
    assert desk.deliver() == {"phone": ["T"], "mail": ["T"], "boss": ["T"]}


def test_an_end_is_said_in_the_alert_which_stays_open() -> None:
    desk = Desk()
    blocked, _ = desk.put("guard:a")
    failed, _ = desk.put("guard:a:error")
    other, _ = desk.put("guard:ab")
    desk.board.over(Over("guard:a", "it is clear again"), "it is clear again (08:00:00 UTC)")
    assert blocked.text == failed.text == "words; it is clear again (08:00:00 UTC)"
    assert other.text == "words"
    assert len(desk.board.open()) == 3


def test_a_message_is_short_plain_and_says_how_to_acknowledge() -> None:
    desk = Desk()
    desk.put("one", text="a\x1b[2Jb" + "x" * 1000)
    single = compose("phone", desk.board.open(), "1@Paper")
    assert "\x1b" not in single.body
    assert single.body.endswith("Acknowledge: quarterdeck ack A1")
    for number in range(30):
        desk.put(f"k{number}", text="y" * 400)
    many = compose("phone", desk.board.open(), "1@Paper")
    assert "... and 23 more" in many.body
    assert "ack --all" in many.body
    assert len(many.body) < 2500
    assert (many.title, many.severity) == ("Quarterdeck CRITICAL: 1@Paper", "critical")


def test_without_targets_alerts_are_open_and_nothing_is_due() -> None:
    desk = Desk(AlertSettings())
    desk.put()
    desk.now = 1e6
    assert desk.deliver() == {}
    assert len(desk.board.open()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": ["Phone"]},
        {"targets": ["../x"]},
        {"targets": ["a", "a"]},
        {"targets": ["a"], "escalation": ["a"]},
        {"escalation": ["a"]},
        {"targets": ["https://x.example/token"]},
        {"repeat_seconds": 0},
        {"unknown": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AlertSettings.model_validate(wrong)
