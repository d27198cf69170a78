from dataclasses import replace
from typing import Any

import pytest

from console import describe
from console.state import (
    Phase,
    Piece,
    Row,
    View,
    approval_rows,
    changes,
    connection,
    data_age,
    flatten_words,
    position_rows,
    position_total,
)
from engine.control.messages import FlattenView
from tests.console.fake import HOSTILE, event, flatten, position, signal, snapshot


def live(**over: Any) -> View:
    return View(snapshot=snapshot(**over), phase=Phase.CONNECTED)


def words(lines: Any) -> str:
    return "\n".join("".join(piece.text for piece in line) for line in lines)


def test_pending_signals_stand_before_those_under_way_and_name_their_version() -> None:
    rows = approval_rows(live(signals=[signal("A", state="EXECUTING"), signal("B", 4), signal("C")]))
    assert [(row.subject, row.version, row.state) for row in rows] == [
        ("B", 4, "PENDING"),
        ("C", 1, "PENDING"),
        ("A", 1, "EXECUTING"),
    ]


def test_a_signal_that_was_approved_is_another_row_than_the_pending_one() -> None:
    before, after = signal("A"), signal("A", 2, "EXECUTING")
    assert approval_rows(live(signals=[before]))[0].key != approval_rows(live(signals=[after]))[0].key


def test_time_left_goes_on_running_while_no_snapshot_comes() -> None:
    view = replace(live(signals=[signal(seconds_left=60.0)]), age=15.0)
    assert approval_rows(view)[0].cells[9].text == "0:45"


def test_one_changed_figure_is_one_changed_cell() -> None:
    before = position_rows(live(positions=[position(1), position(2)]))
    after = position_rows(live(positions=[position(1), position(2, profit=13.0)]))
    assert changes(before, after).cells == ((1, 6),)
    assert not changes(before, after).rows


def test_equal_rows_are_no_change_and_another_order_is() -> None:
    rows = [Row("a", (Piece("1"),)), Row("b", (Piece("2"),))]
    assert changes(rows, list(rows)) == changes([], [])
    assert changes(rows, rows[::-1]).rows


def test_positions_keep_their_order_whatever_the_snapshots() -> None:
    rows = position_rows(live(positions=[position(9), position(3)]))
    assert [row.subject for row in rows] == ["3", "9"]


def test_a_foreign_position_and_a_missing_stop_are_said_in_words() -> None:
    view = live(positions=[position(1), position(2, owner="foreign", sl=0.0, profit=-20.0)])
    assert "FOREIGN" in words([position_rows(view)[1].cells])
    assert words([position_total(view)]) == " 2 positions  -7.50 USD with swap  1 FOREIGN (not ours)  1 without a stop"


def test_the_total_of_old_figures_says_that_they_are_old() -> None:
    view = replace(live(positions=[position(1)]), age=12.0)
    assert "STALE 12 s" in words([position_total(view)])


def test_rows_are_filtered_by_symbol_and_source() -> None:
    view = live(
        signals=[signal("A"), signal("B", symbol="USDJPY")], positions=[position(1), position(2, symbol="XAUUSD")]
    )
    assert [row.subject for row in approval_rows(view, "jpy")] == ["B"]
    assert [row.subject for row in position_rows(view, "xau")] == ["2"]


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (View(), "CONNECTING"),
        (View(phase=Phase.CONNECTED), "CONNECTED, no data yet"),
        (View(snapshot(), age=0.9, phase=Phase.CONNECTED), "CONNECTED"),
        (View(snapshot(), age=1.0, phase=Phase.CONNECTED), "STALE 1 s"),
        (View(snapshot(), age=3.0, phase=Phase.DISCONNECTED, phase_age=7.9), "DISCONNECTED 7 s"),
        (View(snapshot(), phase=Phase.STOPPED), "DISCONNECTED, engine stopped"),
    ],
)
def test_the_connection_is_said_in_words(view: View, said: str) -> None:
    assert connection(view).text == said


