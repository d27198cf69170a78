"""What the campaign takes for a proof that "flat" is true: it neither blames who is right nor excuses others."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.events import Event, EventType
from tests.simulation.campaign import LISTS, Campaign, truth
from tests.simulation.virtual import run_virtual

FLAT = Event(1, EventType.FLATTEN_FINISHED, datetime(2026, 1, 5, tzinfo=UTC), "test", {}, "", "")
READS: list[tuple[list[tuple[float, list[int] | None]], bool]] = [
    ([(0.0, []), (1.0, [])], True),
    ([(0.0, [7]), (0.0, []), (1.0, [])], True),
    ([(0.0, []), (0.5, None), (0.5, [])], True),
    ([(0.0, []), (0.9, [])], False),
    ([(0.0, []), (0.1, []), (5.0, None)], False),
    ([(0.0, []), (0.5, [7]), (0.5, [])], False),
    ([(0.0, []), (1.0, []), (0.0, [7])], False),
    ([(0.0, [7])], False),
    ([], False),
]
"""Reads of both lists, each with the seconds since the one before; whether flat may be said then."""


@pytest.mark.parametrize(("reads", "proven"), READS)
def test_flat_is_said_on_two_empty_reads_a_second_apart(
    tmp_path: Path, reads: list[tuple[float, list[int] | None]], proven: bool
) -> None:
    campaign = Campaign(1, tmp_path)

    async def run() -> None:
        for seconds, rows in reads:
            await asyncio.sleep(seconds)
            for name in LISTS:
                campaign.looked(name, lambda shown=rows: shown)
        campaign.committed(FLAT)

    run_virtual(run())
    assert (campaign.verdict.problems == []) is proven
    campaign.terminal.shutdown()


@pytest.mark.parametrize(("seconds", "excused"), [(1.0, True), (6.0, False)])
def test_what_somebody_else_opens_excuses_only_a_flat_that_is_said_right_behind(
    tmp_path: Path, seconds: float, excused: bool
) -> None:
    campaign = Campaign(7, tmp_path)
    assert not campaign.terminal.faults, "a plan without faults has no clock of its own"

    async def run() -> None:
        campaign._touch()
        for after in (0.0, seconds):
            await asyncio.sleep(after)
            campaign.terminal.advance_to(asyncio.get_running_loop().time())
            for name in LISTS:
                campaign.looked(name, list)
        assert truth(campaign.terminal).positions
        campaign.committed(FLAT)

    run_virtual(run())
    assert (campaign.verdict.problems == []) is excused
    campaign.terminal.shutdown()
