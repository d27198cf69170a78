"""The ledger of funds, used as the engine uses it, at a broker whose balance and deals appear when a test says so."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.base import Deal
from engine.broker.mt5 import DealType
from engine.cashflows import Booking, Shift, advance, blocks, book, settle
from engine.funds import OVERLAP_SECONDS, FundsState, begin, observe

NOW = 1_767_600_000
FLOWS = (2, 3, 4, 5, 6)
RESULTS = (0, 1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)


def deal(ticket: int, amount: float, type_: int = DealType.SELL, at: int = NOW, **changes: Any) -> Deal:
    made = Deal(
        ticket=ticket,
        order=ticket,
        position_id=1,
        symbol="EURUSD",
        type=int(type_),
        entry=1,
        reason=0,
        volume=1.0,
        price=1.1,
        profit=amount,
        commission=0.0,
        swap=0.0,
        fee=0.0,
        magic=0,
        comment="",
        time_msc=at * 1000,
    )
    return replace(made, **changes)


@dataclass
class Desk:
    """A broker, and guards of both kinds: one with a baseline of money, one with a peak that scales."""

    start: float = 10_000.0
    digits: int = 2
    floating: float = 0.0
    now: float = 100.0
    balance: float = field(init=False)
    credit: float = 0.0
    shown: list[Deal] = field(default_factory=list)
    peak: float = field(init=False)
    shifts: list[Shift] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    state: FundsState = field(init=False)

    def __post_init__(self) -> None:
        self.balance = self.peak = self.start
        self.state = begin(self.start, 0.0, (), server_time=NOW, currency_digits=self.digits)
        self.read()

    @property
    def equity(self) -> float:
        return self.balance + self.credit + self.floating

    @property
    def shifted(self) -> float:
        return round(sum(shift.amount for shift in self.shifts), 8)

    @property
    def drawdown(self) -> float:
        """Percent of the peak, by the equity that is held against limits."""
        equity = self.equity + self.state.relief
        return (1 - equity / self.peak) * 100

    def read(self, seconds: float = 0.1) -> float:
        self.now += seconds
        self.state = observe(self.state, self.balance, self.credit, self.equity, self.now)
        return self.state.unexplained

    def look(self, deals: Iterable[Deal] | None = None) -> Booking:
        asked = self.now
        self.read()
        self.state, booking = book(self.state, self.shown if deals is None else deals, asked)
        self.bookings.append(booking)
        self.apply(booking.shifts)
        return booking

    def advance(self) -> tuple[Shift, ...]:
        self.state, shifts = advance(self.state, self.now)
        self.apply(shifts)
        return shifts

    def settle(self, what: Literal["cash flow", "result"]) -> tuple[Shift, ...]:
        self.state, shifts = settle(self.state, what, self.now)
        self.apply(shifts)
        return shifts

    def apply(self, shifts: Iterable[Shift]) -> None:
        """What a guard whose drawdown in percent a flow must not change does with it (DESIGN, invariant 8)."""
        for shift in shifts:
            self.shifts.append(shift)
            self.peak *= shift.equity / (shift.equity - shift.amount)

    def wait(self, seconds: float) -> None:
        """Readings, looks and time, as a running engine has them."""
        until = self.now + seconds
        while self.now < until:
            self.look()
            self.advance()
            self.read(0.4)

    def restart(self) -> None:
        self.state = FundsState.from_json(self.state.to_json())
        self.now = 5.0
        self.read()

    @property
    def blocked(self) -> bool:
        return blocks(self.state, self.now)


# what is a flow


@pytest.mark.parametrize("type_", FLOWS)
def test_balance_credit_charge_correction_and_bonus_are_flows(type_: int) -> None:
    desk = Desk()
    desk.balance -= 50.0
    booking = desk.look([deal(1, -50.0, type_)])
    assert [item.amount for item in booking.flows] == [-50.0]
    assert booking.results == ()
    assert desk.shifted == -50.0
    assert desk.state.unexplained == 0.0


@pytest.mark.parametrize("type_", RESULTS)
def test_every_other_known_type_is_a_result_and_shifts_nothing(type_: int) -> None:
    desk = Desk()
    desk.balance -= 50.0
    booking = desk.look([deal(1, -50.0, type_)])
    assert [item.amount for item in booking.results] == [-50.0]
    assert (booking.flows, booking.shifts) == ((), ())
    assert desk.state.unexplained == 0.0


def test_the_two_lists_are_all_types_there_are() -> None:
    assert sorted((*FLOWS, *RESULTS)) == sorted(int(type_) for type_ in DealType)


def test_a_deals_money_is_its_profit_commission_swap_and_fee() -> None:
    desk = Desk()
    desk.balance += 92.75
    booking = desk.look([deal(1, 100.0, commission=-5.0, swap=-1.25, fee=-1.0)])
    assert [(item.ticket, item.time_msc, item.amount) for item in booking.results] == [(1, NOW * 1000, 92.75)]
    assert desk.state.unexplained == 0.0


def test_a_commission_at_opening_is_a_result() -> None:
    desk = Desk()
    desk.balance -= 3.5
    booking = desk.look([deal(1, 0.0, DealType.BUY, entry=0, commission=-3.5)])
    assert [item.amount for item in booking.results] == [-3.5]


def test_an_opening_that_moves_no_money_is_counted_without_a_movement() -> None:
    desk = Desk()
    assert desk.look([deal(1, 0.0, DealType.BUY, entry=0)]) == Booking()
    assert 1 in desk.state.counted


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", ["profit", "commission", "swap", "fee"])
def test_a_deal_whose_money_is_not_finite_is_not_counted_and_told_once(part: str, broken: float) -> None:
    desk = Desk()
    bad = replace(deal(9, 5.0, DealType.BALANCE), **{part: broken})  # type: ignore[arg-type]
    booking = desk.look([bad])
    assert (booking.flows, booking.results, booking.shifts) == ((), (), ())
    assert ["deal 9" in problem for problem in booking.problems] == [True]
    assert desk.look([bad]).problems == ()
    assert desk.state.settled == 10_000.0


def test_a_deal_of_an_unknown_type_is_left_to_the_operator() -> None:
    desk = Desk()
    desk.balance += 500.0
    desk.shown = [deal(9, 500.0, 18)]
    assert ["type 18" in problem for problem in desk.look().problems] == [True]
    desk.wait(2.0)
    assert desk.blocked
    assert desk.state.unexplained == 500.0


# once and only once


def test_a_deal_seen_twice_is_counted_once() -> None:
    desk = Desk()
    desk.balance += 5_000.0
    deposit = deal(1, 5_000.0, DealType.BALANCE)
    desk.look([deposit, deposit])
    desk.look([deposit])
    assert desk.shifted == 5_000.0
    assert desk.state.settled == 15_000.0


def test_a_restart_does_not_count_a_deal_again() -> None:
    desk = Desk()
    desk.balance += 5_000.0
    desk.shown = [deal(1, 5_000.0, DealType.BALANCE)]
    desk.look()
    desk.restart()
    desk.look()
    assert desk.shifted == 5_000.0
    assert desk.read() == 0.0


def test_a_state_stored_before_a_deal_counts_it_after_the_restart() -> None:
    desk = Desk()
    stored = desk.state.to_json()
    desk.balance += 5_000.0
    desk.shown = [deal(1, 5_000.0, DealType.BALANCE)]
    desk.look()
    desk.state, desk.shifts, desk.peak = FundsState.from_json(stored), [], 10_000.0
    desk.read()
    desk.look()
    assert (desk.shifted, desk.peak, desk.state.unexplained) == (5_000.0, 15_000.0, 0.0)


def test_a_deal_that_the_broker_changes_is_counted_by_the_difference() -> None:
    desk = Desk()
    desk.balance += 90.0
    desk.look([deal(1, 100.0)])
    booking = desk.look([deal(1, 90.0)])
    assert [item.amount for item in booking.results] == [-10.0]
    assert desk.state.unexplained == 0.0


def test_a_result_that_is_turned_into_a_flow_shifts_the_baselines() -> None:
    desk = Desk()
    desk.balance += 100.0
    desk.look([deal(1, 100.0)])
    booking = desk.look([deal(1, 100.0, DealType.CORRECTION)])
    assert [item.amount for item in booking.results] == [-100.0]
    assert [item.amount for item in booking.flows] == [100.0]
    assert (desk.shifted, desk.state.unexplained) == (100.0, 0.0)


def test_a_deal_shown_out_of_order_within_the_overlap_is_counted() -> None:
    desk = Desk()
    desk.balance += 30.0
    desk.look([deal(2, 10.0, at=NOW + 3600)])
    desk.look([deal(1, 20.0, at=NOW)])
    assert desk.state.unexplained == 0.0


def test_a_deal_made_after_the_brokers_clock_went_back_an_hour_is_counted() -> None:
    desk = Desk()
    desk.balance += 30.0
    desk.look([deal(1, 10.0, at=NOW)])
    later = deal(2, 20.0, at=NOW - 3599)
    assert later.time_msc // 1000 >= desk.state.look_from
    desk.look([later])
    assert desk.state.unexplained == 0.0


def test_deals_older_than_the_overlap_are_taken_as_counted() -> None:
    desk = Desk()
    assert desk.look([deal(1, 77.0, at=NOW - OVERLAP_SECONDS - 1)]) == Booking()


def test_after_a_long_time_away_all_new_deals_are_counted_however_far_apart() -> None:
    desk = Desk()
    desk.balance += 60.0
    deals = [deal(number, 20.0, at=NOW + number * 100_000) for number in (1, 2, 3)]
    desk.look(deals)
    assert desk.state.unexplained == 0.0
    assert list(desk.state.counted) == [3]


def test_only_deals_within_the_overlap_are_remembered() -> None:
    desk = Desk()
    for number in range(1, 200):
        desk.look([deal(number, 0.0, at=NOW + number * 600)])
    assert len(desk.state.counted) == OVERLAP_SECONDS // 600 + 1


def test_what_is_there_at_the_beginning_is_settled() -> None:
    before = [deal(1, 10_000.0, DealType.BALANCE, NOW - 50), deal(2, math.nan, at=NOW - 40)]
    state = begin(10_000.0, 250.0, before, server_time=NOW, currency_digits=2)
    assert (state.settled, state.newest) == (10_250.0, NOW - 40)
    state = observe(state, 10_000.0, 250.0, 10_250.0, 1.0)
    assert book(state, before, 1.0)[1] == Booking()


# a step and its deal, in either order


def test_a_deal_that_comes_before_its_money_neither_blocks_nor_trips_nor_raises_a_peak() -> None:
    desk = Desk(floating=-1_000.0)
    before = desk.drawdown
    desk.look([deal(1, 5_000.0, DealType.BALANCE)])
    assert desk.state.unexplained == -5_000.0
    assert not desk.blocked
    assert desk.drawdown == pytest.approx(before)
    assert min(desk.equity, desk.equity - desk.state.unexplained) == 9_000.0
    desk.balance += 5_000.0
    assert desk.read() == 0.0
    assert desk.drawdown == pytest.approx(before)
    assert desk.peak == pytest.approx(10_000.0 * 14_000.0 / 9_000.0)


def test_a_withdrawal_is_not_held_against_a_limit_while_its_deal_is_late() -> None:
    desk = Desk(floating=-700.0)
    before = desk.drawdown
    desk.balance -= 4_000.0
    desk.read()
    assert (desk.state.unexplained, desk.state.relief) == (-4_000.0, 4_000.0)
    desk.floating -= 300.0
    desk.read()
    assert desk.state.relief == 4_000.0
    assert desk.drawdown == pytest.approx(before + 3.0)
    desk.floating += 800.0
    desk.read()
    assert desk.state.relief == 4_000.0


def test_a_position_closed_at_a_loss_is_held_against_a_limit_although_its_deal_is_late() -> None:
    desk = Desk(floating=-700.0)
    before = desk.drawdown
    desk.balance, desk.floating = desk.balance - 700.0, 0.0
    desk.read()
    assert (desk.state.unexplained, desk.state.relief) == (-700.0, 0.0)
    desk.balance -= 50.0
    desk.read(3_600.0)
    assert (desk.state.unexplained, desk.state.relief) == (-750.0, 50.0)
    assert desk.drawdown == pytest.approx(before)


def test_what_the_market_did_while_one_loss_was_booked_does_not_hide_the_next() -> None:
    desk = Desk(floating=-1_000.0)
    desk.balance, desk.floating = desk.balance - 700.0, -340.0
    desk.read()
    assert desk.state.relief == pytest.approx(40.0)
    desk.look([deal(1, -700.0)])
    desk.balance, desk.floating = desk.balance - 340.0, 0.0
    desk.read()
    assert (desk.state.unexplained, desk.state.relief) == (-340.0, 0.0)


def test_no_more_is_relieved_than_is_missing() -> None:
    desk = Desk(floating=-1_000.0)
    desk.balance, desk.floating = desk.balance - 700.0, -340.0
    desk.look([deal(1, -690.0)])
    assert (desk.state.unexplained, desk.state.relief) == (-10.0, 10.0)


def test_what_was_withdrawn_while_nothing_ran_is_not_held_against_a_limit_before_the_deals_were_looked_at() -> None:
    desk = Desk()
    desk.balance -= 4_000.0
    desk.restart()
    assert (desk.state.unexplained, desk.state.relief) == (-4_000.0, 4_000.0)
    desk.look([deal(1, -2_500.0, DealType.BALANCE), deal(2, -1_500.0)])
    assert (desk.state.unexplained, desk.state.relief, desk.shifted) == (0.0, 0.0, -2_500.0)


def test_a_loss_and_a_withdrawal_at_once_are_told_apart_by_the_equity() -> None:
    desk = Desk(floating=-700.0)
    desk.balance, desk.floating = desk.balance - 2_700.0, 0.0
    desk.read()
    assert (desk.state.unexplained, desk.state.relief) == (-2_700.0, 2_000.0)
    desk.look([deal(1, -2_000.0, DealType.BALANCE)])
    assert (desk.state.unexplained, desk.state.relief) == (-700.0, 0.0)
    desk.look([deal(2, -700.0)])
    assert (desk.state.unexplained, desk.state.relief) == (0.0, 0.0)


def test_money_that_has_come_without_a_deal_relieves_nothing() -> None:
    desk = Desk()
    desk.balance += 4_000.0
    desk.read()
    assert desk.state.relief == 0.0


def test_money_that_comes_before_its_deal_is_unexplained_until_then() -> None:
    desk = Desk()
    desk.balance += 5_000.0
    assert desk.read() == 5_000.0
    desk.look([deal(1, 5_000.0, DealType.BALANCE)])
    assert desk.state.unexplained == 0.0
    assert not desk.blocked


def test_a_step_and_its_undoing_between_two_readings_is_nothing() -> None:
    desk = Desk()
    desk.look([deal(1, 5_000.0, DealType.BALANCE), deal(2, -5_000.0, DealType.BALANCE)])
    assert (desk.state.unexplained, desk.shifted) == (0.0, 0.0)
    assert desk.peak == pytest.approx(10_000.0)


def test_the_worked_example_a_withdrawal_leaves_ten_percent_ten_percent() -> None:
    desk = Desk(start=9_000.0)
    desk.peak = 10_000.0
    desk.balance -= 5_000.0
    desk.look([deal(1, -5_000.0, DealType.BALANCE)])
    assert desk.drawdown == pytest.approx(10.0)


def test_several_flows_at_once_leave_the_drawdown_as_it_was() -> None:
    desk = Desk(floating=-700.0)
    before = desk.drawdown
    desk.balance += 4_000.0
    desk.credit += 1_000.0
    deals = [
        deal(1, 5_000.0, DealType.BALANCE),
        deal(2, 1_500.0, DealType.CREDIT),
        deal(3, -1_000.0, DealType.BALANCE),
        deal(4, -500.0, DealType.CREDIT),
    ]
    desk.look(deals)
    assert desk.drawdown == pytest.approx(before)
    assert [shift.ticket for shift in desk.shifts] == [1, 2, 3, 4]
    assert [shift.equity for shift in desk.shifts] == [14_300.0, 15_800.0, 14_800.0, 14_300.0]


def test_a_stop_out_covered_by_credit_is_a_loss_and_a_flow_of_credit() -> None:
    desk = Desk(start=100.0)
    desk.credit += 50.0
    desk.look([deal(1, 50.0, DealType.CREDIT)])
    desk.balance, desk.credit = 0.0, 30.0
    booking = desk.look(
        [deal(2, -120.0, reason=6), deal(3, 20.0, DealType.CORRECTION), deal(4, -20.0, DealType.CREDIT)]
    )
    assert [item.amount for item in booking.results] == [-120.0]
    assert desk.state.unexplained == 0.0
    assert desk.shifted == 50.0


# time


def test_a_step_blocks_after_a_second_when_the_deals_were_looked_at_since() -> None:
    desk = Desk()
    desk.balance += 500.0
    desk.read()
    began = desk.now
    while desk.now < began + 1.0:
        desk.look([])
        assert not desk.blocked
    desk.look([])
    assert desk.blocked


def test_without_a_look_at_the_deals_a_step_blocks_only_after_five_seconds() -> None:
    desk = Desk()
    desk.balance += 500.0
    desk.read()
    desk.read(4.9)
    assert not desk.blocked
    desk.read(0.2)
    assert desk.blocked


def test_a_step_that_was_not_looked_for_does_not_become_provisional() -> None:
    desk = Desk()
    desk.balance += 500.0
    desk.read()
    desk.read(3600.0)
    assert desk.advance() == ()
    assert desk.state.unexplained == 500.0


def test_after_readings_were_missing_a_step_counts_from_when_it_was_first_seen() -> None:
    desk = Desk()
    desk.balance += 500.0
    desk.read(600.0)
    assert not desk.blocked
    desk.look([])
    assert not desk.blocked


def test_a_flatten_whose_deals_lag_behind_its_money_does_not_block() -> None:
    desk = Desk()
    due: list[tuple[float, Deal]] = []
    for number in range(1, 200):
        desk.balance -= 10.0
        due.append((desk.now + 0.8, deal(number, -10.0)))
        desk.look([made for at, made in due if at <= desk.now])
        assert not desk.blocked
        assert desk.advance() == ()
        desk.read(0.1)
    desk.wait(0.9)
    desk.look([made for _, made in due])
    assert desk.state.unexplained == 0.0


def test_what_is_remembered_of_readings_does_not_grow() -> None:
    desk = Desk()
    for number in range(1, 500):
        desk.balance -= 1.0
        desk.look([deal(number, -1.0)])
    assert len(desk.state.reading.levels) <= 110


def test_a_step_without_a_deal_is_seen_although_trading_goes_on() -> None:
    desk = Desk()
    desk.balance += 777.0
    for number in range(1, 14):
        desk.balance -= 10.0
        desk.shown.append(deal(number, -10.0))
        desk.look()
    assert desk.blocked
    assert desk.state.unexplained == 777.0


def test_after_ten_seconds_a_step_is_provisional_with_the_drawdown_unchanged_and_still_blocks() -> None:
    desk = Desk(floating=-500.0)
    before = desk.drawdown
    desk.balance -= 4_000.0
    desk.wait(9.0)
    assert desk.shifts == []
    desk.wait(2.5)
    assert [(shift.kind, shift.amount, shift.equity) for shift in desk.shifts] == [("provisional", -4_000.0, 5_500.0)]
    assert (desk.state.provisional, desk.state.unexplained) == (-4_000.0, 0.0)
    assert desk.drawdown == pytest.approx(before)
    assert desk.blocked
    desk.restart()
    assert desk.blocked
    assert desk.read() == 0.0


def test_what_moved_while_a_step_was_waited_for_waits_for_its_own_deals() -> None:
    desk = Desk(floating=-500.0)
    desk.balance -= 4_000.0
    desk.wait(9.5)
    desk.balance -= 25.0
    desk.wait(2.0)
    assert [(shift.kind, shift.amount) for shift in desk.shifts] == [("provisional", -4_000.0)]
    assert (desk.state.provisional, desk.state.unexplained) == (-4_000.0, -25.0)
    desk.wait(10.0)
    assert (desk.state.provisional, desk.state.unexplained) == (-4_025.0, 0.0)


def provisional(amount: float = 5_000.0, floating: float = 0.0) -> Desk:
    desk = Desk(floating=floating)
    desk.peak = 12_000.0
    desk.balance += amount
    desk.wait(12.0)
    assert desk.state.provisional == amount
    return desk


def test_a_late_flow_takes_the_place_of_the_provisional_one_and_shifts_nothing() -> None:
    desk = provisional()
    desk.floating = -333.0
    assert desk.look([deal(1, 5_000.0, DealType.BALANCE)]).shifts == ()
    assert (desk.state.provisional, desk.blocked, desk.shifted) == (0.0, False, 5_000.0)


@pytest.mark.parametrize("amount", [5_000.0, -4_000.0])
def test_a_late_result_undoes_the_provisional_shift_exactly_whatever_equity_did_since(amount: float) -> None:
    desk = provisional(amount)
    desk.floating = -2_345.67
    booking = desk.look([deal(1, amount)])
    assert [(shift.kind, shift.amount) for shift in booking.shifts] == [("undone", -amount)]
    assert desk.peak == pytest.approx(12_000.0, rel=1e-12)
    assert (desk.state.provisional, desk.blocked, desk.shifted) == (0.0, False, 0.0)


def test_a_late_flow_and_a_late_result_share_out_the_provisional_amount() -> None:
    desk = provisional(5_000.0)
    booking = desk.look([deal(1, 4_900.0, DealType.BALANCE)])
    assert (booking.shifts, desk.state.provisional) == ((), 100.0)
    desk.look([deal(2, 100.0)])
    assert (desk.shifted, desk.state.provisional, desk.blocked) == (4_900.0, 0.0, False)
    assert desk.peak == pytest.approx(12_000.0 * 14_900.0 / 10_000.0)


def test_a_new_flow_beside_the_late_one_is_shifted_by_itself() -> None:
    desk = provisional()
    desk.balance += 1_000.0
    booking = desk.look([deal(1, 1_000.0, DealType.BALANCE), deal(2, 5_000.0, DealType.BALANCE)])
    assert [(shift.ticket, shift.amount) for shift in booking.shifts] == [(1, 1_000.0)]
    assert desk.peak == pytest.approx(12_000.0 * 1.6)


def test_trades_while_a_step_is_provisional_leave_it_alone() -> None:
    desk = provisional()
    for number, amount in enumerate((-37.0, 60.0, -5.0), start=1):
        desk.balance += amount
        desk.look([deal(number, amount)])
        desk.wait(2.0)
    assert (desk.state.provisional, desk.shifted, desk.state.unexplained) == (5_000.0, 5_000.0, 0.0)


def test_a_provisional_step_that_goes_back_by_itself_is_nothing_held() -> None:
    desk = provisional()
    desk.balance -= 5_000.0
    desk.wait(3.0)
    assert (desk.state.held, desk.shifted, desk.blocked) == ((), 0.0, False)
    assert desk.peak == pytest.approx(12_000.0)


def test_a_second_deposit_as_large_as_the_provisional_one_is_not_taken_for_it_when_its_money_is_there() -> None:
    desk = provisional()
    desk.balance += 5_000.0
    desk.look([deal(1, 5_000.0, DealType.BALANCE)])
    assert (desk.state.provisional, desk.shifted, desk.state.unexplained) == (5_000.0, 10_000.0, 0.0)


def test_no_more_of_what_is_provisional_is_let_go_than_the_deals_amount_to() -> None:
    desk = provisional()
    desk.balance -= 400.0
    desk.look([deal(1, 100.0)])
    assert (desk.state.provisional, desk.state.unexplained) == (4_900.0, -400.0)


def test_several_provisional_steps_whose_deals_come_in_other_parts_are_all_explained_at_once() -> None:
    desk = provisional(5_000.0)
    desk.balance -= 2_000.0
    desk.wait(12.0)
    assert [item.amount for item in desk.state.held] == [5_000.0, -2_000.0]
    parts = [deal(number, amount, DealType.BALANCE) for number, amount in enumerate((4_000.0, 1_000.0, -2_000.0), 1)]
    assert desk.look(parts).shifts == ()
    assert (desk.state.held, desk.shifted) == ((), 3_000.0)


# the operator's word


def test_settled_as_a_cash_flow_shifts_nothing_more_and_lifts_the_block() -> None:
    desk = provisional()
    assert desk.settle("cash flow") == ()
    assert (desk.blocked, desk.shifted, desk.read()) == (False, 5_000.0, 0.0)
    desk.restart()
    assert (desk.blocked, desk.read()) == (False, 0.0)


def test_settled_as_a_result_takes_the_shift_back() -> None:
    desk = provisional()
    desk.floating = 123.0
    assert [shift.amount for shift in desk.settle("result")] == [-5_000.0]
    assert desk.peak == pytest.approx(12_000.0)
    assert (desk.blocked, desk.shifted, desk.read()) == (False, 0.0, 0.0)


@pytest.mark.parametrize(("what", "shifted"), [("cash flow", 5_000.0), ("result", 0.0)])
def test_a_step_that_blocks_can_be_settled_before_it_is_provisional(
    what: Literal["cash flow", "result"], shifted: float
) -> None:
    desk = Desk()
    desk.balance += 5_000.0
    desk.wait(2.0)
    assert desk.blocked
    desk.settle(what)
    assert (desk.blocked, desk.shifted, desk.read(), desk.state.provisional) == (False, shifted, 0.0, 0.0)
    desk.wait(15.0)
    assert (desk.blocked, desk.shifted) == (False, shifted)


@pytest.mark.parametrize("said", ["cash flow", "result"])
@pytest.mark.parametrize(("type_", "shifted"), [(DealType.BALANCE, 5_000.0), (DealType.SELL, 0.0)])
def test_the_deal_that_comes_after_all_is_believed_over_the_operator(
    said: Literal["cash flow", "result"], type_: DealType, shifted: float
) -> None:
    desk = provisional()
    desk.settle(said)
    desk.restart()
    desk.look([deal(1, 5_000.0, type_)])
    assert (desk.state.held, desk.shifted, desk.blocked, desk.read()) == ((), shifted, False, 0.0)


def test_a_new_step_does_not_hide_behind_what_an_operator_settled() -> None:
    desk = provisional()
    desk.settle("cash flow")
    desk.balance -= 37.0
    desk.wait(2.0)
    assert desk.blocked
    assert desk.state.unexplained == -37.0


def test_a_deal_that_comes_before_its_money_leaves_the_operators_word_alone() -> None:
    desk = provisional()
    desk.settle("cash flow")
    desk.look([deal(1, 37.0)])
    desk.balance += 37.0
    assert (desk.read(), desk.state.settled, desk.shifted) == (0.0, 15_037.0, 5_000.0)
    assert [item.amount for item in desk.state.held] == [5_000.0]


def test_money_that_comes_before_its_deal_leaves_the_operators_word_alone() -> None:
    desk = provisional(-3.0)
    desk.settle("result")
    desk.balance += 3.0
    desk.read()
    assert desk.advance() == ()
    desk.look([deal(1, 3.0)])
    assert [item.amount for item in desk.state.held] == [-3.0]
    assert (desk.state.unexplained, desk.blocked) == (0.0, False)


def test_there_is_nothing_to_settle_while_deals_explain_everything() -> None:
    with pytest.raises(ValueError, match="nothing to settle"):
        Desk().settle("result")


def test_a_step_that_may_yet_be_explained_cannot_be_settled() -> None:
    desk = Desk()
    desk.balance += 1.0
    desk.read()
    with pytest.raises(ValueError, match="nothing to settle"):
        desk.settle("cash flow")


# currencies


@pytest.mark.parametrize(("digits", "unit"), [(0, 1.0), (2, 0.01), (3, 0.001), (8, 0.00000001)])
def test_one_unit_is_a_rounding_and_two_are_a_step(digits: int, unit: float) -> None:
    desk = Desk(start=1.0, digits=digits)
    desk.balance += unit
    assert desk.read() == 0.0
    desk.balance += unit
    assert desk.read() == pytest.approx(2 * unit, abs=0.0)


def test_roundings_of_many_deals_do_not_add_up_to_a_step() -> None:
    desk = Desk()
    for number in range(1, 1_000):
        desk.balance = round(desk.balance - 0.03, 2)
        desk.look([deal(number, 0.0, DealType.BUY, commission=-0.035)])
        assert desk.state.unexplained == 0.0


def test_a_leak_of_one_cent_at_a_time_without_deals_is_a_step() -> None:
    desk = Desk()
    for _ in range(3):
        desk.balance = round(desk.balance - 0.01, 2)
        desk.read()
    assert desk.state.unexplained == pytest.approx(-0.03)


@given(st.lists(st.integers(-99_999, 99_999), max_size=300))
def test_binary_fractions_do_not_add_up(cents: list[int]) -> None:
    desk = Desk(start=1_000_000.0)
    for number, amount in enumerate(cents, start=1):
        desk.balance += amount / 100
        desk.look([deal(number, amount / 100)])
    assert desk.state.settled == round(1_000_000 + sum(cents) / 100, 2)


# its stored form


def test_it_is_found_again_as_it_was_but_for_what_is_of_this_run() -> None:
    desk = provisional()
    desk.look([deal(1, 12.5), deal(2, -3.0, DealType.CHARGE)])
    found = FundsState.from_json(desk.state.to_json())
    assert found == replace(desk.state, seen=None)


def _stored(**changes: Any) -> str:
    desk = provisional()
    desk.look([deal(1, 12.5)])
    return json.dumps({**json.loads(desk.state.to_json()), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        _stored(more=1),
        _stored(explained="1"),
        _stored(explained=True),
        _stored(newest=-1),
        _stored(newest=1.5),
        _stored(currency_digits=9),
        _stored(counted=[[1, 2, 3.0]]),
        _stored(counted=[[1, 2, 3.0, 1]]),
        _stored(counted=[[1, 2, 3.0, True], [1, 2, 3.0, True]]),
        _stored(counted=None),
        _stored(held=[{"kind": "gift", "amount": 1.0, "equity": 1.0}]),
        _stored(held=[{"kind": "result", "amount": 1.0}]),
        _stored().replace("12.5", "NaN"),
        _stored().replace("12.5", "Infinity"),
    ],
)
def test_what_is_not_its_stored_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stored funds"):
        FundsState.from_json(text)


@pytest.mark.parametrize("numbers", [(math.nan, 0.0, 1.0), (1.0, math.inf, 1.0), (1.0, 0.0, math.nan)])
def test_a_reading_that_is_no_number_is_refused(numbers: tuple[float, float, float]) -> None:
    state = begin(1.0, 0.0, (), server_time=NOW, currency_digits=2)
    with pytest.raises(ValueError, match="valid readings"):
        observe(state, *numbers, at=1.0)


def test_deals_cannot_be_booked_before_a_reading() -> None:
    state = begin(1.0, 0.0, (), server_time=NOW, currency_digits=2)
    with pytest.raises(ValueError, match="no reading"):
        book(state, [deal(1, 1.0)], 0.0)


# any interleaving


@dataclass
class Truth:
    """What the broker knows: which deals there are, which of them are shown, and whose money is in the balance."""

    deals: list[Deal] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)
    unpaid: set[int] = field(default_factory=set)

    def flows(self) -> float:
        return round(sum(item.profit for item in self.deals if item.type in FLOWS), 8)

    def settle_up(self, desk: Desk) -> None:
        desk.shown = [item for item in self.deals if item.ticket not in self.hidden]
        paid = sum(item.profit for item in self.deals if item.ticket not in self.unpaid)
        desk.balance = round(desk.start + paid, 2)


def _equal_at_every_moment(desk: Desk) -> None:
    flows = sum(item.amount for booking in desk.bookings for item in booking.flows)
    held = sum(item.amount for item in desk.state.held if item.kind != "result")
    assert desk.shifted == pytest.approx(flows + held, abs=1e-6)


AMOUNTS = st.integers(-300, 300).filter(bool).map(lambda units: float(units * 10))
MADE = st.tuples(st.just("made"), st.sampled_from([*FLOWS, 0, 1, 7, 12, 17]), AMOUNTS, st.booleans(), st.booleans())
STEPS = st.one_of(
    MADE,
    st.tuples(st.just("shown"), st.integers(0, 20)),
    st.tuples(st.just("paid"), st.integers(0, 20)),
    st.tuples(st.just("changed"), st.integers(0, 20), AMOUNTS),
    st.tuples(st.just("look"), st.randoms(use_true_random=False)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.9, 3.0, 12.0])),
    st.tuples(st.just("restart")),
    st.tuples(st.just("killed")),
    st.tuples(st.just("settle"), st.sampled_from(["cash flow", "result"])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_once_all_deals_have_been_seen_all_is_explained_and_only_flows_have_shifted(steps: list[Any]) -> None:
    desk, truth = Desk(start=100_000.0), Truth()
    kept = (desk.state.to_json(), list(desk.shifts), list(desk.bookings))
    for step in steps:
        match step:
            case ("made", type_, amount, hidden, unpaid):
                ticket = len(truth.deals) + 1
                truth.deals.append(deal(ticket, amount, type_, NOW + ticket))
                truth.hidden |= {ticket} if hidden else set()
                truth.unpaid |= {ticket} if unpaid else set()
            case ("shown", ticket):
                truth.hidden.discard(ticket)
            case ("paid", ticket):
                truth.unpaid.discard(ticket)
            case ("changed", place, amount) if place < len(truth.deals):
                truth.deals[place] = replace(truth.deals[place], profit=amount)
            case ("look", order):
                truth.settle_up(desk)
                seen = desk.shown * 2
                order.shuffle(seen)
                desk.look(seen)
            case ("wait", seconds):
                truth.settle_up(desk)
                desk.wait(seconds)
            case ("restart",):
                desk.restart()
                kept = (desk.state.to_json(), list(desk.shifts), list(desk.bookings))
            case ("killed",):
                state, desk.shifts, desk.bookings = kept[0], list(kept[1]), list(kept[2])
                desk.state = FundsState.from_json(state)
                desk.restart()
            case ("settle", what) if desk.blocked:
                desk.settle(what)
        _equal_at_every_moment(desk)
        assert 0 <= desk.state.relief <= max(0.0, -desk.state.unexplained)
    truth.hidden, truth.unpaid = set(), set()
    truth.settle_up(desk)
    desk.wait(13.0)
    assert (desk.read(), desk.state.provisional, desk.state.held, desk.blocked) == (0.0, 0.0, (), False)
    assert desk.shifted == pytest.approx(truth.flows(), abs=1e-6)
    assert desk.state.settled == pytest.approx(desk.balance, abs=1e-6)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(FLOWS), max_size=9),
    st.lists(
        st.tuples(st.sampled_from(["made", "shown", "paid", "look", "wait", "restart"]), st.integers(1, 9)),
        max_size=40,
    ),
    st.integers(-3_000, 0),
    st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_flows_never_change_the_drawdown_in_percent(
    types: list[int], steps: list[tuple[str, int]], floating: int, withdrawn: list[bool]
) -> None:
    # Amounts are different powers of two, so that no deal can be taken for others; money that a deal has announced
    # comes within seconds.
    desk, truth = Desk(start=100_000.0, floating=float(floating)), Truth()
    before = desk.drawdown
    for what, number in [*steps, ("all", 0), ("wait", 12)]:
        if what == "made" and len(truth.deals) < len(types):
            ticket = len(truth.deals) + 1
            amount = (-1.0 if withdrawn[ticket - 1] else 1.0) * 2.0 ** (ticket + 4)
            truth.deals.append(deal(ticket, amount, types[ticket - 1], NOW + ticket))
            truth.hidden.add(ticket)
            truth.unpaid.add(ticket)
        truth.hidden -= {number} if what == "shown" else set()
        truth.unpaid -= {number} if what == "paid" else set()
        if what == "all":
            truth.hidden = set()
        if what in ("all", "wait"):
            truth.unpaid &= truth.hidden
        truth.settle_up(desk)
        if what == "look":
            desk.look()
        elif what == "wait":
            desk.wait(float(number))
        elif what == "restart":
            desk.restart()
        else:
            desk.read()
        percent = (1 - desk.state.equity / desk.peak) * 100
        assert percent == pytest.approx(before, abs=1e-6)
        assert desk.state.relief == pytest.approx(max(0.0, -desk.state.unexplained), abs=1e-6)
    assert desk.drawdown == pytest.approx(before, abs=1e-6)
    assert desk.state.held == ()
