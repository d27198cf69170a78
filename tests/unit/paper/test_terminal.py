"""The terminal in process: pacing, single steps, state that survives, refusals at the start."""

import json
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from engine.paper.client import PaperClient
from engine.paper.conditions import HEDGING, NETTING, Conditions
from engine.paper.market import MarketError
from engine.paper.store import StateError, StateStore
from engine.paper.terminal import SAVE_SECONDS, PaperTerminal, TerminalConfig, account_login
from engine.paper.tickfile import TickFileError
from tests.unit.paper.markets import BEGIN_MSC, ScriptedMarket, deal, trade

FLAT = ("EURUSD", 1.10000, 1.10010)
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "eurusd-ticks-2020-01-01.csv"


def seconds(count: int) -> list[tuple[str, float, float]]:
    return [("EURUSD", 1.1 + place / 1000, 1.2 + place / 1000) for place in range(count)]


def test_speed_one_waits_between_ticks_and_shows_the_latest_due() -> None:
    terminal = PaperTerminal(ScriptedMarket(seconds(20)))
    terminal.advance_to(500.0)
    assert terminal.status()["ticks"] == 1
    terminal.advance_to(500.9)
    assert terminal.status()["ticks"] == 1
    terminal.advance_to(501.0)
    assert terminal.status()["ticks"] == 2
    terminal.advance_to(504.5)
    assert terminal.status()["bid"] == 1.104
    terminal.advance_to(400.0)
    assert terminal.status()["ticks"] == 5
    assert terminal.advance_to(600.0) is True
    assert (terminal.finished, terminal.status()["finished"]) == (True, True)


def test_speed_multiplies() -> None:
    terminal = PaperTerminal(ScriptedMarket(seconds(20)), speed=5.0)
    terminal.advance_to(0.0)
    terminal.advance_to(2.0)
    assert terminal.status()["ticks"] == 11


def test_market_that_falls_behind_goes_on_from_where_it_is() -> None:
    terminal = PaperTerminal(ScriptedMarket(seconds(40)), speed=10.0)
    terminal.advance_to(0.0)
    assert terminal.advance_to(2.0, limit=5) is False
    assert terminal.status()["ticks"] == 6
    assert terminal.advance_to(2.0, limit=5) is True
    assert terminal.status()["ticks"] == 6
    assert terminal.advance_to(2.2, limit=5) is True
    assert terminal.status()["ticks"] == 8


def test_in_max_only_a_step_moves_the_market() -> None:
    terminal = PaperTerminal(ScriptedMarket(seconds(3)), speed=None)
    terminal.advance_to(0.0)
    terminal.advance_to(1000.0)
    assert terminal.status()["ticks"] == 1
    assert terminal.status()["speed"] == "max"
    assert [terminal.step(), terminal.step(), terminal.step()] == [False, True, True]
    assert terminal.status()["ticks"] == 3


def test_first_tick_of_a_file_is_there_at_the_start_and_equal_times_are_separate_steps() -> None:
    terminal = PaperTerminal.open(TerminalConfig(replay=(REAL,), speed=None)) if REAL.exists() else None
    if terminal is None:
        pytest.skip(f"{REAL} is not on this machine")
    assert terminal.status()["ticks"] == 1
    terminal.shutdown()


@pytest.mark.parametrize("look", [0.05, 0.7, 30.0])
def test_late_deal_is_the_same_however_seldom_the_market_is_looked_at(look: float) -> None:
    terminal = PaperTerminal(
        ScriptedMarket(seconds(40), volume_max=1.0), Conditions(execution_delay_ms=2300), balance=1e6
    )
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    terminal.advance_to(100.0)
    terminal.advance_to(101.4)
    client.order_send(deal("buy", 0.1))
    now = 101.4
    while now < 125.0:
        now += look
        terminal.advance_to(now)
    # Due at 3.7 s of the market: the tick of its third second is the last one before.
    (position,) = client.positions_get()
    assert (position.price_open, position.time_msc - BEGIN_MSC) == (pytest.approx(1.203), 3000)


def test_late_deal_is_made_while_the_market_is_stepped() -> None:
    terminal, client = trade(seconds(10), Conditions(execution_delay_ms=1500), balance=1e6)
    client.order_send(deal("buy", 0.1))
    for _ in range(5):
        terminal.step()
    assert [deal.price for deal in terminal.account.books.history.deals if deal.order] == [pytest.approx(1.201)]


