"""Seeds of the guards' campaign; `python -m tests.simulation --campaign guards` runs any range."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.campaign import Verdict
from tests.simulation.guard_campaign import run_seed
from tests.simulation.guard_drawn import drawn_fault
from tests.simulation.guard_mutations import MUTATIONS

ROOT = Path(__file__).parents[2]
SEEDS = 60
FAULTS = {"equity", "login", "disconnect", "freeze", "unsynchronised", "restart", "fail", "late", "hang"}
HIT = FAULTS | {
    "another account", "deals unread", "deal hidden", "deal late", "guard raised", "exactly at the floor",
    "killed anywhere", "killed before a commit", "killed after a commit",
    "balance in", "balance out", "credit in", "credit out", "charge out", "correction in", "correction out", "bonus in",
    "shift flow", "shift provisional", "shift undone", "settled as cash flow", "bases set", "reset keep",
    "reset present", "trip of drawdown", "trip of daily loss", "trip of equity floor", "trip of max loss",
}  # fmt: skip
"""What the seeds that are run here must have met at least once."""
FOUND_BY = {
    "strict_comparison": 6,
    "latch_is_forgotten": 0,
    "peak_moves_on_a_stale_reading": 6,
    "bad_reading_trips": 1,
    "cash_flow_counts_as_loss": 0,
    "flow_counted_twice_after_a_restart": 0,
    "guard_failure_is_swallowed": 19,
}
"""A seed that finds each mutation. A change of the campaign draws others: search with `--mutation NAME --seeds A-B`."""


def run(seed: int) -> Verdict:
    """One seed, in memory where the machine has such a folder: a sync there costs nothing."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        return run_seed(seed, Path(folder))


@pytest.mark.timeout(600)
def test_invariants_4_5_7_8_no_guard_is_fooled_forgets_or_misses_a_breach() -> None:
    """One test, since what the seeds met together is asked at the end: every fault, flow and decision took effect."""
    hits: Counter[str] = Counter()
    restarts = 0
    for seed in range(SEEDS):
        verdict = run(seed)
        assert verdict.problems == [], f"python -m tests.simulation --campaign guards --seeds {seed}"
        hits.update(verdict.hits)
        restarts += verdict.restarts
    assert restarts >= SEEDS
    assert {kind for kind in HIT if not hits[kind]} == set()


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_campaign_finds_a_guards_safeguard_that_is_taken_out(name: str) -> None:
    seed = FOUND_BY[name]
    assert run(seed).problems == []
    with MUTATIONS[name]():
        assert run(seed).problems


def test_every_kind_of_fault_of_a_reading_is_drawn() -> None:
    assert {drawn_fault(random.Random(seed))["kind"] for seed in range(300)} == FAULTS


SCRIPT = """
import json, logging, tempfile
from pathlib import Path
from tests.simulation.guard_campaign import run_seed
logging.disable(logging.CRITICAL)
traces = []
for seed in (3, 18):
    with tempfile.TemporaryDirectory() as folder:
        verdict = run_seed(seed, Path(folder))
        traces.append([verdict.trace, verdict.problems])
print(json.dumps(traces))
"""


def test_a_seed_of_the_guards_replays_exactly_whatever_the_order_of_hashes() -> None:
    said = []
    for number in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    assert said[0] == said[1]
    assert all(trace and not problems for trace, problems in said[0])
