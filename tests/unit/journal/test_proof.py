"""A sample of `python -m tests.unit.journal.proof`, spread over every kind of call that the journal makes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.unit.journal.proof import (
    COUNT,
    CREATION,
    EIO,
    FALLBACK,
    FULL,
    FULL_ON,
    KILL,
    MERGE,
    SCRIPT,
    Campaign,
    Recording,
    check,
    cut_some,
    prepared,
)
from tests.unit.journal.toy import in_fallback
from tests.unit.journal.trace import Point, require_strace, run_broken

pytestmark = pytest.mark.xdist_group("the journal's recorded sessions")
CAMPAIGNS = {SCRIPT: 83, CREATION: 9, FALLBACK: 2, MERGE: 3}
"""Each session, and which part of its power cuts is made here."""

Recordings = Mapping[Campaign, Recording]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    require_strace()
    folder = tmp_path_factory.mktemp("recordings").resolve()
    return {each: each.record(folder) for each in CAMPAIGNS}


def spread(points: Sequence[Point], count: int) -> list[Point]:
    """About `count` points from first to last, and the middle one of each kind of call on each file."""
    chosen = dict.fromkeys(points[:: max(1, len(points) // count)])
    for kind in {(each.name, each.file): None for each in points}:
        alike = [each for each in points if (each.name, each.file) == kind]
        chosen[alike[len(alike) // 2]] = None
    return list(chosen)


def test_the_recorded_sessions_are_worth_breaking(recordings: Recordings) -> None:
    assert len(recordings[SCRIPT].points()) > 500
    said = b"".join(call.data for call in recordings[SCRIPT].calls if call.file.startswith("pipe:")).decode()
    assert said.count("ok ") > 250
    assert said.count("value ") == COUNT // 7
    synced = [(call.name, Path(call.file).name) for call in recordings[SCRIPT].calls]
    assert synced.count(("fdatasync", "journal.sqlite")) >= 3, "no checkpoint was made"


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.name)
def test_kill_9_at_a_write_or_sync_breaks_no_promise(
    campaign: Campaign, recordings: Recordings, tmp_path: Path
) -> None:
    for point in spread(recordings[campaign].points(), 4 if campaign is SCRIPT else 1):
        campaign.run(tmp_path, point, KILL)


def test_an_error_of_the_disk_is_reported_to_the_end_and_breaks_no_promise(
    recordings: Recordings, tmp_path: Path
) -> None:
    for point in spread(recordings[SCRIPT].faults(), 3):
        SCRIPT.run(tmp_path, point, EIO)


@pytest.mark.parametrize("effect", [FULL, FULL_ON])
def test_a_full_disk_is_reported_to_the_end_and_breaks_no_promise(
    effect: str, recordings: Recordings, tmp_path: Path
) -> None:
    writes = [point for point in recordings[SCRIPT].faults() if point.name == "pwrite64"]
    for point in spread(writes, 1):
        SCRIPT.run(tmp_path, point, effect)


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda campaign: campaign.name)
def test_a_power_cut_breaks_no_promise(campaign: Campaign, recordings: Recordings, tmp_path: Path) -> None:
    made, hurt = cut_some(campaign, recordings[campaign], tmp_path, CAMPAIGNS[campaign])
    assert made >= 10
    assert hurt >= made / 3, "these cuts lost next to nothing: they proved nothing"


@pytest.mark.parametrize("when", [1, 15, 60])
def test_when_the_ballast_makes_room_closings_are_in_the_journal_itself(path: Path, when: int) -> None:
    broken = run_broken(prepared(path), Point("pwrite64", "journal.sqlite-wal", when), FULL, "script", 20)
    assert broken.hit
    assert "commit failed: database or disk is full" in broken.said
    assert not path.with_suffix(".ballast").exists()
    assert not path.with_suffix(".fallback").exists()
    check(path, broken.said)


def test_on_a_disk_that_stays_full_closings_are_in_the_fallback_file(path: Path) -> None:
    broken = run_broken(prepared(path), Point("pwrite64", "journal.sqlite-wal", 15), FULL_ON, "script", 20)
    assert broken.hit
    assert in_fallback(path) == 3
    check(path, broken.said)