def test_history_is_on_the_broker_s_clock_which_changes_with_american_summer_time(tmp_path: Path) -> None:
    days = {"2026-03-06": 2, "2026-03-09": 3, "2026-10-30": 3, "2026-11-02": 2}
    path = tmp_path / "EURUSD.csv"
    path.write_text("".join(f"{day}T12:0{minute}:00Z,1.1,1.1001\n" for day in days for minute in range(2)))
    terminal = PaperTerminal.open(TerminalConfig(replay=(path,), speed=None))
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    for day, hours in days.items():
        noon = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp())
        ticket = client.order_send(deal("buy", 0.1)).order
        (made,) = client.history_deals_get(ticket=ticket)
        (order,) = client.history_orders_get(ticket=ticket)
        position = client.positions_get(ticket=ticket)[0]
        assert {made.time, order.time_done, position.time} == {noon + hours * 3600}
        # Whoever asks up to UTC misses what has just happened.
        assert made not in client.history_deals_get(noon - 86_400, noon)
        assert made in client.history_deals_get(noon - 86_400, noon + hours * 3600)
        for _ in range(2):
            terminal.step()
    terminal.shutdown()


def test_every_tick_is_seen_by_stops_even_when_clients_see_only_the_latest() -> None:
    quotes = [FLAT, ("EURUSD", 1.09, 1.0901), FLAT, FLAT, FLAT]
    terminal = PaperTerminal(ScriptedMarket(quotes))
    client = PaperClient.in_process(terminal)
    client.initialize()
    client.order_send(deal("buy", 0.1, sl=1.095))
    terminal.advance_to(0.0)
    terminal.advance_to(3.0)
    assert client.positions_get() == ()


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not on this machine")
def test_real_file_step_by_step_gives_the_equity_of_an_independent_calculation() -> None:
    terminal = PaperTerminal.open(TerminalConfig(replay=(REAL,), speed=None))
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    lines = [line.split(",") for line in REAL.read_text().splitlines()]
    prices = [(float(bid), float(ask)) for _, bid, ask, _ in lines]
    opened = client.order_send(deal("buy", 0.7)).price
    assert opened == prices[0][1]
    for place, (bid, _) in enumerate(prices):
        assert client.account_info().equity == round(10_000.0 + round((bid - opened) * 70_000, 2), 2)
        assert terminal.step() is (place >= len(prices) - 2)
    terminal.shutdown()


def test_nothing_tradable_in_the_account_s_currency_is_refused_by_name() -> None:
    with pytest.raises(MarketError, match="nothing can be traded in a CHF account: No rate USDCHF for EURUSD"):
        PaperTerminal.open(TerminalConfig(conditions=Conditions(currency="CHF")))


