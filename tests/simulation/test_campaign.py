"""Seeds of the campaign, each a whole engine under faults and kills; `python -m tests.simulation` runs any range."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.campaign import drawn_fault, run_seed

ROOT = Path(__file__).parents[2]
SEEDS = 100
SHARES = 4


@pytest.mark.parametrize("share", range(SHARES))
def test_no_order_is_doubled_and_flat_is_flat(tmp_path: Path, share: int) -> None:
    hits: Counter[str] = Counter()
    openings = flats = restarts = 0
    for seed in range(share, SEEDS, SHARES):
        folder = tmp_path / str(seed)
        folder.mkdir()
        verdict = run_seed(seed, folder)
        assert verdict.problems == [], f"python -m tests.simulation --seeds {seed}"
        hits.update(verdict.hits)
        openings += verdict.openings
        flats += verdict.flats
        restarts += verdict.restarts
    assert openings > SEEDS / SHARES
    assert flats >= SEEDS / SHARES
    assert restarts
    assert len([kind for kind, count in hits.items() if count]) >= 8, hits


def test_every_kind_of_fault_is_drawn() -> None:
    kinds = {drawn_fault(random.Random(seed))["kind"] for seed in range(600)}
    assert kinds == {
        "lost", "fail", "retcode", "late", "delay", "hang", "disconnect", "restart", "unsynchronised", "equity",
        "login", "drop_stops", "freeze", "closed", "autotrading", "partial", "spread", "refill", "cash",
    }  # fmt: skip


SCRIPT = """
import json, logging, sys, tempfile
from pathlib import Path
from tests.simulation.campaign import run_seed
logging.disable(logging.CRITICAL)
traces = []
for seed in (3, 15, 32):
    with tempfile.TemporaryDirectory() as folder:
        verdict = run_seed(seed, Path(folder))
        traces.append([verdict.trace, verdict.problems])
print(json.dumps(traces))
"""


def test_seed_replays_exactly_whatever_the_order_of_hashes() -> None:
    said = []
    for number in ("0", "1", "4242"):
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
    assert said[0] == said[1] == said[2]
    assert all(trace and not problems for trace, problems in said[0])
