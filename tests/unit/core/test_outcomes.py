import json
from pathlib import Path

import pytest

import engine.paper
from engine.broker.base import BrokerError, BrokerTimeout, GatewayUnavailable
from engine.broker.mt5 import NotSent
from engine.outcomes import DEFERRING_RETCODES, RETCODES, Outcome, of_error, of_retcode

CONTRACT = json.loads((Path(engine.paper.__file__).parent / "mt5_contract.json").read_text())


def test_every_retcode_of_the_real_module_is_in_the_table() -> None:
    real = {value for name, value in CONTRACT["constants"].items() if name.startswith("TRADE_RETCODE_")}
    assert real <= RETCODES.keys()


def test_the_only_retcode_beyond_the_module_is_the_documented_hedge_prohibition() -> None:
    real = {value for name, value in CONTRACT["constants"].items() if name.startswith("TRADE_RETCODE_")}
    assert RETCODES.keys() - real == {10046}


def test_a_retcode_nobody_documented_is_unknown_never_rejected() -> None:
    assert of_retcode(10999).outcome is Outcome.UNKNOWN
    assert of_retcode(0).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("retcode", [10011, 10012, 10031])
def test_timeout_error_and_lost_connection_are_unknown(retcode: int) -> None:
    assert of_retcode(retcode).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("retcode", [10008, 10023, 10028, 10039])
def test_what_was_accepted_is_in_flight_and_never_retried(retcode: int) -> None:
    assert of_retcode(retcode).outcome is Outcome.IN_FLIGHT


@pytest.mark.parametrize("code", [-1, -10000, -10001, -10002, -10005, -77])
def test_an_error_that_may_have_come_after_delivery_is_unknown(code: int) -> None:
    assert of_error(BrokerError("order_send", code, "")) is Outcome.UNKNOWN


def test_a_gateway_killed_at_its_deadline_is_unknown() -> None:
    assert of_error(BrokerTimeout("order_send", -10005, "deadline")) is Outcome.UNKNOWN


@pytest.mark.parametrize("code", [-2, -5, -6, -7, -8, -10003, -10004])
def test_an_error_the_client_gives_before_sending_is_not_sent(code: int) -> None:
    assert of_error(BrokerError("order_send", code, "")) is Outcome.NOT_SENT


def test_no_gateway_and_refused_arguments_are_not_sent() -> None:
    assert of_error(GatewayUnavailable("order_send", -10005, "")) is Outcome.NOT_SENT
    assert of_error(NotSent("order_send", -1, "SystemError")) is Outcome.NOT_SENT


def test_a_close_is_deferred_only_by_answers_that_block() -> None:
    assert all(RETCODES[code].outcome is Outcome.BLOCKED for code in DEFERRING_RETCODES)
