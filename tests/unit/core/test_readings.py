import math
from dataclasses import replace

import pytest

from engine.broker.base import BrokerError, Sweep
from engine.readings import NO_READING, Validity, judge
from tests.unit.core.makers import LOGIN, SERVER, TERMINAL, position, reading, sweep


def test_a_consistent_reading_of_the_expected_account_is_valid() -> None:
    judged = reading(9_950.0)
    assert judged.validity is Validity.VALID
    assert judged.equity == 9_950.0
    assert judged.equity_by_positions == 9_950.0


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["equity", "balance", "profit", "credit", "margin"])
def test_a_number_that_is_not_finite_makes_a_reading_invalid(field: str, broken: float) -> None:
    assert reading(**{field: broken}).validity is Validity.INVALID


def test_another_login_or_server_makes_a_reading_invalid_and_is_named() -> None:
    other = reading(login=LOGIN + 1)
    assert other.validity is Validity.INVALID
    assert str(LOGIN + 1) in other.reason
    assert reading(server="Elsewhere").validity is Validity.INVALID


def test_equity_that_is_not_balance_plus_credit_plus_profit_is_invalid() -> None:
    assert reading(9_000.0, profit=-500.0).validity is Validity.INVALID


def test_a_rounding_of_one_cent_is_not_an_inconsistency() -> None:
    assert reading(9_000.0, profit=-1_000.01).validity is Validity.VALID


def test_zero_equity_with_zero_balance_as_after_a_reconnect_is_invalid() -> None:
    assert reading(0.0, balance=0.0).validity is Validity.INVALID


def test_cached_values_of_a_disconnected_terminal_are_stale() -> None:
    assert reading(terminal=replace(TERMINAL, connected=False)).validity is Validity.STALE


def test_no_account_is_invalid_with_the_brokers_own_words() -> None:
    silent = Sweep(None, None, None, None, {}, (BrokerError("account_info", -10004, "No IPC connection"),))
    judged = judge(silent, login=LOGIN, server=SERVER, at=0.0)
    assert judged.validity is Validity.INVALID
    assert "-10004" in judged.reason
    with pytest.raises(ValueError, match="has no equity"):
        _ = judged.equity


def test_positions_that_could_not_be_read_leave_the_reading_without_a_second_witness() -> None:
    partly = replace(sweep(9_500.0), positions=None)
    judged = judge(partly, login=LOGIN, server=SERVER, at=0.0)
    assert judged.validity is Validity.VALID
    assert judged.equity_by_positions is None


def test_the_second_witness_counts_swap() -> None:
    judged = reading(9_500.0, positions=(position(-450.0, swap=-50.0),))
    assert judged.equity_by_positions == 9_500.0


def test_before_the_first_look_there_is_no_reading() -> None:
    assert NO_READING.validity is Validity.NONE