def test_the_age_of_data_is_the_readings_age_and_the_snapshots() -> None:
    assert data_age(View()).text == "no data"
    assert data_age(live()).text == "data <1 s"
    assert data_age(replace(live(), age=4.0)).text == "data 4 s old, STALE"
    assert data_age(live(reading={"validity": "NONE"})).text == "no reading yet"
    assert data_age(live(reading={"validity": "STALE", "age_seconds": 6.0})).text == "reading STALE 6 s"


@pytest.mark.parametrize("environment", ["paper", "demo", "live"])
@pytest.mark.parametrize("width", [80, 200])
def test_the_header_says_what_kind_of_money_it_is_and_fits(environment: str, width: int) -> None:
    view = live(engine={"environment": environment}, markets=[])
    first, second = describe.header(view, width)
    assert f" {environment.upper()} " in words([first])
    for fragment in ("5001@Paper", "RUNNING", "CONNECTED", "data <1 s"):
        assert fragment in words([first])
    for fragment in ("Equity 10,023.45 USD", "Drawdown 0.76 % of 20 %", "Headroom 1,943.45"):
        assert fragment in words([second])
    assert len(words([first])) <= width
    assert len(words([second])) <= width


def test_a_wide_header_holds_the_market_and_the_margin() -> None:
    market = {"symbol": "EURUSD", "digits": 5, "bid": 1.1, "ask": 1.2, "time": "2026-01-05T08:00:00Z", "age_seconds": 1}
    gateway = {"connected": False, "restarts": 2, "orders": "x", "reads": "y"}
    said = words(describe.header(live(markets=[{**market, "finished": True}], gateway=gateway), 200))
    for fragment in (
        "EURUSD 1.10000 / 1.20000 market data ended",
        "BROKER NOT CONNECTED",
        "gateway restarts 2",
        "Peak 10,100",
    ):
        assert fragment in said


def test_without_an_account_the_header_says_so() -> None:
    said = words(describe.header(View(snapshot().model_copy(update={"account": None}), phase=Phase.CONNECTED), 200))
    assert "no account yet" in said
    assert "has not been read yet" in said
    assert "finding" in words(describe.header(View(detail="finding"), 80))
    unmeasured = snapshot().model_copy(update={"drawdown": None})
    assert "not measured yet" in words(describe.header(View(unmeasured, phase=Phase.CONNECTED), 200))


def test_a_halt_names_its_reason_and_the_way_out() -> None:
    view = live(engine={"mode": "HALTED", "halt_reason": "drawdown 20.3 %"}, flatten=flatten("F", "FLAT", "flat at 8"))
    said = words(describe.banner(view, 200))
    assert "HALTED (R lifts it, or quarterdeck reset): drawdown 20.3 %" in said
    assert "Flatten: flat at 8" in said


def test_an_old_flatten_is_not_shown_once_the_account_runs_again() -> None:
    assert describe.banner(live(flatten=flatten("F", "FLAT", "flat")), 80) == ()


def test_notices_come_worst_first_and_what_does_not_fit_is_counted() -> None:
    said = words(describe.banner(live(engine={"notices": [f"notice {n}" for n in range(9)]}), 80))
    assert said.splitlines()[0].strip() == "notice 0"
    assert "and 6 more lines" in said


def test_a_lost_link_and_a_fault_are_in_the_banner() -> None:
    view = View(snapshot(), phase=Phase.DISCONNECTED, phase_age=3, detail="gone; trying again", fault="link: Boom")
    said = words(describe.banner(view, 200))
    assert "CONSOLE FAULT: link: Boom" in said
    assert "DISCONNECTED 3 s: gone; trying again. What is shown is old." in said


def test_the_reason_why_there_is_no_engine_is_not_cut_short() -> None:
    view = View(phase=Phase.DISCONNECTED, detail="it printed: " + "word " * 60 + "RIGHT")
    assert "RIGHT" in words(describe.banner(view, 80))
    assert "RIGHT" not in words(describe.banner(replace(view, snapshot=snapshot()), 80))


def test_a_narrow_screen_says_when_the_broker_is_gone() -> None:
    gateway = {"connected": False, "restarts": 0, "orders": "x", "reads": "y"}
    assert "broker is not connected" in words(describe.banner(live(gateway=gateway), 80))


