"""The campaigns by name, and one seed of one, for a process of its own: where it is not forked it imports this."""

import logging
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tests.simulation import campaign, guard_campaign, guard_mutations, mutations
from tests.simulation.campaign import Verdict

CAMPAIGNS = {
    "orders": (campaign.run_seed, mutations.MUTATIONS),
    "guards": (guard_campaign.run_seed, guard_mutations.MUTATIONS),
}


def one_seed(name: str, folder: str, mutation: str | None, seed: int) -> Verdict:
    """Run a seed of a campaign, with a safeguard taken out if one is named; `folder` is where its files may be."""
    # What an engine logs while everything goes wrong is not what is looked for here.
    logging.disable(logging.CRITICAL)
    run_seed, safeguards = CAMPAIGNS[name]
    with tempfile.TemporaryDirectory(dir=folder) as own, safeguards[mutation]() if mutation else nullcontext():
        return run_seed(seed, Path(own))
