"""Limit and stop orders on screen: what approving sends, what stands, and the key that cancels it."""

from console.describe import signal_detail
from console.state import position_total
from engine.control.messages import Cancel
from tests.console.fake import FakeEngine, connected, console, order, shown, signal, snapshot, toasts, until
from tests.console.test_state import live, words


async def test_c_cancels_the_order_of_a_working_signal_and_nothing_else() -> None:
    engine = FakeEngine(snapshot(signals=[signal("A"), signal("B", state="WORKING", order_type="limit", order=77)]))
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("c")
        await until(pilot, lambda: "A is PENDING: it has no order at the broker" in toasts(app))
        await pilot.press("down")
        await shown(pilot, "Order 77 stands at the broker")
        await until(pilot, lambda: app.context().settled)
        await pilot.press("c")
        await until(pilot, lambda: engine.sent)
        assert engine.sent == [(Cancel(signal="B", version=1), "cancelled by the operator")]


def test_the_detail_says_how_it_is_sent_how_it_was_sized_and_why_it_would_not_be_sent() -> None:
    proposed = signal(
        "A", order_type="stop", risk_percent=0.5, problem="the spread is 40.0 points; at most 20 are allowed"
    )
    said = words(signal_detail(proposed, snapshot(signals=[proposed]), 200, 0.0))
    assert "EURUSD stop 1.08500" in said
    assert "Not to be sent now: the spread is 40.0 points; at most 20 are allowed." in said
    assert "Sized for 0.5 % of the equity" in said


def test_orders_that_stand_are_counted_under_the_positions_with_whose_they_are() -> None:
    line = position_total(live(orders=[order(1), order(2, owner="foreign")]))
    assert "2 orders stand at the broker, 1 FOREIGN" in words([line])