def test_the_detail_says_what_approving_would_do() -> None:
    chosen = signal(note="breakout", reason="late")
    view = live(positions=[position(1), position(2, type=1, volume=0.3)])
    assert view.snapshot is not None
    said = words(describe.signal_detail(chosen, view.snapshot, 200, 10.0))
    for fragment in (
        "Approve sends: BUY 0.10 EURUSD at market, stop 1.08300, target 1.08900",
        "Stop costs 20.00 USD, 0.20 % of equity, target gains 40.00.",
        "At the stop, drawdown 0.96 % of 20 %.",
        "Already open in EURUSD: 2, net -0.20 lots.",
        "4:50 left, K3V9X2QD version 1.",
        "Note: breakout",
        "Reason: late",
    ):
        assert fragment in said


def test_a_risk_that_is_not_known_is_said_to_be_unknown() -> None:
    said = words(describe.signal_detail(signal(money_at_risk=None), snapshot(), 80, 0.0))
    assert "Money at risk is not known." in said


def test_a_flatten_in_progress_says_what_is_left() -> None:
    view = FlattenView.model_validate(
        flatten("F", "DEFERRED", "market closed", positions_closed=2, remaining=[f"position {n}" for n in range(7)])
    )
    said = flatten_words(view)
    assert said.startswith("Flatten DEFERRED: 2 closed, 0 cancelled; left: position 0;")
    assert "and 2 more" in said
    assert said.endswith("market closed")


def test_an_event_is_one_line_with_what_matters_first() -> None:
    said = describe.event_summary(
        event(1, "trade_executed", fill_ms=21.5, price=1.1, signal="S", deals=[1, 2], origin="x", extra={"a": None})
    )
    assert said == "S  1.1  fill ms 21.5  deals 1, 2  extra a none"
    command = event(2, "command", digest="d", result={"message": "approved S", "accepted": True})
    command.metadata["kind"] = "approve"
    assert describe.event_summary(command) == "approve  approved S"
    changed = event(3, "mode_changed", to="HALTED", **{"from": "FLATTENING"}, reason="limit", epoch=2)
    assert describe.event_summary(changed) == "from FLATTENING  to HALTED  limit"
    beat = event(4, "heartbeat", loop_duration_ms=2.0, account_equity=10_000.0, positions_open=0)
    assert describe.event_summary(beat) == "account equity 10000  positions open 0"
    assert describe.event_tone("guard_tripped") == "alarm"
    assert describe.event_tone("trade_failed") == "warn"
    assert describe.event_tone("trade_executed") == "good"


def test_a_long_server_name_is_cut_before_the_link_and_the_age() -> None:
    view = replace(live(account={"server": "A-Broker-With-A-Very-Long-Name-Indeed"}), phase=Phase.DISCONNECTED, age=75)
    first = words([describe.header(view, 80)[0]])
    assert first.endswith("data 1 m 15 s old, STALE")
    assert "DISCONNECTED 0 s" in first
    assert len(first) == 80


def test_an_events_detail_holds_everything() -> None:
    said = words(describe.event_detail(event(7, "command", origin="cli", operator="me"), 80))
    assert "7  command" in said
    assert "origin=cli  operator=me" in said


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_cleaned_in_every_line(text: str) -> None:
    view = View(
        snapshot(
            engine={"halt_reason": text, "mode": "HALTED", "notices": [text]},
            account={"server": text, "currency": text},
            positions=[position(1, comment=text, note=text)],
            signals=[signal(source=text, note=text, reason=text)],
            flatten=flatten("F", "RUNNING", text, remaining=[text]),
        ),
        phase=Phase.CONNECTED,
    )
    assert view.snapshot is not None
    lines = [
        *describe.header(view, 200),
        *describe.banner(view, 80),
        *describe.signal_detail(view.snapshot.signals[0], view.snapshot, 60, 0.0),
        *(row.cells for row in approval_rows(view)),
        *(row.cells for row in position_rows(view)),
        *describe.event_detail(event(1, text, **{text.replace("\ud800", ""): text}), 60),
    ]
    for forbidden in ("\x1b", "\x9b", "\u202e", "\u200b", "\x00", "\ud800"):
        assert forbidden not in words(lines)
