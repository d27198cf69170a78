"""Faults by plan, in process: when each begins, what a client sees of it, and what is true meanwhile."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.paper import client as mt5
from engine.paper.books import Books
from engine.paper.client import PaperClient
from engine.paper.faultplan import PlanError, load_plan, read_fault
from engine.paper.ledger import Record
from engine.paper.structs import CONTRACT
from engine.paper.terminal import PaperTerminal
from tests.unit.paper.markets import ScriptedMarket, deal

FLAT = ("EURUSD", 1.10000, 1.10010)
FALL = ("EURUSD", 1.09000, 1.09010)


def begin(
    *faults: dict[str, Any], quotes: Any = (FLAT, FALL, FLAT, FLAT), **changed: Any
) -> tuple[PaperTerminal, PaperClient]:
    """A terminal with a plan, at its second 0, and a client."""
    terminal = running(faults, quotes, **changed)
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    return terminal, client


def running(faults: Iterable[dict[str, Any]], quotes: Any, **changed: Any) -> PaperTerminal:
    plan = [read_fault(fault) for fault in faults]
    terminal = PaperTerminal(ScriptedMarket(quotes, **changed), speed=None, faults=plan)
    terminal.advance_to(100.0)
    return terminal


def hits(terminal: PaperTerminal) -> list[int]:
    return [fault["hits"] for fault in terminal.faults.hits()]


def kinds(terminal: PaperTerminal) -> list[str]:
    return [record.kind for record in terminal.ledger()]


def test_call_fails_with_its_error_and_is_not_executed() -> None:
    terminal, client = begin({"kind": "fail", "call": "order_send", "error": [-10005, "IPC timeout"]})
    assert client.order_send(deal("buy", 0.1)) is None
    assert client.last_error() == (-10005, "IPC timeout")
    assert client.positions_get() == ()
    assert client.order_send(deal("buy", 0.1)).retcode == 10009
    assert hits(terminal) == [1]


def test_call_that_failed_may_have_been_executed() -> None:
    terminal, client = begin({"kind": "fail", "call": "order_send", "error": [-10002, "gone"], "executed": True})
    assert client.order_send(deal("buy", 0.1, magic=8)) is None
    assert client.last_error() == (-10002, "gone")
    (position,) = client.positions_get()
    assert position.magic == 8
    assert "deal" in kinds(terminal)


def test_bool_functions_fail_with_false() -> None:
    _, client = begin({"kind": "fail", "call": "symbol_select", "error": [-1, "no"]})
    assert client.symbol_select("EURUSD", True) is False
    assert client.last_error() == (-1, "no")


@pytest.mark.parametrize("executed", [True, False])
def test_return_code_tells_nothing_of_what_happened(executed: bool) -> None:
    _, client = begin({"kind": "retcode", "call": "order_send", "retcode": 10012, "executed": executed})
    done = client.order_send(deal("buy", 0.1))
    assert (done.retcode, done.request.volume) == (10012, 0.1)
    assert len(client.positions_get()) == executed
    assert bool(done.order) == executed


def test_twice_makes_two_deals_with_one_answer() -> None:
    terminal, client = begin({"kind": "twice", "call": "order_send"})
    done = client.order_send(deal("buy", 0.1, magic=5))
    assert done.retcode == 10009
    assert [position.magic for position in client.positions_get()] == [5, 5]
    assert kinds(terminal).count("request") == 2


@pytest.mark.parametrize("silent", [True, False])
def test_answer_is_lost_and_the_line_with_it(silent: bool) -> None:
    terminal, client = begin({"kind": "lost", "call": "order_send", "silent": silent})
    assert client.order_send(deal("buy", 0.1)) is None
    assert client.last_error() == (-10002, "IPC recv failed")
    assert terminal.take_owed() == (math.inf if silent else 0.0)
    assert client.positions_get() is None
    assert client.last_error()[0] == -10004
    assert client.initialize()
    assert len(client.positions_get()) == 1


@pytest.mark.parametrize("fault", [{"kind": "hang"}, {"kind": "lost", "executed": False}])
def test_request_that_got_nowhere_is_not_in_the_ledger(fault: dict[str, Any]) -> None:
    terminal, client = begin(fault | {"call": "order_send"})
    assert client.order_send(deal("buy", 0.1)) is None
    assert client.last_error()[0] == -10002
    assert "request" not in kinds(terminal)
    assert hits(terminal) == [1]


def test_hang_executes_nothing_and_owes_for_ever() -> None:
    terminal, client = begin({"kind": "hang", "call": "positions_get"})
    assert client.positions_get() is None
    assert terminal.take_owed() == math.inf
    assert terminal.take_owed() == 0.0


def test_delay_and_lateness_are_told_to_whoever_waits() -> None:
    terminal, client = begin(
        {"kind": "delay", "call": "positions_get", "seconds": 2.5, "nth": 2},
        {"kind": "late", "call": "account_info", "seconds": 4.0},
    )
    assert terminal.faults.delay_ahead(["account_info", "positions_get"]) == 0.0
    assert terminal.faults.delay_ahead(["positions_get", "positions_get"]) == 2.5
    assert client.account_info() is not None
    assert terminal.take_owed() == 4.0
    client.positions_get()
    assert terminal.faults.delay_ahead(["positions_get"]) == 2.5
    assert terminal.begin("positions_get").before == 2.5
    assert hits(terminal) == [1, 1]


def test_trigger_counts_calls_behind_its_time() -> None:
    fault = {"kind": "fail", "call": "*", "at": 5.0, "nth": 2, "count": 2}
    terminal, client = begin(fault)
    for _ in range(5):
        assert client.positions_get() == ()
    terminal.advance_to(105.0)
    answers = [client.positions_get() is None, client.orders_get() is None, client.account_info() is None]
    assert answers == [False, True, True]
    assert client.positions_get() == ()
    assert terminal.faults.hits()[0] == {"number": 1, "fault": fault, "hits": 2, "last_hit": 5.0}


def test_cut_off_from_the_broker_the_terminal_shows_what_it_knew() -> None:
    terminal, client = begin({"kind": "disconnect", "at": 1.0, "seconds": 10.0})
    ticket = client.order_send(deal("buy", 0.1, sl=1.095)).order
    terminal.advance_to(101.0)
    known = client.account_info()
    terminal.step()
    assert not client.terminal_info().connected
    assert client.account_info() == known
    assert [position.ticket for position in client.positions_get()] == [ticket]
    assert client.symbol_info_tick("EURUSD").bid == 1.1
    assert len(client.history_deals_get(position=ticket)) == 1
    for send in (deal("buy", 0.1), deal("sell", 0.1, position=ticket)):
        assert client.order_send(send).retcode == mt5.TRADE_RETCODE_CONNECTION
    # The broker's stop has fired meanwhile, and no request has reached it.
    assert kinds(terminal).count("request") == 1
    assert terminal.account.books.positions == {}
    terminal.advance_to(111.0)
    assert client.terminal_info().connected
    assert client.positions_get() == ()
    assert len(client.history_deals_get(position=ticket)) == 2


def test_positions_that_have_not_come_yet() -> None:
    terminal, client = begin({"kind": "unsynchronised", "at": 1.0, "seconds": 5.0, "shown": 1})
    for _ in range(3):
        client.order_send(deal("buy", 0.1))
    terminal.advance_to(101.0)
    assert (len(client.positions_get()), client.positions_total(), client.orders_get()) == (1, 1, ())
    assert client.account_info().margin > 0
    terminal.advance_to(106.0)
    assert client.positions_total() == 3


@pytest.mark.parametrize("by_hand", [False, True])
def test_positions_come_late_after_a_reconnect(by_hand: bool) -> None:
    lasting = {} if by_hand else {"seconds": 5.0}
    terminal, client = begin({"kind": "disconnect", "at": 1.0, "unsynchronised": 3.0, **lasting})
    client.order_send(deal("buy", 0.1))
    terminal.advance_to(101.0)
    assert (client.terminal_info().connected, client.positions_total()) == (False, 1)
    if by_hand:
        terminal.advance_to(105.9)
        terminal.faults.end(1)
    terminal.advance_to(106.0)
    assert (client.terminal_info().connected, client.positions_get(), client.positions_total()) == (True, (), 0)
    assert client.account_info().margin > 0
    terminal.advance_to(109.0)
    assert len(client.positions_get()) == 1


def test_restart_cuts_every_line_and_positions_come_late() -> None:
    terminal, client = begin({"kind": "restart", "at": 1.0, "seconds": 5.0, "unsynchronised": 3.0})
    client.order_send(deal("buy", 0.1))
    terminal.advance_to(101.0)
    assert client.positions_get() is None
    assert client.last_error()[0] == -10002
    assert not client.initialize()
    assert client.last_error()[0] == -10003
    terminal.advance_to(106.0)
    assert client.initialize()
    assert client.positions_get() == ()
    terminal.advance_to(109.0)
    assert len(client.positions_get()) == 1


def test_account_reading_may_be_wrong() -> None:
    terminal, client = begin(
        {"kind": "equity", "value": 0.0, "at": 1.0, "seconds": 1.0},
        {"kind": "equity", "value": "nan", "at": 3.0, "seconds": 1.0},
        {"kind": "login", "login": 77, "server": "Other", "at": 5.0, "seconds": 1.0},
    )
    honest = client.account_info()
    seen = []
    for second in range(1, 8):
        terminal.advance_to(100.0 + second)
        seen.append(client.account_info())
    assert seen[0].equity == 0.0
    assert math.isnan(seen[2].equity)
    assert (seen[4].login, seen[4].server) == (77, "Other")
    assert seen[1] == seen[3] == seen[5] == seen[6] == honest


def test_stops_are_lost_at_the_fill_alone() -> None:
    terminal, client = begin({"kind": "drop_stops", "seconds": 5.0})
    ticket = client.order_send(deal("buy", 0.1, sl=1.05, tp=1.2)).order
    (position,) = client.positions_get()
    assert (position.sl, position.tp) == (0.0, 0.0)
    change = {"action": mt5.TRADE_ACTION_SLTP, "position": ticket, "sl": 1.05, "tp": 1.2}
    assert client.order_send(change).retcode == 10009
    assert client.positions_get()[0].sl == 1.05
    terminal.advance_to(105.0)
    client.order_send(deal("buy", 0.1, sl=1.05))
    assert client.positions_get()[1].sl == 1.05


def test_ticks_stand_still_while_the_account_moves() -> None:
    terminal, client = begin({"kind": "freeze", "at": 1.0, "seconds": 5.0, "symbol": "EURUSD"})
    client.order_send(deal("buy", 0.1))
    terminal.advance_to(101.0)
    before = client.symbol_info_tick("EURUSD")
    terminal.step()
    assert client.symbol_info_tick("EURUSD") == before
    assert client.symbol_info("EURUSD").bid == 1.1
    assert client.account_info().profit == -101.0
    terminal.advance_to(106.0)
    assert client.symbol_info_tick("EURUSD").bid == 1.09


@pytest.mark.parametrize(
    ("fault", "retcode"),
    [
        ({"kind": "closed"}, mt5.TRADE_RETCODE_MARKET_CLOSED),
        ({"kind": "closed", "symbol": "EURUSD"}, mt5.TRADE_RETCODE_MARKET_CLOSED),
        ({"kind": "autotrading", "where": "terminal"}, mt5.TRADE_RETCODE_CLIENT_DISABLES_AT),
        ({"kind": "autotrading", "where": "server"}, mt5.TRADE_RETCODE_SERVER_DISABLES_AT),
        ({"kind": "partial", "share": 0.5}, mt5.TRADE_RETCODE_DONE_PARTIAL),
        ({"kind": "requote"}, mt5.TRADE_RETCODE_DONE),
    ],
)
def test_broker_refuses_while_it_lasts(fault: dict[str, Any], retcode: int) -> None:
    terminal, client = begin(fault | {"seconds": 5.0})
    send = deal("buy", 0.1, type_filling=mt5.ORDER_FILLING_IOC)
    assert client.order_send(send).retcode == retcode
    if fault["kind"] == "autotrading":
        shown = client.terminal_info().trade_allowed, bool(client.account_info().trade_expert)
        assert shown == (fault["where"] != "terminal", fault["where"] != "server")
    terminal.advance_to(105.0)
    assert client.order_send(send).retcode == mt5.TRADE_RETCODE_DONE


def test_requote_is_of_instant_execution() -> None:
    terminal, client = begin({"kind": "requote", "seconds": 5.0}, execution_mode=1)
    send = deal("buy", 0.1, price=1.10010, deviation=5)
    assert client.order_send(send).retcode == mt5.TRADE_RETCODE_REQUOTE
    terminal.advance_to(105.0)
    assert client.order_send(send).retcode == mt5.TRADE_RETCODE_DONE


def test_spread_explodes_at_the_broker() -> None:
    terminal, client = begin({"kind": "spread", "factor": 20.0, "seconds": 5.0})
    client.order_send(deal("buy", 0.1, sl=1.08950))
    terminal.step()
    tick = client.symbol_info_tick("EURUSD")
    # 1.09000 / 1.09010 is 20 times as wide around the same middle, and its bid reaches the stop.
    assert (tick.bid, tick.ask) == (1.08905, 1.09105)
    assert client.positions_get() == ()


def test_spread_of_one_symbol_leaves_the_others() -> None:
    pound = ("GBPUSD", 1.3, 1.3002)
    terminal, client = begin(
        {"kind": "spread", "factor": 20.0, "symbol": "GBPUSD"}, quotes=(FLAT, pound, FLAT, pound, FLAT)
    )
    for _ in range(2):
        terminal.step()
    ticks = [client.symbol_info_tick(symbol) for symbol in ("EURUSD", "GBPUSD")]
    assert [(tick.bid, tick.ask) for tick in ticks] == [(1.1, 1.1001), (1.2981, 1.3021)]


def test_another_program_refills() -> None:
    terminal, client = begin(
        {"kind": "refill", "symbol": "EURUSD", "side": "sell", "volume": 0.2, "every": 2.0, "at": 1.0, "seconds": 5.0}
    )
    seen = []
    for second in range(9):
        terminal.advance_to(100.0 + second)
        seen.append(client.positions_total())
    assert seen == [0, 1, 1, 2, 2, 3, 3, 3, 3]
    position = client.positions_get()[0]
    assert (position.magic, position.type, position.volume, position.reason) == (0, 1, 0.2, mt5.POSITION_REASON_CLIENT)
    assert hits(terminal) == [4]


def test_refills_that_nobody_looked_at_have_happened_all_the_same() -> None:
    refill = {"kind": "refill", "symbol": "EURUSD", "side": "sell", "volume": 0.2, "every": 2.0}
    terminal, client = begin(refill)
    terminal.advance_to(106.5)
    assert client.positions_total() == 4


def test_fault_that_was_ended_before_its_time_does_not_begin() -> None:
    terminal, client = begin({"kind": "cash", "amount": 5.0, "at": 2.0}, {"kind": "closed", "at": 2.0})
    for number in (1, 2):
        assert terminal.faults.end(number)
    terminal.advance_to(103.0)
    assert client.account_info().balance == 10_000.0
    assert client.order_send(deal("buy", 0.1)).retcode == mt5.TRADE_RETCODE_DONE
    assert hits(terminal) == [0, 0]


def test_only_the_named_symbol_s_ticks_freeze() -> None:
    pound = ("GBPUSD", 1.3, 1.3002)
    quotes = (FLAT, pound, FALL, ("GBPUSD", 1.2, 1.2002), FLAT)
    terminal, client = begin({"kind": "freeze", "symbol": "EURUSD"}, quotes=quotes)
    for _ in range(2):
        terminal.step()
    assert [client.symbol_info_tick(symbol).bid for symbol in ("EURUSD", "GBPUSD")] == [1.1, 1.2]


def test_refill_that_the_broker_refuses_is_no_effect() -> None:
    refill = {"kind": "refill", "symbol": "EURUSD", "side": "sell", "volume": 0.2, "every": 2.0}
    terminal, client = begin({"kind": "closed", "seconds": 3.0}, refill)
    terminal.advance_to(102.0)
    assert (client.positions_total(), hits(terminal)) == (0, [1, 1])
    terminal.advance_to(104.0)
    assert (client.positions_total(), hits(terminal)) == (1, [1, 2])


def test_cash_comes_once() -> None:
    terminal, client = begin({"kind": "cash", "amount": -2500.0, "at": 1.0, "comment": "Withdrawal"})
    terminal.advance_to(101.0)
    terminal.advance_to(102.0)
    assert client.account_info().balance == 7500.0
    last = client.history_deals_get(0, 2**33)[-1]
    assert (last.type, last.profit, last.comment) == (2, -2500.0, "Withdrawal")


def test_kill_saves_nothing_more(tmp_path: Path) -> None:
    plan = [read_fault({"kind": "kill", "at": 1.0})]
    terminal = PaperTerminal(ScriptedMarket([FLAT] * 50), speed=1.0, state=tmp_path, faults=plan)
    terminal.advance_to(100.0)
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    client.order_send(deal("buy", 0.1))
    terminal.advance_to(103.0)
    assert client.positions_get() is None
    assert client.last_error()[0] == -10002
    again = PaperTerminal(ScriptedMarket([FLAT] * 50), speed=1.0, state=tmp_path)
    assert (len(again.account.books.positions), again.ticks) == (1, 1)
    again.shutdown()


def test_fault_is_added_and_ended_by_hand() -> None:
    terminal, client = begin()
    number = terminal.add_fault(read_fault({"kind": "closed"}))
    terminal.advance_to(100.5)
    assert client.order_send(deal("buy", 0.1)).retcode == mt5.TRADE_RETCODE_MARKET_CLOSED
    assert terminal.faults.end(number)
    assert not terminal.faults.end(number + 1)
    failing = terminal.add_fault(read_fault({"kind": "fail", "call": "order_send", "count": 9}))
    terminal.advance_to(100.6)
    assert client.order_send(deal("buy", 0.1)) is None
    assert terminal.faults.end(failing)
    assert client.order_send(deal("buy", 0.1)).retcode == mt5.TRADE_RETCODE_DONE


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "closed", "symbol": "XAUUSD"}, "fault closed: symbol 'XAUUSD': expected one of EURUSD"),
        ({"kind": "refill", "symbol": "GBPUSD", "side": "buy", "volume": 1}, "fault refill: symbol 'GBPUSD'"),
        ({"kind": "cash", "amount": 5, "deal_type": 0}, "fault cash: deal_type 0: expected one of"),
    ],
)
def test_fault_that_is_not_of_this_market_is_refused_beforehand(fault: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        begin(fault)


def test_no_function_of_mt5_reaches_the_faults() -> None:
    terminal, client = begin()
    for name in ("fault", "faults", "end_fault", "cash", "ledger", "step", "begin"):
        assert terminal.handle(name, [{"kind": "kill"}], {}) == (None, (-1, "Terminal: Call failed"))
        assert name not in CONTRACT["methods"]
    client.order_send({**deal("buy", 0.1), "fault": {"kind": "kill"}, "kind": "kill"})
    assert terminal.alive
    assert terminal.faults.hits() == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[[fault]]\nkind = "explode"\n', "fault 1: kind"),
        ('[[fault]]\nkind = "closed"\n[[fault]]\nkind = "closed"\nsymbols = "X"\n', "fault 2: symbols"),
        ('[[fault]]\nkind = "delay"\ncall = "order_send"\n', "a delay needs seconds above 0"),
        ('[[fault]]\nkind = "hang"\ncall = "order_sent"\n', "call 'order_sent' is not a function of MetaTrader5"),
        ('[[fault]]\nkind = "retcode"\ncall = "positions_get"\n', "a retcode is of order_send"),
        ('[[fault]]\nkind = "spread"\nfactor = 0\n', "fault 1: factor"),
        ('[[fault]]\nkind = "equity"\n', "fault 1: value"),
        ('[[fault]]\nkind = "closed"\nat = -1\n', "fault 1: at"),
        ('[[fault]]\nkind = "closed"\nseconds = nan\n', "fault 1: seconds"),
        ('[[faults]]\nkind = "closed"\n', "expected [[fault]] tables and nothing else, found ['faults']"),
        ("fault = 3\n", "expected [[fault]] tables"),
        ("[[fault\n", "plan.toml"),
    ],
)
def test_plan_that_cannot_be_read_is_named_by_place(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError) as caught:
        load_plan(path)
    assert str(caught.value).startswith(str(path))
    assert place in str(caught.value)


def test_plan_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('[[fault]]\nkind = "late"\ncall = "*"\nseconds = 1\n[[fault]]\nkind = "equity"\nvalue = nan\n')
    assert [fault.kind for fault in load_plan(path)] == ["late", "equity"]
    with pytest.raises(PlanError, match=r"none\.toml: cannot be read"):
        load_plan(tmp_path / "none.toml")


calls = st.sampled_from(["order_send", "positions_get", "*"])
drawn_faults = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["lost", "fail", "twice", "hang"]),
                "call": calls,
                "nth": st.integers(1, 6),
                "count": st.integers(1, 3),
                "executed": st.sampled_from([None, True, False]),
            }
        ),
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["disconnect", "unsynchronised", "drop_stops", "closed", "requote", "freeze"]),
             "at": st.integers(0, 20), "seconds": st.integers(1, 9)}
        ),
        st.fixed_dictionaries({"kind": st.just("restart"), "at": st.integers(1, 20), "seconds": st.integers(1, 5)}),
        st.fixed_dictionaries({"kind": st.just("partial"), "share": st.sampled_from([0.0, 0.4])}),
        st.fixed_dictionaries({"kind": st.just("cash"), "amount": st.integers(-500, 500), "at": st.integers(0, 20)}),
        st.fixed_dictionaries(
            {"kind": st.just("refill"), "symbol": st.just("EURUSD"), "side": st.just("buy"), "volume": st.just(0.1),
             "every": st.integers(1, 4), "seconds": st.integers(1, 9)}
        ),
    ),
    max_size=6,
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(faults=drawn_faults, sides=st.lists(st.sampled_from(["buy", "sell", "close"]), min_size=3, max_size=20))
def test_ledger_is_the_truth_whatever_goes_wrong(faults: list[dict[str, Any]], sides: list[str]) -> None:
    quotes = [("EURUSD", 1.1 + step % 5 / 1000, 1.1001 + step % 5 / 1000) for step in range(30)]
    terminal = running(faults, quotes)
    client = PaperClient.in_process(terminal)
    for second, side in enumerate(sides):
        terminal.advance_to(100.0 + second)
        terminal.step()
        client.initialize()
        held = client.positions_get()
        if side != "close":
            client.order_send(deal(side, 0.1, type_filling=1, sl=1.05 if side == "buy" else 1.2))
        elif held:
            opposite = "sell" if held[0].type == 0 else "buy"
            client.order_send(deal(opposite, held[0].volume, position=held[0].ticket))
    live, again = terminal.account.books, Books(2)
    for row in json.loads(json.dumps(terminal.ledger())):
        again.apply(Record(*row))
    assert (again.balance, again.positions, again.orders) == (live.balance, live.positions, live.orders)
    assert again.history.deals == live.history.deals
