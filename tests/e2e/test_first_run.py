"""The main job in a real terminal, from an empty home: a proposal, an approval, a fill, a flatten, a reset."""

import pytest

from tests.e2e.conftest import OpenHouse, OpenScreen
from tests.e2e.house import House
from tests.e2e.screen import Screen

POSITION = r"(\d+) +(?:EURUSD|GBPUSD|USDJPY) +(?:BUY|SELL) +[\d.]+ +[\d.,]+ +[\d.,]+ +([+-]?[\d,]+\.\d\d) "


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_operator_gets_from_nothing_to_a_flat_account_and_back(
    open_house: OpenHouse, open_screen: OpenScreen, width: int, height: int
) -> None:
    house = open_house(QUARTERDECK_LOOP__HEARTBEAT_SECONDS="0.5")
    screen = open_screen(house, width, height)
    screen.shows("PAPER", "RUNNING CONNECTED", "1 Approvals (1)", "PENDING")
    proposed = house.look()["signals"][0]
    screen.shows(f"Approve sends: {proposed['side'].upper()} {proposed['volume']:.2f} {proposed['symbol']}")

    _approve_and_watch(screen, house)
    _look_around(screen)
    _flatten_after_asking(screen, house)

    assert "PAUSED" in house.done("reset", "--reason", "looked into", "--yes")
    screen.shows("PAUSED", "p Resume")
    screen.press("p")
    screen.shows("RUNNING", "p Pause")
    assert [event["metadata"]["to"] for event in house.events("mode_changed")] == [
        "FLATTENING",
        "HALTED",
        "PAUSED",
        "RUNNING",
    ]


def _approve_and_watch(screen: Screen, house: House) -> None:
    _approve(screen)
    screen.press("2")
    ticket, profit = screen.match(POSITION).groups()
    assert [int(ticket)] == [position["ticket"] for position in house.look()["positions"]]
    # Its profit is live: it moves with the market.
    screen.wait(lambda text: profit not in text, f"another profit than {profit}")
    screen.match(POSITION)


def _approve(screen: Screen) -> None:
    """Press the key until it is taken: a row that has only just come is not decided by accident."""
    answers = ("2 Positions (1)", "has just changed")
    for _ in range(5):
        screen.press("a")
        answer = screen.wait(lambda text: next((each for each in answers if each in text), None), "an answer to a")
        if answer == answers[0]:
            return
        screen.lacks(answers[1])
    raise AssertionError("never approved")


def _look_around(screen: Screen) -> None:
    screen.press("3")
    screen.shows("[3 Equity]", "LIMIT 8,000.00")
    screen.press("4")
    screen.shows("[4 Events]", "trade_executed")
    screen.press("/")
    screen.shows("show only rows that hold this text")
    screen.type("trade_exec")
    screen.press("Enter")
    screen.shows("Filter: trade_exec", "trade_executed")
    screen.lacks("signal_received")
    screen.press("Escape")
    screen.shows("signal_received")
    screen.press("?")
    screen.shows("KEYS", "Approve the selected signal, in the version shown.")
    screen.press("Escape")
    screen.lacks("KEYS")
    screen.press("C-p")
    screen.shows("Search for commands", "Flatten (F)" if screen.height > 24 else "Approve (a)")
    screen.press("Escape")
    screen.lacks("Search for commands")


def _flatten_after_asking(screen: Screen, house: House) -> None:
    screen.press("F")
    screen.shows("FLATTEN THE WHOLE ACCOUNT?", "> Cancel: close nothing")
    screen.press("Enter")
    screen.lacks("FLATTEN THE WHOLE ACCOUNT?")
    assert house.look()["flatten"] is None
    screen.shows("RUNNING", "2 Positions (1)")
    screen.press("F")
    screen.shows("FLATTEN THE WHOLE ACCOUNT?")
    screen.press("Down", "Enter")
    screen.shows("HALTED", "flat, confirmed by the broker at", "2 Positions (0)")
    seen = house.look()
    assert seen["engine"]["mode"] == "HALTED"
    assert seen["flatten"]["positions_closed"] == 1
    assert seen["account"]["equity"] == seen["account"]["balance"] != 10_000
