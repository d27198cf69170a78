"""Readings through twenty guards beside bare arithmetic on the same numbers: `python -m tests.benchmarks.bench_guards`.

Prints ratios within one run. The bare loop holds every reading's equity, counts and sums against twenty limits with
nothing else: no words, no memory, no days. `--history N` shows that a reading costs the same however many went before.
"""

import argparse
import random
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from engine.broker.base import Position, Side
from engine.guards.base import Facts, Moment
from engine.guards.board import Board
from engine.guards.build import build
from engine.guards.drawdown import DrawdownState, evaluate
from engine.guards.settings import GuardSettings
from engine.readings import AccountReading, Validity
from tests.unit.core.makers import EURUSD, TICK, account, position

ROUNDS = 7
RULES = {
    "initial_balance": 10_000.0,
    "presets": ["ftmo-2step", "ftmo-1step", "eod-trailing", "equity-trailing", "static"],
    "loss": [
        {"name": "day", "basis": "day-start higher", "percent": 30, "reset": {"zone": "Europe/Prague"}},
        {"name": "week", "basis": "highest equity", "money": 3_000, "stops_trailing_at": "initial"},
    ],
    "equity_floor": {"money": 5_000},
    "margin_level": {"percent": 50},
    "open_positions": {"most": 50},
    "volume": {"most": 100, "most_per_symbol": 100},
    "risk_at_stops": {"percent": 90},
    "currency_exposure": {"percent": 100_000},
    "order_rate": {"most_per_minute": 60},
    "losing_streak": {"losses": 5},
    "trades_a_day": {"most": 50},
    "sessions": {"friday_close": "21:00", "zone": "Europe/London"},
}
START = datetime(2026, 1, 5, 8, tzinfo=UTC)


def positions_held(count: int) -> tuple[Position, ...]:
    return tuple(
        position(1.0, identifier=number, ticket=number, side=Side.BUY, volume=0.1, magic=0) for number in range(count)
    )


def readings(count: int, held: tuple[Position, ...], chance: random.Random) -> list[Facts]:
    """A walk of the equity, ten readings a second."""
    equity, made = 10_000.0, []
    for number in range(count):
        equity = min(10_500.0, max(9_700.0, equity + chance.uniform(-5, 5)))
        at = START + timedelta(milliseconds=100 * number)
        reading = AccountReading(
            Validity.VALID, "", number / 10, account(equity, margin=500.0, margin_level=equity / 5), held, equity
        )
        moment = Moment(at, (at + timedelta(hours=2)).replace(tzinfo=None), number / 10)
        made.append(Facts(moment, reading, specs={"EURUSD": EURUSD}, quotes={"EURUSD": TICK}, orders=()))
    return made


def board() -> Board:
    made = Board(build(GuardSettings.model_validate(RULES)))
    assert len(made.guards) == 19, len(made.guards)
    return made


def through_guards(facts: list[Facts], guards: Board) -> float:
    """Seconds for all of them: the drawdown guard and nineteen others."""
    state = DrawdownState(limit_percent=90, warn_at=0.8, peak=10_000.0, equity=10_000.0)
    started = time.perf_counter()
    for one in facts:
        state = evaluate(one.reading, state)
        guards.step(one)
    taken = time.perf_counter() - started
    assert state.evaluated_at is not None
    return taken


def bare(facts: list[Facts]) -> float:
    """Seconds for the same comparisons alone."""
    numbers = [
        (one.reading.equity, [(item.volume, item.price_current, item.sl) for item in one.reading.positions or ()])
        for one in facts
    ]
    floors = [9_000.0 - 10 * place for place in range(11)]
    peak, breached = 10_000.0, 0
    started = time.perf_counter()
    for equity, held in numbers:
        peak = max(peak, equity)
        for floor in floors:
            breached += equity <= floor
        breached += equity <= peak * 0.1
        volume = sum(lots for lots, _, _ in held)
        risk = sum(lots * (price - stop) * 100_000 for lots, price, stop in held)
        breached += len(held) > 50
        breached += volume > 100
        breached += risk > equity * 0.9
        breached += volume * 110_000 > equity * 1_000
        for limit in (60, 5, 50):
            breached += limit < 0
    taken = time.perf_counter() - started
    assert breached == 0
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_guards")
    parser.add_argument("--readings", type=int, default=2_000)
    parser.add_argument("--history", type=int, default=100_000)
    options = parser.parse_args()
    chance = random.Random(7)
    for count in (0, 10, 50):
        facts = readings(options.readings, positions_held(count), chance)
        pairs = [(through_guards(facts, board()), bare(facts)) for _ in range(ROUNDS)]
        guards = statistics.median(one for one, _ in pairs)
        ratio = statistics.median(one / other for one, other in pairs)
        print(
            f"{count:3} positions: {options.readings / guards:8,.0f} readings a second through 20 guards,"
            f" {guards / options.readings * 1e6:7.1f} us each; {ratio:6.1f}x bare arithmetic"
        )
    facts = readings(options.readings, positions_held(10), chance)
    old, fresh = board(), board()
    last = facts[-1]
    for number in range(options.history):
        later = replace(last.moment, utc=last.moment.utc + timedelta(minutes=number))
        old.step(replace(last, moment=later))
    shift = timedelta(minutes=options.history)
    later_facts = [replace(one, moment=replace(one.moment, utc=one.moment.utc + shift)) for one in facts]
    pairs = [(through_guards(later_facts, old), through_guards(later_facts, fresh)) for _ in range(ROUNDS)]
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"after {options.history:,} readings over {shift.days} days: {ratio:.2f}x the cost of the first ones")


if __name__ == "__main__":
    main()
