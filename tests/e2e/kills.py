"""`python -m tests.e2e.kills --kills N --seed S`: kill real processes while orders flow, and judge by the ledger.

Exit code 1 on any problem, with the command that repeats it; the house is then kept to be looked at. Processes are
scheduled by the machine: the same seed draws the same plan, and its instants fall as near as the machine lets them.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.e2e.house import House
from tests.e2e.raid import raid, settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    # A short path, as a socket's must be.
    folder = Path(tempfile.mkdtemp(prefix="qd-kills-"))
    house = House(folder, settings(options.seed, folder))
    try:
        figures = asyncio.run(raid(house, options.seed, options.kills))
    finally:
        house.clear()
    print("\n".join(figures.lines()))
    for problem in figures.problems:
        print(problem)
    if figures.problems:
        print(f"again: python -m tests.e2e.kills --kills {options.kills} --seed {options.seed}; the house: {folder}")
        return 1
    print("doubles 0, orphans 0, flat at the end, the journal verifies")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
