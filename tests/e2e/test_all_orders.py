"""Console, engine and gateways killed in every order, and all at once: the next console finds everything as it was.

One house lives through all seven, so that each begins with what the ones before have left behind.
"""

import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from engine.paper.books import ENTRY_OUT
from tests.e2e.conftest import OpenHouse, OpenScreen
from tests.e2e.house import House, gone, until
from tests.e2e.referee import UNSETTLED, Kill, Referee, in_flight, read_journal
from tests.e2e.screen import Screen

# Eight starts of an engine and a console in each: on a machine that has other work, that takes a while.
pytestmark = pytest.mark.timeout(300)
VICTIMS = ("console", "engine", "gateway")
ORDERS: Sequence[tuple[str, ...]] = (*permutations(VICTIMS), ())
"""The empty one: all at once."""
SETTINGS = {
    "QUARTERDECK_PAPER__DEMO_STRATEGY": "false",
    "QUARTERDECK_LOOP__RECONCILE_SECONDS": "1",
    "QUARTERDECK_FLATTEN__HOLD_SECONDS": "1",
}
_POSITIONS = 4
_CLOSE_SECONDS = 1.5
"""So long that on a busy machine, too, all the kills of an order come into a flatten of them."""
_ANSWER_SECONDS = 3.0
"""Longer than all the kills of an order take."""


def kill_in(house: House, order: Sequence[str]) -> Kill:
    """Kill console, engine and both gateways, each seen to have ended before the next; returns the first kill."""
    first = Kill(order[0] if order else "console", *_all(house, order[:1] or VICTIMS))
    for role in order[1:]:
        pids = house.pids(role)
        # Without their engine the gateways end by themselves; and a console may have started another meanwhile.
        assert pids or role == "gateway", role
        _end(pids)
    return first


def _all(house: House, roles: Sequence[str]) -> tuple[int, datetime]:
    pids = [pid for role in roles for pid in house.pids(role)]
    assert len(pids) == sum(2 if role == "gateway" else 1 for role in roles), house.processes()
    moment = datetime.now(UTC)
    _end(pids)
    return pids[0], moment


def _end(pids: Sequence[int]) -> None:
    for pid in pids:
        if not gone(pid):
            os.kill(pid, signal.SIGKILL)
    until(lambda: all(gone(pid) for pid in pids), f"the end of {pids}", 5)


class Judge:
    """A referee who follows one house."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.referee = Referee()

    def look(self) -> Referee:
        """Read the ledger, and the journal after it."""
        referee = self.referee
        referee.see(self._house.ledger(referee.records))
        referee.hear(read_journal(self._house.state / "journal.db", referee.rows[-1].seq if referee.rows else 0))
        return referee

    def settled(self) -> None:
        """Hold what is at the broker against what the engine knows once nothing is in doubt any more."""
        until(lambda: not [life for life in self.look().lives.values() if life.state in UNSETTLED], "no doubt")
        until(lambda: not self.look().orphans(), f"no orphans: {self.referee.orphans()}")
        assert self.referee.doubles() == []


def accepted(house: House, sent: str) -> bool:
    return bool(house.request("approve", signal=sent, version=1)["accepted"])


def claimed(judge: Judge, sent: str) -> bool:
    return bool(judge.look().lives[sent].claims)


def holds(positions: int, seen: Any) -> bool:
    return len(seen["positions"]) == positions


def half_closed(judge: Judge) -> bool:
    return 0 < len(judge.look().books.positions) < _POSITIONS


def next_console(house: House, before: Screen, open_screen: OpenScreen, mode: str) -> Screen:
    """Open a console after the last one's end, and wait until it has an engine; there is no second one."""
    before.close()
    screen = open_screen(house, 120, 40)
    screen.shows(f"{mode} CONNECTED")
    until(lambda: len(house.pids("engine")) == 1, "one engine")
    return screen


def test_order_in_flight_and_positions_are_found_again_whatever_is_killed_in_whichever_order(
    open_house: OpenHouse, open_screen: OpenScreen
) -> None:
    house = open_house(**SETTINGS)
    screen = open_screen(house, 120, 40)
    screen.shows("RUNNING CONNECTED")
    held = house.open_positions(1, volume=0.01)
    judge = Judge(house)
    for order in ORDERS:
        fault = house.fault(kind="late", call="order_send", seconds=_ANSWER_SECONDS)
        sent = house.propose(volume=0.01)
        # An engine that has just started takes no entry before it knows what happened while there was none.
        until(partial(accepted, house, sent), f"{sent} approved")
        until(partial(claimed, judge, sent), f"{sent} sent")
        first = kill_in(house, order)
        house.end_fault(fault)

        screen = next_console(house, screen, open_screen, "RUNNING")
        tickets = {position["ticket"] for position in held}
        more = len(tickets) + 1
        seen = house.see(partial(holds, more), f"{sent} found, after {order}")
        assert tickets < {position["ticket"] for position in seen["positions"]}, order
        held = seen["positions"]
        judge.settled()
        # It was on its way when the first of them was killed.
        assert in_flight(judge.referee.lives, first) == [sent], order
    assert len(judge.referee.opened()) == len(held) == len(ORDERS) + 1
    assert len(house.events("position_opened")) == len(held)
    assert "events: ok" in house.done("journal", "verify")


def test_flatten_under_way_is_ended_whatever_is_killed_in_whichever_order(
    open_house: OpenHouse, open_screen: OpenScreen
) -> None:
    house = open_house(**SETTINGS)
    screen = open_screen(house, 120, 40)
    screen.shows("RUNNING CONNECTED")
    judge = Judge(house)
    for number, order in enumerate(ORDERS, 1):
        house.open_positions(_POSITIONS, volume=0.01)
        fault = house.fault(kind="delay", call="order_send", seconds=_CLOSE_SECONDS, count=_POSITIONS)
        house.command("flatten", reason=f"before the kills of {order}")
        # The broker's books say it: closes go before readings, and a snapshot may show no flatten half done.
        until(partial(half_closed, judge), "a flatten under way")
        kill_in(house, order)
        # All three have been killed, and it was not over.
        referee = judge.look()
        assert referee.mode[0] == "FLATTENING", order
        assert referee.books.positions, order
        house.end_fault(fault)

        screen = next_console(house, screen, open_screen, "HALTED")
        seen = house.look()
        assert seen["flatten"]["statement"].startswith("flat, confirmed by the broker at "), order
        assert seen["positions"] == []
        judge.settled()
        assert not judge.referee.books.positions
        assert not judge.referee.books.orders
        assert len(house.events("flatten_finished")) == number
        house.flat_and_running()
    # By the broker's books each was closed once, whoever asked for it and however often.
    closings = [deal for deal in judge.referee.books.history.deals if deal.entry == ENTRY_OUT]
    assert len(closings) == len({deal.position_id for deal in closings}) == len(ORDERS) * _POSITIONS
    assert "events: ok" in house.done("journal", "verify")
