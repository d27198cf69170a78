"""`python -m tests.simulation [--campaign guards] --seeds A-B`: run seeds; a failure is printed as its seed."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.campaigns import CAMPAIGNS, one_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", default="0-99", metavar="A-B", help="the range, both ends included")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--campaign", choices=CAMPAIGNS, default="orders")
    parser.add_argument("--mutation", help="take this safeguard out: the seeds must find it")
    options = parser.parse_args()
    known = CAMPAIGNS[options.campaign][1]
    if options.mutation not in (None, *known):
        parser.error(f"--mutation {options.mutation}: the campaign has {', '.join(known)}")
    first, _, last = options.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began = time.monotonic()
    hits: Counter[str] = Counter()
    failed = 0
    seconds = 0.0
    openings = flats = restarts = 0
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, ProcessPoolExecutor(options.jobs) as pool:
        for verdict in pool.map(partial(one_seed, options.campaign, folder, options.mutation), seeds):
            hits.update(verdict.hits)
            seconds += verdict.seconds
            openings += verdict.openings
            flats += verdict.flats
            restarts += verdict.restarts
            if verdict.problems:
                failed += 1
                print(f"seed {verdict.seed}: {'; '.join(verdict.problems)}", flush=True)
            elif len(seeds) == 1:
                print(f"seed {verdict.seed}: trace {verdict.trace}")
    taken = time.monotonic() - began
    print(f"{len(seeds)} seeds, {failed} failed; {seconds / 3600:.2f} simulated hours in {taken:.0f} s "
          f"({seconds / 3600 / taken:.3f} a second)")  # fmt: skip
    print(f"{openings} orders opened, {flats} times flat, {restarts} kills; faults that took effect: "
          f"{', '.join(f'{kind} {count}' for kind, count in sorted(hits.items()))}")  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
