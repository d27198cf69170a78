"""The real programs are killed again and again while orders flow: nothing is doubled, nothing is lost."""

from pathlib import Path

from tests.e2e.conftest import OpenHouse
from tests.e2e.raid import raid, settings

SEED = 4
KILLS = 18
"""`python -m tests.e2e.kills` makes as many as wanted."""


async def test_orders_in_flight_through_kills_are_opened_once_and_known_and_end_flat(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    figures = await raid(open_house(**settings(SEED, tmp_path)), SEED, KILLS)
    assert figures.problems == [], figures.lines()
    assert len(figures.kills) == KILLS
    assert len({kill.victim for kill in figures.kills}) == 3
    assert figures.in_flight.total() > 0
    assert figures.opened > 0
