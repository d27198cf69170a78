"""Seeds of the campaign, each a whole engine under faults and kills; `python -m tests.simulation` runs any range."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.campaign import Verdict, run_seed
from tests.simulation.drawn import drawn_fault
from tests.simulation.mutations import MUTATIONS

ROOT = Path(__file__).parents[2]
SEEDS = 300
SHARES = 12
KILLS = {"killed anywhere", "killed before a commit", "killed after a commit", "killed before a send"}
KILLS |= {"killed after a send", "gateway killed before a send", "gateway killed after a send"}
FAULTS = {
    "lost", "fail", "retcode", "late", "delay", "hang", "disconnect", "restart", "unsynchronised", "equity",
    "login", "drop_stops", "freeze", "closed", "autotrading", "partial", "spread", "refill", "cash",
}  # fmt: skip
FOUND_BY = {
    "no_intent_before_the_send": 0,
    "claim_without_conditions": 42,
    "unknown_is_failed": 3,
    "unknown_is_sent_again": 13,
    "one_empty_look_is_flat": 0,
    "old_openings_are_sent": 10,
    "stop_is_not_read_back": 90,
    "unknown_does_not_block": 3,
    "restart_forgets_what_was_in_flight": 0,
    "pause_only_in_the_journal": 131,
    "deals_are_not_looked_at": 359,
    "what_a_kill_left_untold_stays_untold": 700,
}
"""A seed that finds each mutation. A change of the campaign draws others: search with `--mutation NAME --seeds A-B`."""

FAILED_ONCE = {
    683: "a close that waited for an older position of others was not DEFERRED",
    2677: "what was read between the commit of flat and its delivery was held against it",
    4925: "a position that came into the list late was left without its stop",
    14394: "an order that was found in the last commit before a kill was held to be in doubt still",
}
"""Seeds beyond those that every run takes that found something, with what they found."""


def run(seed: int) -> Verdict:
    """One seed, in memory where the machine has such a folder: a sync there costs nothing."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        return run_seed(seed, Path(folder))


@pytest.mark.parametrize("share", range(SHARES))
def test_no_order_is_doubled_and_flat_is_flat(share: int) -> None:
    hits: Counter[str] = Counter()
    openings = flats = 0
    for seed in range(share, SEEDS, SHARES):
        verdict = run(seed)
        assert verdict.problems == [], f"python -m tests.simulation --seeds {seed}"
        hits.update(verdict.hits)
        openings += verdict.openings
        flats += verdict.flats
    seeds = SEEDS // SHARES
    assert openings > 2 * seeds
    assert flats >= seeds
    # A share is 25 seeds, of which each draws two or three faults.
    assert len([kind for kind in FAULTS if hits[kind]]) >= 10, hits
    assert len([kind for kind in KILLS if hits[kind]]) >= 5, hits


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_a_seed_that_failed_once_holds(seed: int) -> None:
    assert run(seed).problems == [], FAILED_ONCE[seed]


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_campaign_finds_a_safeguard_that_is_taken_out(name: str) -> None:
    seed = FOUND_BY[name]
    assert run(seed).problems == []
    with MUTATIONS[name]():
        assert run(seed).problems


def test_every_kind_of_fault_is_drawn() -> None:
    assert {drawn_fault(random.Random(seed))["kind"] for seed in range(600)} == FAULTS


SCRIPT = """
import gc, json, logging, sys, tempfile
from pathlib import Path
from tests.simulation.campaign import run_seed
logging.disable(logging.CRITICAL)
gc.set_threshold(int(sys.argv[1]))
traces = []
for seed in (3, 15, 15, 15, 32):
    with tempfile.TemporaryDirectory() as folder:
        verdict = run_seed(seed, Path(folder))
        traces.append([verdict.trace, verdict.problems])
print(json.dumps(traces))
"""


def test_seed_replays_exactly_whatever_the_order_of_hashes_and_wherever_objects_lie() -> None:
    said = []
    # Where objects lie in memory depends on how often those that are not needed are collected.
    for number, threshold in (("0", "700"), ("1", "50"), ("4242", "13")):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, threshold],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    assert said[0] == said[1] == said[2]
    assert all(trace and not problems for trace, problems in said[0])
