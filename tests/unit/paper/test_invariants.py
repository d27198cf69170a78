"""Whatever is asked of an account under whatever conditions, its books agree with themselves and with their ledger."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.paper import requests as rq
from engine.paper.books import ENTRY_IN, ENTRY_INOUT, Books
from engine.paper.conditions import HEDGING, MONEY, NETTING, PERCENT, Conditions
from engine.paper.ledger import Record
from engine.paper.requests import CHECKED
from tests.unit.paper.desk import MONDAY, Desk, name

SYMBOLS = ("USDJPY", "EURUSD")
CASH_TYPES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17)

conditions = st.builds(
    Conditions,
    currency=st.sampled_from(["USD", "JPY", "USC"]),
    leverage=st.sampled_from([1, 30, 500]),
    margin_mode=st.sampled_from([HEDGING, NETTING, 1]),
    fifo_close=st.booleans(),
    commission_per_lot=st.sampled_from([0.0, 3.5, 7.01]),
    stop_out_mode=st.sampled_from([PERCENT, MONEY]),
    stop_out=st.sampled_from([0.0, 50.0, 900.0]),
    limit_orders=st.sampled_from([0, 2]),
    execution_delay_ms=st.sampled_from([0, 0, 1500]),
)
instruments = st.fixed_dictionaries(
    {
        "execution_mode": st.sampled_from([0, 1, 2, 3]),
        "filling_mode": st.sampled_from([1, 3, 7]),
        "depth": st.sampled_from([0.0, 0.0, 0.7]),
        "stops_level": st.sampled_from([0, 10]),
        "freeze_level": st.sampled_from([0, 0, 15]),
        "trade_mode": st.sampled_from([4, 4, 4, 1, 3]),
        "volume_limit": st.sampled_from([0.0, 3.0]),
        "volume_max": st.sampled_from([100.0, 1.5]),
        "margin_initial": st.sampled_from([0.0, 0.0, 50_000.0]),
        "margin_maintenance": st.sampled_from([0.0, 30_000.0]),
        "margin_hedged": st.sampled_from([None, 0.0, 50_000.0]),
        "margin_hedged_use_leg": st.booleans(),
        "swap_mode": st.sampled_from([0, 1, 4, 5]),
        "swap_long": st.sampled_from([-9.0, 2.5]),
        "swap_short": st.sampled_from([-1.37, 0.0]),
    }
)
moves = st.lists(
    st.tuples(
        st.sampled_from(["tick", "tick", "night", "deal", "deal", "pend", "close", "stops", "modify", "remove", "by",
                         "cash", "settle"]),
        st.integers(0, 10_000),
        st.integers(-300, 300),
    ),
    max_size=45,
)  # fmt: skip


def cents(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(Decimal("0.01"))


class Trader:
    """Turns drawn numbers into requests that are mostly, not always, reasonable."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.mids = {"USDJPY": 150_000, "EURUSD": 110_000}
        self.settled = 0.0

    def price(self, symbol: str, points: int) -> float:
        digits = self.desk.instruments[symbol].digits
        return round((self.mids[symbol] + points) * self.desk.instruments[symbol].point, digits)

    def tick(self, symbol: str, drift: int, spread: int, at: int | None = None) -> None:
        self.mids[symbol] = max(50_000, self.mids[symbol] + drift * 3)
        self.desk.quote(self.price(symbol, 0), self.price(symbol, spread), symbol, at=at)

    def request(self, kind: str, size: int, drift: int) -> dict[str, Any] | None:
        symbol = SYMBOLS[size % 2]
        volume = round((1 + size % 150) / 100, 2)
        filling = (rq.FOK, rq.IOC, rq.RETURN)[size % 3]
        sl = self.price(symbol, drift) if size % 5 == 0 else 0.0
        held, standing = self.desk.positions, self.desk.orders
        if kind == "deal":
            side = (rq.BUY, rq.SELL)[size // 2 % 2]
            price = self.price(symbol, 0)
            return {"action": rq.ACTION_DEAL, "symbol": symbol, "type": side, "volume": volume, "price": price,
                    "deviation": 20, "type_filling": filling, "sl": sl}  # fmt: skip
        if kind == "pend":
            price = self.price(symbol, drift)
            return {"action": rq.ACTION_PENDING, "symbol": symbol, "type": 2 + size % 6, "volume": volume,
                    "price": price, "stoplimit": self.price(symbol, drift // 2), "type_filling": filling,
                    "type_time": size % 4, "expiration": MONDAY + size * 60}  # fmt: skip
        if kind == "remove" or kind == "modify":
            order = standing[size % len(standing)].ticket if standing else size
            action = rq.ACTION_REMOVE if kind == "remove" else rq.ACTION_MODIFY
            return {"action": action, "order": order, "price": self.price(symbol, drift), "sl": sl}
        if not held:
            return None
        position = held[size % len(held)]
        if kind == "stops":
            return {"action": rq.ACTION_SLTP, "position": position.ticket, "sl": self.price(position.symbol, drift)}
        if kind == "by":
            return {"action": rq.ACTION_CLOSE_BY, "position": position.ticket, "position_by": held[0].ticket}
        volume = position.volume if size % 2 else min(position.volume, volume)
        return {"action": rq.ACTION_DEAL, "symbol": position.symbol, "volume": volume, "position": position.ticket,
                "type": rq.SELL if position.sign > 0 else rq.BUY, "price": self.price(position.symbol, 0),
                "deviation": 50, "type_filling": filling}  # fmt: skip

    def move(self, kind: str, size: int, drift: int) -> None:
        account = self.desk.account
        if kind == "tick":
            self.tick(SYMBOLS[size % 2], drift, size % 12)
        elif kind == "night":
            for symbol in SYMBOLS:
                self.tick(symbol, drift, size % 12, at=account.time_msc // 1000 + size * 20)
        elif kind == "cash":
            account.cash(CASH_TYPES[size % len(CASH_TYPES)], drift * 10.01, "")
        elif kind == "settle":
            self.settled += size
            account.settle(self.settled)
        else:
            fields = self.request(kind, size, drift)
            if fields is not None:
                self.send(rq.TradeRequest(**fields))

    def send(self, request: rq.TradeRequest) -> None:
        account = self.desk.account
        judged, promised = account.check(request)
        done = account.send(request)
        if judged.retcode != CHECKED:
            assert done.retcode == judged.retcode
            return
        assert name(done) in ("DONE", "DONE_PARTIAL")
        whole = request.type_filling != rq.RETURN or name(done) == "DONE"
        if promised is not None and done.deal and request.action == rq.ACTION_DEAL and whole:
            now = account.totals()
            assert abs(cents(now.balance) - cents(promised.balance)) <= Decimal("0.01")
            # Entering may need more than holding does, where there is a maintenance margin.
            needed = cents(promised.margin) - cents(now.margin)
            held_cheaper = account.instruments[request.symbol].margin_maintenance
            assert (needed >= Decimal("-0.01")) if held_cheaper else abs(needed) <= Decimal("0.01")


def agree(desk: Desk) -> None:
    """The books against each other, by sums done here."""
    books, totals = desk.account.books, desk.account.totals()
    credit = sum((cents(deal.profit) for deal in books.history.deals if deal.type in (3, 6)), Decimal(0))
    booked = sum(
        (cents(deal.profit + deal.commission + deal.swap + deal.fee) for deal in books.history.deals), Decimal(0)
    )
    assert cents(totals.balance) == booked - credit
    assert cents(totals.credit) == credit
    floating = sum((cents(desk.account.profit(position) + position.swap) for position in desk.positions), Decimal(0))
    assert cents(totals.equity) == cents(totals.balance) + cents(totals.credit) + floating
    assert totals.margin >= 0
    if not desk.positions:
        assert totals.margin == 0
    volumes: dict[int, Decimal] = {}
    for deal in desk.deals:
        sign = 1 if deal.type == rq.BUY else -1
        volumes[deal.position_id] = volumes.get(deal.position_id, Decimal(0)) + sign * Decimal(repr(deal.volume))
    opened = {deal.position_id for deal in desk.deals if deal.entry in (ENTRY_IN, ENTRY_INOUT)}
    for position in desk.positions:
        assert position.identifier in opened
        assert volumes.pop(position.identifier) == position.sign * Decimal(repr(position.volume))
    assert not any(volumes.values())
    if not desk.account.conditions.hedging:
        assert len({position.symbol for position in desk.positions}) == len(desk.positions)


@settings(deadline=None, max_examples=150)
@given(granted=conditions, symbols=instruments, drawn=moves)
def test_books_agree_after_anything(
    granted: Conditions, symbols: dict[str, Any], drawn: list[tuple[str, int, int]]
) -> None:
    desk = Desk(*SYMBOLS, conditions=granted, balance=20_000.0 if granted.currency == "USD" else 2e6, **symbols)
    trader = Trader(desk)
    for symbol in SYMBOLS:
        trader.tick(symbol, 0, 3)
    for move in drawn:
        trader.move(*move)
        agree(desk)
    records = desk.account.ledger.records
    assert [record.sequence for record in records] == list(range(1, len(records) + 1))
    again = Books(desk.account.valuation.digits)
    for row in json.loads(json.dumps(records)):
        again.apply(Record(*row))
    live = desk.account.books
    assert (again.balance, again.credit, again.next_ticket) == (live.balance, live.credit, live.next_ticket)
    assert (again.positions, again.orders) == (live.positions, live.orders)
    assert (again.history.deals, again.history.orders) == (live.history.deals, live.history.orders)
