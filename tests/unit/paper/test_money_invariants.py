"""Whatever is traded, the books agree with themselves."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.paper import client as mt5
from engine.paper.conditions import Conditions
from tests.unit.paper.markets import deal, trade

Move = tuple[str, int, int, int]

moves = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "close", "part", "stops", "tick"]),
        st.integers(1, 400),
        st.integers(-400, 400),
        st.integers(0, 5),
    ),
    max_size=40,
)


def cents(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(Decimal("0.01"))


@settings(deadline=None, max_examples=60)
@given(
    moves=moves,
    commission=st.sampled_from([0.0, 3.5, 7.01]),
    currency=st.sampled_from(["USD", "JPY"]),
    leverage=st.sampled_from([1, 30, 500]),
)
def test_books_agree_after_any_trades(moves: list[Move], commission: float, currency: str, leverage: int) -> None:
    price = 150_000
    quotes = [("USDJPY", 150.0, 150.012)]
    for kind, _, drift, spread in moves:
        if kind == "tick":
            price += drift * 10
            quotes.append(("USDJPY", price / 1000, (price + spread) / 1000))
    quotes.append(("USDJPY", 100.0, 100.01))
    deposit = 10_000.0 if currency == "USD" else 1_500_000.0
    terminal, client = trade(quotes, Conditions(currency, leverage, commission_per_lot=commission), balance=deposit)
    for kind, size, drift, _ in moves:
        held = client.positions_get()
        if kind == "tick":
            terminal.step()
        elif kind in ("buy", "sell"):
            client.order_send(deal(kind, round(size / 100, 2), "USDJPY"))
        elif held:
            position = held[size % len(held)]
            if kind == "stops":
                level = round(position.price_current + drift / 100, 3)
                client.order_send(
                    {"action": mt5.TRADE_ACTION_SLTP, "position": position.ticket, "sl": level, "tp": 0.0}
                )
            else:
                volume = position.volume if kind == "close" else 0.01
                side = "sell" if position.type == mt5.POSITION_TYPE_BUY else "buy"
                client.order_send(deal(side, volume, "USDJPY", position=position.ticket))
        account, positions = client.account_info(), client.positions_get()
        deals = client.history_deals_get(0, 2**33)
        booked = sum(cents(done.profit + done.commission + done.swap + done.fee) for done in deals)
        assert cents(account.balance) == booked
        assert cents(account.equity) == cents(account.balance) + cents(account.profit)
        assert cents(account.profit) == sum(cents(position.profit) for position in positions)
        assert account.margin >= 0
        assert (account.margin > 0) == bool(positions)
        opened = {done.position_id: done for done in deals if done.entry == 0 and done.type < 2}
        for position in positions:
            assert position.identifier in opened
            closed = sum(
                cents(done.volume) for done in deals if done.position_id == position.identifier and done.entry == 1
            )
            assert cents(opened[position.identifier].volume) - closed == cents(position.volume) > 0
