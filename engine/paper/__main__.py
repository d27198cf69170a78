"""`python -m engine.paper`: run a paper terminal as a process of its own.

Exit codes: 0 ended as asked, 1 another terminal has the lock, or state or market failed under way, 2 a bad argument,
file or market. What is wrong stands on stderr.
"""

import argparse
import asyncio
import math
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from engine.paper.brokerfile import BrokerRules, load_broker
from engine.paper.conditions import EXCHANGE, HEDGING, MONEY, NETTING, PERCENT, Conditions
from engine.paper.faultplan import PlanError, load_plan
from engine.paper.market import MarketError
from engine.paper.server import PaperServer
from engine.paper.store import StateError
from engine.paper.terminal import PaperTerminal, TerminalConfig

MAX_SPEED = 100_000.0
MARGIN_MODES = {"hedging": HEDGING, "netting": NETTING, "exchange": EXCHANGE}
STOP_OUT_MODES = {"percent": PERCENT, "money": MONEY}


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    speed = float(text)
    if not 0 < speed <= MAX_SPEED:
        raise ValueError
    return speed


_speed.__name__ = f"speed (a number above 0 and up to {MAX_SPEED:.0f}, or max)"


def _positive(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise ValueError
    return number


def _not_negative(text: str) -> float:
    return 0.0 if float(text) == 0 else _positive(text)


def _currency(text: str) -> str:
    if len(text) != 3 or not text.isascii() or not text.isupper():
        raise ValueError
    return text


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.paper", description="A simulated MT5 terminal.")
    add = parser.add_argument
    add("--address", type=Path, required=True, help="file to write port and token to, for this user only")
    add("--state", type=Path, help="folder of the account's state file; without it nothing is kept")
    add("--symbol", help="main symbol; needed for a file without a pair in its name")
    add("--seed", type=int, default=1, help="seed of the synthetic market")
    add("--replay", type=Path, action="append", default=[], help="file of ticks or bars instead; again for another")
    add("--broker", type=Path, help="TOML file of the conditions of symbols and server")
    add("--faults", type=Path, help="TOML file of what is to go wrong")
    add("--speed", type=_speed, default=1.0, help="market seconds per second, or max: one tick per step")
    add("--balance", type=_positive, default=10_000.0, help="deposit of a new account")
    add("--currency", type=_currency, default="USD", help="account currency")
    add("--leverage", type=int, choices=range(1, 5001), default=100, metavar="1..5000")
    add("--margin-mode", choices=MARGIN_MODES, default="hedging")
    add("--fifo-close", action="store_true", help="the oldest position of a symbol is closed first")
    add("--limit-orders", type=int, choices=range(10_001), default=0, metavar="0..10000", help="0: any number")
    add("--commission-per-lot", type=_not_negative, default=0.0, help="per lot and side, in account currency")
    add("--stop-out-mode", choices=STOP_OUT_MODES, default="percent")
    add("--stop-out", type=_not_negative, default=50.0, help="margin level in percent, or equity in money")
    add("--margin-call", type=_not_negative, default=100.0)
    add("--idle-seconds", type=_positive, default=600.0, help="end after so long without a client")
    return parser


def _handle_signals(server: PaperServer) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, server.stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(server.stop))


def _die() -> None:
    """End as by kill -9: nothing is saved, nothing is closed."""
    os._exit(137)


async def _serve(terminal: PaperTerminal, address: Path, idle_seconds: float) -> None:
    server = PaperServer(terminal, address, idle_seconds)
    _handle_signals(server)
    await server.run()


def _config(options: argparse.Namespace) -> TerminalConfig:
    """What the terminal is started with. Raises MarketError or PlanError for a file that cannot be used."""
    rules = load_broker(options.broker) if options.broker else BrokerRules()
    conditions = Conditions(
        currency=options.currency,
        leverage=options.leverage,
        margin_mode=MARGIN_MODES[options.margin_mode],
        fifo_close=options.fifo_close,
        commission_per_lot=options.commission_per_lot,
        stop_out_mode=STOP_OUT_MODES[options.stop_out_mode],
        margin_call=options.margin_call,
        stop_out=options.stop_out,
        limit_orders=options.limit_orders,
        execution_delay_ms=rules.server.execution_delay_ms,
        comments=rules.server.comments,
    )
    return TerminalConfig(
        symbol=options.symbol,
        seed=options.seed,
        replay=tuple(options.replay),
        instruments=rules.instrument,
        clock=rules.clock,
        speed=options.speed,
        balance=options.balance,
        conditions=conditions,
        faults=load_plan(options.faults) if options.faults else (),
    )


def main(argv: list[str] | None = None) -> int:
    """Run until ended. Returns the exit code."""
    options = _arguments().parse_args(argv)
    with ExitStack() as held:
        try:
            for folder, name in (
                (options.address.parent, f"{options.address.name}.lock"),
                (options.state, "paper.lock"),
            ):
                if folder is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    held.enter_context(FileLock(folder / name, timeout=0))
            terminal = PaperTerminal.open(_config(options), options.state)
            terminal.die = _die
        except Timeout as taken:
            print(f"another paper terminal is running here: {taken.lock_file} is locked", file=sys.stderr)  # noqa: T201
            return 1
        except (MarketError, PlanError) as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 2
        except (StateError, OSError) as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        try:
            try:
                asyncio.run(_serve(terminal, options.address, options.idle_seconds))
            finally:
                terminal.shutdown()
        except (StateError, MarketError) as error:
            print(f"the paper terminal cannot go on: {error}", file=sys.stderr)  # noqa: T201
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
