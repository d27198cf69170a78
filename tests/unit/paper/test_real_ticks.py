"""The real file both ways: as ticks and as bars, long and short, hedging and netting, against arithmetic done here."""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from engine.paper import client as mt5
from engine.paper.client import PaperClient
from engine.paper.conditions import HEDGING, NETTING, Conditions
from engine.paper.replay import ReplayMarket
from engine.paper.terminal import PaperTerminal, TerminalConfig
from tests.unit.paper.markets import deal

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "eurusd-ticks-2020-01-01.csv"
pytestmark = pytest.mark.skipif(not REAL.exists(), reason=f"the real tick file is not at {REAL}")
CENT = Decimal("0.01")
EASTERN_TO_BROKER = 5 * 3600 + 2 * 3600
"""HistData's Eastern Standard Time to UTC, and in January two hours on to the broker's clock."""


def lines() -> Iterator[tuple[int, Decimal, Decimal]]:
    """Seconds of the file's own day, bid, ask."""
    for line in REAL.read_text().splitlines():
        stamp, bid, ask, _ = line.split(",")
        day, clock = stamp.split(" ")
        seconds = int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + int(clock[4:6])
        yield int(day) * 86_400 + seconds, Decimal(bid), Decimal(ask)


def money(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def averaged(lots: list[tuple[Decimal, Decimal]]) -> tuple[Decimal, Decimal]:
    whole = sum((part for part, _ in lots), Decimal(0))
    return whole, sum((part * price for part, price in lots), Decimal(0)) / whole


@pytest.mark.parametrize("mode", [HEDGING, NETTING])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_equity_and_margin_on_every_tick(mode: int, side: str) -> None:
    conditions = Conditions(margin_mode=mode, commission_per_lot=3.5)
    terminal = PaperTerminal.open(TerminalConfig(replay=(REAL,), speed=None, conditions=conditions))
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    rows = list(lines())
    sign = 1 if side == "buy" else -1
    other = "sell" if side == "buy" else "buy"
    # In: 1.0 and 0.5 more; out: 0.4 of the first.
    trades = {100: (side, Decimal("1.0")), 2000: (side, Decimal("0.5")), 5000: (other, Decimal("0.4"))}
    lots: list[tuple[Decimal, Decimal]] = []
    balance = Decimal(10_000)
    for place, (_, bid, ask) in enumerate(rows):
        if place:
            terminal.step()
        if place in trades:
            how, volume = trades[place]
            request = deal(how, float(volume))
            if place == 5000 and mode == HEDGING:
                request["position"] = client.positions_get()[0].ticket
            assert client.order_send(request).retcode == mt5.TRADE_RETCODE_DONE
            balance -= money(Decimal("3.5") * volume)
            if place == 5000:
                closing = bid if sign > 0 else ask
                if mode == NETTING:
                    lots = [averaged(lots)]
                first, price = lots[0]
                balance += money((closing - price) * sign * volume * 100_000)
                lots[0] = (first - volume, price)
            else:
                lots.append((volume, ask if sign > 0 else bid))
        closing = bid if sign > 0 else ask
        if mode == NETTING and len(lots) == 2:
            whole, average = averaged(lots)
            floating = money((closing - average) * sign * whole * 100_000)
        else:
            floating = sum((money((closing - price) * sign * part * 100_000) for part, price in lots), Decimal(0))
        account = client.account_info()
        assert abs(Decimal(repr(account.balance)) - balance) <= CENT, place
        assert abs(Decimal(repr(account.equity)) - balance - floating) <= CENT, place
        margin = sum((part * price * 1000 for part, price in lots), Decimal(0))
        assert abs(Decimal(repr(account.margin)) - margin) <= CENT, place
    assert terminal.finished
    assert terminal.ticks == len(rows) == 9500
    terminal.shutdown()


def test_bars_of_the_file_give_its_highs_and_lows(tmp_path: Path) -> None:
    """Minutes made here from the ticks, exported as MT5 does, replayed, and read back as MT5's bars."""
    minutes: dict[int, list[Decimal]] = {}
    for second, bid, _ in lines():
        minutes.setdefault(second // 60, []).append(bid)
    exported = ["<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"]
    for minute, bids in minutes.items():
        date, clock = divmod(minute, 1440)
        text = str(date)
        values = "\t".join(f"{value:.5f}" for value in (bids[0], max(bids), min(bids), bids[-1]))
        exported.append(f"{text[:4]}.{text[4:6]}.{text[6:]}\t{clock // 60:02}:{clock % 60:02}:00\t{values}\t9\t0\t8")
    path = tmp_path / "EURUSD_M1.csv"
    path.write_text("\n".join(exported) + "\n")
    terminal = PaperTerminal.open(TerminalConfig(replay=(path,), speed=None))
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    while not terminal.step():
        """To the end."""
    bars = client.copy_rates_from_pos("EURUSD", mt5.TIMEFRAME_M1, 0, 10_000)
    assert len(bars) == len(minutes)
    for bar, bids in zip(bars, minutes.values(), strict=True):
        assert [bar["open"], bar["high"], bar["low"], bar["close"]] == [
            float(price) for price in (bids[0], max(bids), min(bids), bids[-1])
        ]
        assert (bar["spread"], bar["tick_volume"]) == (8, 4)
    terminal.shutdown()


def test_ticks_are_on_the_broker_s_clock() -> None:
    market = ReplayMarket([REAL])
    first = market.take()
    # 2020-01-01 17:00:00.065 Eastern Standard Time.
    assert first.time_msc == 1_577_836_800_000 + 17 * 3_600_000 + 65 + EASTERN_TO_BROKER * 1000
    market.close()
