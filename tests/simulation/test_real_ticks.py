"""The real tick file through the whole engine, one tick per guard cycle, against arithmetic done here."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.broker.base import Side
from engine.intake.proposals import Proposal
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.state import EngineMode
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, world

TICKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "eurusd-ticks-2020-01-01.csv"
CENT = Decimal("0.01")
LOT = Decimal(100_000)


@dataclass
class Trade:
    """A trade as this test follows it. `opened` and `closed` are counts of ticks that had passed."""

    side: Side
    volume: Decimal
    price: Decimal
    opened: int
    sl: Decimal
    tp: Decimal
    closed: int | None = None
    result: Decimal = Decimal(0)

    def profit(self, bid: Decimal, ask: Decimal) -> Decimal:
        gain = bid - self.price if self.side is Side.BUY else self.price - ask
        return (gain * LOT * self.volume).quantize(CENT, ROUND_HALF_UP)

    def follow(self, count: int, bid: Decimal, ask: Decimal) -> None:
        """Let a tick take the trade out at its stop or target, as a broker does."""
        if self.closed is not None or count <= self.opened:
            return
        price = bid if self.side is Side.BUY else ask
        below, above = (self.sl, self.tp) if self.side is Side.BUY else (self.tp, self.sl)
        if price <= below or price >= above:
            self.closed, self.result = count, self.profit(bid, ask)


def read_ticks() -> list[tuple[Decimal, Decimal]]:
    rows = [line.split(",") for line in TICKS.read_text().splitlines()]
    return [(Decimal(row[1]), Decimal(row[2])) for row in rows]


@pytest.mark.skipif(not TICKS.exists(), reason=f"the real tick file is not at {TICKS}")
def test_equity_agrees_with_an_independent_calculation_on_every_tick(tmp_path: Path) -> None:
    ticks = read_ticks()
    trades: list[Trade] = []
    seen: dict[int, Decimal] = {}
    terminal = PaperTerminal.open(TerminalConfig(replay=(TICKS,), speed=None))

    def note(honest: Any, request: dict[str, Any]) -> Any:
        reply = honest(request)
        assert reply.retcode == 10009
        if "position" not in request:
            side = Side.BUY if request["type"] == 0 else Side.SELL
            values = [Decimal(str(round(value, 5))) for value in (reply.price, request["sl"], request["tp"])]
            price, sl, tp = values
            trades.append(Trade(side, Decimal(str(request["volume"])), price, terminal.ticks, sl, tp))
        return reply

    def look(honest: Any) -> Any:
        info = honest()
        seen[terminal.ticks] = Decimal(str(info.equity)).quantize(CENT)
        return info

    async def propose(made: World, side: Side, volume: float, distance: float) -> None:
        quote = made.engine.cycle.quotes["EURUSD"].tick
        price = quote.ask if side is Side.BUY else quote.bid
        signal = await made.engine.proposals.take(
            Proposal(
                symbol="EURUSD",
                side=side,
                volume=volume,
                sl=round(price - side.sign * distance, 5),
                tp=round(price + side.sign * 2 * distance, 5),
                source="test",
                expires_seconds=3_600,
            )
        )
        result = await made.approve(signal)
        assert result.accepted

    async def run() -> None:
        async with world(
            tmp_path, terminal=terminal, lockstep=True, faults={"order_send": note, "account_info": look}
        ) as made:
            plan = [
                (500, Side.BUY, 0.37, 0.0010),
                (2_000, Side.SELL, 1.13, 0.0006),
                (4_000, Side.BUY, 0.05, 0.0100),
                (6_500, Side.SELL, 0.61, 0.0003),
                (8_000, Side.BUY, 2.0, 0.0100),
            ]
            for at, side, volume, distance in plan:
                await made.until(lambda at=at: terminal.ticks >= at, 1_000)  # type: ignore[misc]  # a lambda's default
                await propose(made, side, volume, distance)
            await made.until(lambda: terminal.finished, 1_000)
            assert "ended" in (made.engine.gate.account_refusal() or "")
            last = len(made.engine.cycle.reading.positions or ())
            made.engine.flatten("the file has ended")
            await made.until(lambda: made.engine.modes.mode is EngineMode.HALTED)
            assert last >= 2
            assert made.engine.cycle.reading.positions == ()

    run_virtual(run())
    assert len(trades) == 5
    assert terminal.ticks == len(ticks)
    compared = 0
    balance = Decimal(10_000)
    for count, (bid, ask) in enumerate(ticks, start=1):
        for trade in trades:
            before = trade.closed
            trade.follow(count, bid, ask)
            if before is None and trade.closed is not None:
                balance += trade.result
        if count not in seen or any(trade.opened == count for trade in trades) or count == len(ticks):
            continue
        floating = sum(trade.profit(bid, ask) for trade in trades if trade.closed is None and trade.opened < count)
        assert seen[count] == balance + floating, f"tick {count}"
        compared += 1
    assert compared > 9_400
    assert any(trade.closed for trade in trades), "no stop or target was hit: the test proves less than it says"
    terminal.shutdown()