def test_bad_file_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "EURUSD.csv"
    path.write_text("2026-01-05T10:00:00Z,1.1,1.2\nbroken\n")
    with pytest.raises(TickFileError, match="line 2"):
        PaperTerminal.open(TerminalConfig(replay=(path,)), tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_login_is_stable_and_belongs_to_market_and_currency(tmp_path: Path) -> None:
    logins = {
        PaperTerminal.open(TerminalConfig(seed=seed, conditions=Conditions(currency=currency))).login
        for seed, currency in ((1, "USD"), (1, "EUR"), (2, "USD"), (1, "USD"))
    }
    assert len(logins) == 3
    assert account_login("synthetic seed 1 USD") == 72_699_207


def snapshot(client: PaperClient) -> list[Any]:
    return [
        client.account_info(),
        client.positions_get(),
        client.history_deals_get(0, 2**33),
        client.history_orders_get(0, 2**33),
    ]


def test_hedging_and_netting_accounts_are_two() -> None:
    logins = {trade([FLAT, FLAT], Conditions(margin_mode=mode))[0].login for mode in (HEDGING, NETTING)}
    assert len(logins) == 2


def test_restart_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def run(terminal: PaperTerminal, start: float, end: int) -> PaperClient:
        client = PaperClient.in_process(terminal)
        assert client.initialize()
        terminal.advance_to(start)
        for second in range(int(start) + 1, end + 1):
            terminal.advance_to(float(second))
            if second % 7 == 0:
                price = client.symbol_info_tick("USDJPY").bid
                client.order_send(deal("buy", 0.1, "USDJPY", sl=round(price - 0.02, 3), tp=round(price + 0.02, 3)))
        return client

    config = TerminalConfig(seed=4, conditions=Conditions(commission_per_lot=3.0))
    whole = PaperTerminal.open(config, tmp_path / "whole")
    expected = snapshot(run(whole, 0.0, 240))
    first = PaperTerminal.open(config, tmp_path / "parts")
    run(first, 0.0, 119)
    first.shutdown()
    second = PaperTerminal.open(config, tmp_path / "parts")
    assert snapshot(run(second, 119.0, 240)) == expected
    assert second.status() == whole.status()
    assert len(expected[2]) > 30, "stops fired on both sides of the restart"
    for terminal in (whole, second):
        terminal.shutdown()


def test_state_committed_at_a_deal_survives_without_any_shutdown(tmp_path: Path) -> None:
    terminal, client = trade([FLAT] * 9, state=tmp_path)
    terminal.step()
    client.order_send(deal("buy", 0.1, sl=1.09))
    terminal.step()
    (ticket,) = (position.ticket for position in client.positions_get())
    client.order_send({"action": 6, "position": ticket, "sl": 1.08, "tp": 1.2})
    # No shutdown: the file is opened again as a killed process would leave it.
    _, again = trade([FLAT] * 9, state=tmp_path)
    assert snapshot(again) == snapshot(client)
    assert again.positions_get()[0].sl == 1.08


def test_closed_position_is_gone_from_the_state_and_tickets_go_on(tmp_path: Path) -> None:
    _, client = trade([FLAT] * 9, state=tmp_path)
    ticket = client.order_send(deal("buy", 0.1)).order
    client.order_send(deal("sell", 0.1, position=ticket))
    last = client.history_deals_get(0, 2**33)[-1].ticket
    _, again = trade([FLAT] * 9, state=tmp_path)
    assert again.positions_get() == ()
    assert again.order_send(deal("buy", 0.1)).order > last


def test_deposit_is_made_once_whatever_the_balance_setting_says_later(tmp_path: Path) -> None:
    trade([FLAT] * 9, state=tmp_path, balance=500.0)
    _, again = trade([FLAT] * 9, state=tmp_path, balance=900.0)
    assert again.account_info().balance == 500.0
    assert again.history_deals_total(0, 2**33) == 1


def test_finished_market_is_still_finished_after_a_restart(tmp_path: Path) -> None:
    terminal, _ = trade([FLAT, FLAT], state=tmp_path)
    terminal.step()
    terminal.shutdown()
    again, client = trade([FLAT, FLAT], state=tmp_path)
    assert again.finished
    assert client.order_send(deal("buy", 0.1)).retcode == 10018


def test_market_position_alone_is_saved_every_few_seconds(tmp_path: Path) -> None:
    terminal = PaperTerminal(ScriptedMarket(seconds(60)), state=tmp_path)
    terminal.advance_to(0.0)
    terminal.advance_to(SAVE_SECONDS - 0.1)
    assert PaperTerminal(ScriptedMarket(seconds(60)), state=tmp_path).ticks == 1
    terminal.advance_to(SAVE_SECONDS)
    assert PaperTerminal(ScriptedMarket(seconds(60)), state=tmp_path).ticks == 6


def test_other_markets_have_other_files(tmp_path: Path) -> None:
    for seed in (1, 2):
        PaperTerminal.open(TerminalConfig(seed=seed), tmp_path).shutdown()
    assert len(list(tmp_path.glob("paper-*.db"))) == 2


def test_state_of_another_account_is_refused(tmp_path: Path) -> None:
    StateStore(tmp_path / "paper.db", "one").close()
    with pytest.raises(StateError, match=r"holds the account '2 one', not '2 two'"):
        StateStore(tmp_path / "paper.db", "two")


def test_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.db"
    path.write_bytes(b"not a database, and long enough to be looked at as one" * 40)
    with pytest.raises(StateError, match="not a database"):
        StateStore(path, "one")
    with pytest.raises(StateError):
        StateStore(tmp_path, "one")
    store = StateStore(tmp_path / "other.db", "one")
    store.commit([], {})
    connection = sqlite3.connect(tmp_path / "other.db")
    with connection:
        connection.execute("UPDATE facts SET value = '{' WHERE name = 'terminal'")
    connection.close()
    with pytest.raises(StateError, match=r"other\.db"):
        store.load()
    store.close()


def test_commit_that_fails_leaves_no_half_change_and_ends_the_terminal(tmp_path: Path) -> None:
    terminal, client = trade([FLAT] * 9, state=tmp_path)
    client.order_send(deal("buy", 0.1))
    before = snapshot(client)
    file = next(tmp_path.glob("paper-*.db"))
    outside = sqlite3.connect(file)
    # The next deal's order is written, then its position cannot be: all of it must be rolled back.
    full = "BEFORE INSERT ON ledger WHEN new.kind = 'position' BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    outside.execute(f"CREATE TRIGGER full {full}")
    outside.commit()
    with pytest.raises(StateError, match="disk full"):
        client.order_send(deal("buy", 0.2))
    assert not terminal.alive
    assert client.account_info() is None
    outside.execute("DROP TRIGGER full")
    outside.commit()
    deals = outside.execute("SELECT row FROM ledger WHERE kind = 'deal'")
    assert [json.loads(row)[9] for (row,) in deals] == [0.0, 0.1]
    outside.close()
    _, again = trade([FLAT] * 9, state=tmp_path)
    assert snapshot(again) == before


def test_calls_from_a_broken_client_are_answered_not_raised() -> None:
    terminal, _ = trade([FLAT, FLAT])
    assert terminal.handle("no_such_function", [], {}) == (None, (-1, "Terminal: Call failed"))
    assert terminal.handle("step", [], {}) == (None, (-1, "Terminal: Call failed"))
    for request in ([], [1] * 17, deal("buy")):
        assert terminal.handle("order_send", [request], {}) == (None, (-2, "Terminal: Invalid params"))
