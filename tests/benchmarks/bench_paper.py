"""The paper account beside a bare loop: `python -m tests.benchmarks.bench_paper [--ticks 50000] [--rounds 5]`.

The bare loop has the same arithmetic on the same ticks and nothing else: the profit of every position rounded to
cents, their sum, equity, margin level, each stop compared, the level compared. Ratios of one run; median of rounds.
`--stream 5000000` replays a file of so many ticks and one of 100,000 instead, and compares their peaks of memory.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from engine.paper.account import PaperAccount
from engine.paper.client import PaperClient
from engine.paper.conditions import Conditions
from engine.paper.market import Quote, instrument
from engine.paper.requests import ACTION_DEAL, SELL, TradeRequest
from engine.paper.synthetic import SyntheticMarket
from engine.paper.terminal import PaperTerminal, TerminalConfig

BALANCE = 1e6
VOLUME = 0.1
HELD = (0, 1, 10, 50)
ORDERS = 2000
SEEDS = 20
SEED_SECONDS = 60.0


def quotes_of(number: int) -> list[Quote]:
    """Ticks of one symbol, from the synthetic market."""
    market = SyntheticMarket(3)
    taken: list[Quote] = []
    while len(taken) < number:
        quote = market.take()
        if quote.symbol == "EURUSD":
            taken.append(quote)
    return taken


def opened(quote: Quote, held: int) -> PaperAccount:
    """An account with positions that no tick closes, half of them with a stop."""
    account = PaperAccount(Conditions(), {"EURUSD": instrument("EURUSD")})
    account.on_quote(quote)
    account.deposit(BALANCE)
    for number in range(held):
        buy = number % 2 == 0
        stop = 0.5 if buy else 2.0
        done = account.send(
            TradeRequest(
                action=ACTION_DEAL,
                symbol="EURUSD",
                volume=VOLUME,
                type=0 if buy else SELL,
                sl=stop if number % 4 < 2 else 0.0,
            )
        )
        assert done.deal, done
    return account


def through_account(quotes: Sequence[Quote], held: int) -> float:
    account = opened(quotes[0], held)
    began = time.perf_counter()
    for quote in quotes:
        account.on_quote(quote)
    return time.perf_counter() - began


def through_loop(quotes: Sequence[Quote], held: int) -> float:
    positions = [(1 if place % 2 == 0 else -1, 1.17, 0.5 if place % 2 == 0 else 2.0) for place in range(held)]
    margin, latest, closed = 1170.0, {}, 0
    began = time.perf_counter()
    for quote in quotes:
        latest[quote.symbol] = quote
        if not positions:
            continue
        total = 0.0
        bid, ask = quote.bid, quote.ask
        for sign, price_open, stop in positions:
            price = bid if sign > 0 else ask
            total += round((price - price_open) * sign * VOLUME * 100_000, 2)
            if (price <= stop) if sign > 0 else (price >= stop):
                closed += 1
        equity = round(BALANCE + round(total, 2), 2)
        if equity / margin * 100 <= 50.0:
            closed += 1
    taken = time.perf_counter() - began
    assert not closed
    return taken


def orders_through_account(number: int) -> float:
    quote = Quote("EURUSD", 1_767_600_000_000, 1.1, 1.1001)
    account = opened(quote, 0)
    began = time.perf_counter()
    for place in range(number):
        account.send(
            TradeRequest(action=ACTION_DEAL, symbol="EURUSD", volume=VOLUME, type=place % 2, position=_held(account))
        )
    return time.perf_counter() - began


def _held(account: PaperAccount) -> int:
    return next(iter(account.books.positions), 0)


def orders_through_dicts(number: int) -> float:
    """What is written down for an order, as dictionaries: order, deal, position, order."""
    books: list[dict[str, Any]] = []
    tickets = count(1)
    began = time.perf_counter()
    for place in range(number):
        ticket = next(tickets)
        books.extend(
            {"kind": kind, "ticket": ticket, "type": place % 2, "price": 1.1, "volume": VOLUME}
            for kind in ("order", "deal", "position", "order", "request")
        )
    return time.perf_counter() - began


def seeds() -> float:
    """Terminals with a client in process, each for a minute of its market: how many a second."""
    began = time.perf_counter()
    for seed in range(SEEDS):
        terminal = PaperTerminal.open(TerminalConfig(seed=seed))
        client = PaperClient.in_process(terminal)
        client.initialize()
        request = {"action": 1, "symbol": "EURUSD", "volume": VOLUME, "type": 0, "sl": 0.5}
        assert client.order_send(request).retcode == 10009
        for step in range(int(SEED_SECONDS * 10)):
            terminal.advance_to(step / 10)
            client.account_info()
            client.positions_get()
        terminal.shutdown()
    return SEEDS / (time.perf_counter() - began)


def write_ticks(path: Path, number: int) -> None:
    """A tick every six seconds, so that the remembered ticks and minutes are at their most in the smaller file too."""
    with path.open("w") as stream:
        for place in range(number):
            points = place * 7919 % 1000
            stream.write(f"{1_767_600_000 + place * 6},1.1{points:03}0,1.1{points:03}8\n")


def stream(path: Path) -> None:
    """Replay a file tick by tick through a terminal with a position; prints ticks a second and the peak in KiB."""
    import resource  # not on Windows, where the rest of this runs

    terminal = PaperTerminal.open(TerminalConfig(replay=(path,), speed=None, balance=BALANCE))
    client = PaperClient.in_process(terminal)
    client.initialize()
    request = {"action": 1, "symbol": "EURUSD", "volume": VOLUME, "type": 0, "sl": 0.5}
    assert client.order_send(request).retcode == 10009
    began = time.perf_counter()
    while not terminal.step():
        pass
    rate = terminal.ticks / (time.perf_counter() - began)
    print(terminal.ticks, round(rate), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def streams(sizes: Sequence[int]) -> None:
    """Each size of file in a process of its own."""
    peaks = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "EURUSD.csv"
            write_ticks(path, size)
            command = [sys.executable, "-m", "tests.benchmarks.bench_paper", "--file", str(path)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        ticks, rate, peak = (int(word) for word in said.split())
        peaks.append(peak)
        print(f"{ticks:10,} ticks through a terminal: {rate:8,} ticks/s, peak {peak / 1024:6.1f} MiB")
    print(f"peak of the largest to the smallest: {peaks[-1] / peaks[0]:.3f}")


def median(run: Callable[[], float], rounds: int) -> float:
    return statistics.median(run() for _ in range(rounds))


def ratios(ticks: int, rounds: int) -> None:
    """The account, an order and whole seeds beside bare loops."""
    quotes = quotes_of(ticks)
    print(f"{ticks} ticks, median of {rounds} rounds")
    for held in HELD:
        account = median(lambda held=held: through_account(quotes, held), rounds)  # type: ignore[misc]
        bare = median(lambda held=held: through_loop(quotes, held), rounds)  # type: ignore[misc]
        rate = ticks / account
        print(f"{held:3} positions: account {rate:10,.0f} ticks/s, bare loop {ticks / bare:12,.0f}, "
              f"{account / bare:5.2f}x its time")  # fmt: skip
    account, bare = median(lambda: orders_through_account(ORDERS), 3), median(lambda: orders_through_dicts(ORDERS), 3)
    print(f"market orders: account {ORDERS / account:10,.0f}/s, bare dictionaries {ORDERS / bare:10,.0f}/s, "
          f"{account / bare:5.1f}x")  # fmt: skip
    rate = seeds()
    print(f"seeds of {SEED_SECONDS:.0f} market seconds with 20 reads a second: {rate:.1f}/s, "
          f"{rate * SEED_SECONDS / 3600:.2f} simulated hours a second")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ticks", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", type=int, metavar="TICKS")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        stream(options.file)
    elif options.stream:
        streams([100_000, options.stream])
    else:
        ratios(options.ticks, options.rounds)


if __name__ == "__main__":
    main()
