"""An ssh line that nobody reads, with every buffer on the way full, while a drawdown trips.

`python -m tests.e2e.stalls --seconds 60` holds it up for a minute; here it is as long as the flatten takes.
"""

from tests.e2e import stalls
from tests.e2e.conftest import OpenHouse, OpenScreen, OpenSshd
from tests.e2e.house import quarterdeck


def test_account_is_flat_before_the_stalled_line_is_read_again(
    open_house: OpenHouse, open_sshd: OpenSshd, open_screen: OpenScreen
) -> None:
    house = open_house(**stalls.SETTINGS)
    engine = stalls.engine_on_a_falling_market(house)
    server = open_sshd(house)
    screen = open_screen(house, 160, 45, *server.client("exec", *quarterdeck(), options=("-tt",)))
    found = stalls.stall(house, screen, 2.0)

    assert found.full
    assert found.ballast > 0
    # It goes on reading what the engine says, and does not spin on a terminal that takes nothing.
    assert found.console_busy < found.seconds / 2
    seen = found.seen
    assert (seen["engine"]["mode"], seen["positions"]) == ("HALTED", [])
    assert "drawdown" in seen["engine"]["halt_reason"]
    assert seen["flatten"]["statement"].startswith("flat, confirmed by the broker at ")
    assert seen["engine"]["pid"] == engine.pid
    assert seen["engine"]["heartbeat_age_seconds"] < 2
    assert seen["reading"]["age_seconds"] < 1
    (tripped,) = house.events("guard_tripped")
    # Caught at the first readings that show it: a tick is 0.04 %.
    assert stalls.LIMIT_PERCENT <= tripped["metadata"]["percent"] < stalls.LIMIT_PERCENT + 0.5
    # Read again, the very same console goes on, and shows what has happened.
    screen.shows("HALTED CONNECTED", "2 Positions (0)")
