"""`python -m engine`: one account's engine in the foreground, without any screen."""

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import Any

from engine.config import SettingsError, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the engine of a profile. Exit code: 0 stopped, 1 failed, 2 usage or settings, 75 one runs already."""
    if sys.platform != "win32":
        # The order to flatten waits until there is somebody to take it: until then it would end the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    parser = argparse.ArgumentParser(prog="quarterdeck engine", description="Run an engine without any screen.")
    parser.add_argument("--profile", default="paper", help="the profile to run (default: paper)")
    parser.add_argument(
        "--replay", metavar="FILE", action="append", help="replay a file of ticks or bars; again for another symbol"
    )
    parser.add_argument("--broker", metavar="FILE", help="the conditions of the paper broker's symbols (TOML)")
    parser.add_argument("--faults", metavar="FILE", help="what is to go wrong at the paper terminal (TOML)")
    parser.add_argument("--symbol", metavar="S", help="the symbol that the file holds")
    parser.add_argument("--speed", metavar="X|max", help="how fast the market runs; max: one tick per guard cycle")
    parser.add_argument("--seed", type=int, metavar="N", help="the seed of the synthetic market")
    parser.add_argument("--terminal", metavar="MODULE", help="a module with the MetaTrader5 interface")
    given = parser.parse_args(arguments)
    paper = {name: getattr(given, name) for name in ("replay", "broker", "faults", "symbol", "speed", "seed")}
    overrides: dict[str, dict[str, Any]] = {
        "paper": {name: value for name, value in paper.items() if value is not None}
    }
    if given.terminal is not None:
        overrides["terminal"] = {"module": given.terminal}
    try:
        settings = load(given.profile, overrides)
    except SettingsError as error:
        print(f"quarterdeck: {error}", file=sys.stderr)  # noqa: T201
        return 2
    from engine.app import run

    return run(given.profile, settings)


if __name__ == "__main__":
    raise SystemExit(main())
