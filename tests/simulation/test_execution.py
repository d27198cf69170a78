"""Orders are executed once: lost answers, late answers, retries, epochs, stops."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.broker.connection import Frame
from engine.control import messages as wire
from engine.paper.terminal import PaperTerminal, TerminalConfig
from engine.signals import SignalState
from tests.simulation.virtual import run_virtual
from tests.simulation.world import World, opened_volume, world


class Struct:
    """A struct as the broker module returns it, with other values."""

    def __init__(self, honest: Any, **changes: Any) -> None:
        self._values = {**honest._asdict(), **changes}

    def _asdict(self) -> dict[str, Any]:
        return self._values


def is_opening(request: dict[str, Any]) -> bool:
    return request["action"] == 1 and "position" not in request


class Answers:
    """Replaces the answer to the next openings; the order itself is executed or not."""

    def __init__(self, *, executed: bool, times: int = 1, error: int | None = None, **changes: Any) -> None:
        self.executed, self.times, self.error, self.changes = executed, times, error, changes
        self.hits = 0

    def __call__(self, honest: Any, request: dict[str, Any]) -> Any:
        if not is_opening(request) or self.hits >= self.times:
            return honest(request)
        self.hits += 1
        reply = honest(request) if self.executed else None
        if self.error is not None:
            return None
        template = reply if reply is not None else _template
        return Struct(template, **self.changes)

    def last_error(self, honest: Any) -> Any:
        return (self.error, "injected") if self.error is not None and self.hits else honest()


class _Template:
    def _asdict(self) -> dict[str, Any]:
        names = ("retcode", "deal", "order", "request_id", "retcode_external")
        return {**dict.fromkeys(names, 0), "volume": 0.0, "price": 0.0, "bid": 0.0, "ask": 0.0, "comment": ""}


_template = _Template()


async def send_one(made: World) -> Any:
    signal = await made.engine.proposals.take(made.buy())
    assert (await made.approve(signal)).accepted
    return signal


@pytest.mark.parametrize("error", [-1, -10000, -10001, -10002, -10005])
def test_field_02_an_executed_order_whose_answer_was_lost_is_adopted_not_resent(tmp_path: Path, error: int) -> None:
    answers = Answers(executed=True, error=error)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers, "last_error": answers.last_error}) as made:
            signal = await send_one(made)
            await made.until(lambda: made.engine.reconciler.blocks("EURUSD") is not None)
            assert "not known" in (made.engine.reconciler.blocks("EURUSD") or "")
            assert any("UNKNOWN OUTCOME" in notice for notice in made.target.snapshot().engine.notices)
            await made.until(lambda: not made.engine.book.all(), 10.0)
            kinds = [event["kind"] for event in await made.events("trade_unknown", "trade_executed", "trade_failed")]
            assert kinds == ["trade_unknown", "trade_executed"]
            assert answers.hits == 1
            assert opened_volume(made.terminal) == {signal.magic: 0.5}

    run_virtual(run())


@pytest.mark.parametrize("retcode", [10011, 10012, 10031, 10999])
def test_an_unknown_order_that_never_appears_is_presumed_absent_and_left_to_the_operator(
    tmp_path: Path, retcode: int
) -> None:
    answers = Answers(executed=False, retcode=retcode)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            await send_one(made)
            await made.until(lambda: made.engine.book.unresolved())
            signal = made.engine.book.unresolved()[0]
            early = await made.command(wire.Reject(signal=signal.id, version=signal.version))
            assert not early.accepted
            other = await made.engine.proposals.take(made.buy())
            assert "not known" in (await made.approve(other)).message
            await made.engine.book.approve(other.id, 1, operator="t", origin="t")
            made.engine.loop.wake()
            await made.until(lambda: len(made.engine.book.all()) == 1)
            assert "not known" in (await made.events("signal_blocked"))[0]["reason"]
            await asyncio.sleep(80)
            assert not made.engine.book.get(signal.id).presumed_absent
            await made.until(lambda: made.engine.book.get(signal.id).presumed_absent, 20.0)
            now = made.engine.book.get(signal.id)
            assert now.state is SignalState.UNKNOWN
            settled = await made.command(wire.Reject(signal=now.id, version=now.version), "asked the broker")
            assert settled.accepted, settled.message
            assert made.engine.reconciler.blocks("EURUSD") is None
            assert answers.hits == 1
            assert opened_volume(made.terminal) == {}

    run_virtual(run())


def test_a_requote_is_tried_again_with_a_fresh_price_at_most_three_times(tmp_path: Path) -> None:
    answers = Answers(executed=False, times=2, retcode=10004)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            signal = await send_one(made)
            await made.until(lambda: made.engine.loop.trades_executed == 1)
            assert len(await made.events("order_retried")) == 2
            assert opened_volume(made.terminal) == {signal.magic: 0.5}

    run_virtual(run())


@pytest.mark.parametrize(("retcode", "times"), [(10004, 9), (10006, 1), (10019, 1), (10018, 1)])
def test_a_refusal_fails_the_signal_with_the_brokers_reason(tmp_path: Path, retcode: int, times: int) -> None:
    answers = Answers(executed=False, times=times, retcode=retcode)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            await send_one(made)
            await made.until(lambda: not made.engine.book.all())
            assert str(retcode) in (await made.events("trade_failed"))[0]["reason"]
            assert answers.hits == min(times, 3)
            assert opened_volume(made.terminal) == {}

    run_virtual(run())


def test_a_send_refused_by_the_client_library_was_never_sent(tmp_path: Path) -> None:
    answers = Answers(executed=False, error=-2)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers, "last_error": answers.last_error}) as made:
            await send_one(made)
            await made.until(lambda: not made.engine.book.all())
            assert "not sent" in (await made.events("trade_failed"))[0]["reason"]

    run_virtual(run())


def test_done_without_deals_is_not_believed(tmp_path: Path) -> None:
    answers = Answers(executed=False, retcode=10009, order=4_711)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            await send_one(made)
            await made.until(lambda: made.engine.book.unresolved() and made.engine.clock.monotonic() > 3)
            await made.until(lambda: made.engine.book.unresolved()[0].state is SignalState.UNKNOWN)
            assert "not all deals of order 4711" in (await made.events("trade_unknown"))[0]["reason"]
            assert made.engine.loop.trades_executed == 0

    run_virtual(run())


def test_a_gateway_that_hangs_on_a_send_leaves_the_outcome_unknown_and_the_executed_order_is_adopted(
    tmp_path: Path,
) -> None:
    hung: list[Frame] = []

    async def hang(frame: Frame) -> None:
        opening = any(call[0] == "order_send" and is_opening(call[1][0]) for call in frame.get("calls", ()))
        if opening and not hung:
            hung.append(frame)
            await asyncio.Event().wait()

    async def run() -> None:
        async with world(tmp_path, after=hang) as made:
            signal = await send_one(made)
            await made.until(lambda: made.engine.book.unresolved(), 5.0)
            await made.until(lambda: not made.engine.book.all(), 30.0)
            assert hung
            assert made.gateways.restarts == 1
            assert opened_volume(made.terminal) == {signal.magic: 0.5}
            assert [event["state"] for event in await made.events("trade_executed")] == ["EXECUTED"]

    run_virtual(run())


def test_an_opening_that_waits_while_the_operator_pauses_is_not_sent(tmp_path: Path) -> None:
    held = asyncio.Event
    gate: dict[str, asyncio.Event] = {}

    async def hold(frame: Frame) -> None:
        if any(call[0] == "order_send" for call in frame.get("calls", ())):
            gate["reached"].set()
            await gate["release"].wait()

    async def run() -> None:
        gate["reached"], gate["release"] = held(), held()
        async with world(tmp_path, before=hold) as made:
            await send_one(made)
            await gate["reached"].wait()
            assert (await made.command(wire.Pause())).accepted
            gate["release"].set()
            await made.until(lambda: not made.engine.book.all())
            assert "not sent" in (await made.events("trade_failed"))[0]["reason"]
            assert opened_volume(made.terminal) == {}

    run_virtual(run())


@pytest.mark.parametrize("executed", [True, False])
def test_an_engine_that_dies_with_an_order_in_flight_finds_out_and_never_resends(
    tmp_path: Path, executed: bool
) -> None:
    async def run() -> None:
        terminal = PaperTerminal.open(TerminalConfig())
        reached = asyncio.Event()

        async def die(frame: Frame) -> None:
            if any(call[0] == "order_send" for call in frame.get("calls", ())):
                reached.set()
                await asyncio.Event().wait()

        hook = {"after": die} if executed else {"before": die}
        async with world(tmp_path, terminal=terminal, **hook) as made:  # type: ignore[arg-type]  # one of two hooks
            signal = await send_one(made)
            await reached.wait()
            await made.crash()
        async with world(tmp_path, terminal=terminal) as again:
            if executed:
                await again.until(lambda: not again.engine.book.all())
                assert opened_volume(terminal) == {signal.magic: 0.5}
                assert (await again.events("trade_executed"))[0]["signal"] == signal.id
            else:
                await asyncio.sleep(5)
                assert again.engine.book.get(signal.id).state is SignalState.UNKNOWN
                assert opened_volume(terminal) == {}
        terminal.shutdown()

    run_virtual(run())


def test_an_order_is_not_presumed_absent_while_the_broker_is_not_connected(tmp_path: Path) -> None:
    faults: dict[str, Any] = {"order_send": Answers(executed=False, retcode=10012)}

    async def run() -> None:
        async with world(tmp_path, faults=faults) as made:
            await send_one(made)
            await made.until(lambda: made.engine.book.unresolved())
            faults["terminal_info"] = lambda honest: Struct(honest(), connected=False)
            await asyncio.sleep(300)
            signal = made.engine.book.unresolved()[0]
            assert not signal.presumed_absent
            faults.clear()
            await asyncio.sleep(60)
            assert not made.engine.book.get(signal.id).presumed_absent
            await made.until(lambda: made.engine.book.get(signal.id).presumed_absent, 60.0)

    run_virtual(run())


def drop_stop(honest: Any, request: dict[str, Any]) -> Any:
    return honest({key: value for key, value in request.items() if key != "sl"} if is_opening(request) else request)


def test_a_stop_loss_dropped_at_the_fill_is_set_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, faults={"order_send": drop_stop}) as made:
            await made.bought()
            await made.until(lambda: made.engine.cycle.reading.positions[0].sl != 0.0, 5.0)  # type: ignore[index]
            assert await made.events("stop_missing")

    run_virtual(run())


def test_a_position_whose_stop_cannot_be_set_is_closed_after_five_seconds(tmp_path: Path) -> None:
    def refuse(honest: Any, request: dict[str, Any]) -> Any:
        if request["action"] == 6:
            return Struct(_template, retcode=10006)
        return drop_stop(honest, request)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": refuse}) as made:
            await made.bought()
            opened = made.engine.clock.monotonic()
            await made.until(lambda: not made.engine.cycle.reading.positions, 10.0)
            assert 4.0 < made.engine.clock.monotonic() - opened < 8.0

    run_virtual(run())


def test_a_batch_is_ten_and_one_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    answers = Answers(executed=False, times=1, retcode=10006)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            signals = [await made.engine.proposals.take(made.buy(volume=0.01)) for _ in range(13)]
            for signal in signals:
                await made.engine.book.approve(signal.id, 1, operator="t", origin="t")
            assert len(made.engine.book.approved(10)) == 10
            made.engine.loop.wake()
            await made.until(lambda: made.engine.loop.signals_processed == 13)
            assert made.engine.loop.trades_executed == 12
            assert made.engine.loop.error_count == 1
            assert len(opened_volume(made.terminal)) == 12

    run_virtual(run())


def test_stopping_the_loop_leaves_positions_open_unless_told_to_close_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as made:
            await made.bought()
            await made.engine.loop.stop()
            await asyncio.sleep(2)
            assert len(made.engine.cycle.reading.positions or ()) == 1
            await made.engine.loop.start()
            await made.bought()
            await made.engine.loop.stop(close_positions=True)
            assert made.engine.cycle.reading.positions == ()
            stops = await made.events("loop_stopped")
            assert [event["positions_closed_on_stop"] for event in stops] == [False, True]

    run_virtual(run())


@pytest.mark.parametrize(("retcode", "pauses"), [(10024, (1.0, 2.0)), (10029, (0.5, 1.0)), (10004, (0.0, 0.0))])
def test_too_many_requests_and_a_frozen_order_back_off_and_a_requote_does_not(
    tmp_path: Path, retcode: int, pauses: tuple[float, float]
) -> None:
    answers = Answers(executed=False, times=2, retcode=retcode)
    sent: list[float] = []

    def stamped(honest: Any, request: dict[str, Any]) -> Any:
        sent.append(asyncio.get_running_loop().time())
        return answers(honest, request)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": stamped}) as made:
            signal = await send_one(made)
            await made.until(lambda: made.engine.loop.trades_executed == 1)
            first, second = sent[1] - sent[0], sent[2] - sent[1]
            assert -1e-6 <= first - pauses[0] < 0.2
            assert -1e-6 <= second - pauses[1] < 0.2
            assert opened_volume(made.terminal) == {signal.magic: 0.5}

    run_virtual(run())


def test_a_try_is_not_repeated_when_the_rules_no_longer_let_it(tmp_path: Path) -> None:
    answers = Answers(executed=False, times=1, retcode=10024)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            signal = await made.engine.proposals.take(made.buy(expires_seconds=0.9))
            assert (await made.approve(signal)).accepted
            await made.until(lambda: not made.engine.book.all())
            [failed] = await made.events("trade_failed")
            assert "10024" in failed["reason"]
            assert failed["reason"].endswith("not tried again: its time ran out")
            assert opened_volume(made.terminal) == {}

    run_virtual(run())


def test_a_refused_try_that_the_broker_shows_is_not_repeated(tmp_path: Path) -> None:
    answers = Answers(executed=True, times=1, retcode=10004)

    async def run() -> None:
        async with world(tmp_path, faults={"order_send": answers}) as made:
            signal = await send_one(made)
            await made.until(lambda: not made.engine.book.all())
            assert (await made.events("trade_unknown"))[0]["reason"].startswith(
                "the broker refused it, and yet shows it"
            )
            assert answers.hits == 1
            assert opened_volume(made.terminal) == {signal.magic: 0.5}

    run_virtual(run())
