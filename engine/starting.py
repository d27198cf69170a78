"""How an account's engine begins: the state that the journal has, or a first one, and the guards that are in force.

In: the journal, the broker, the profile. Out: where to go on, and a Risk whose every guard has been tested on readings
made up for it. What cannot be believed, built or tested refuses the start, in words.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from engine.broker.base import Account, Broker, BrokerError, Sweep
from engine.clock import Clock
from engine.config import Settings
from engine.events import EventType
from engine.guards.drawdown import self_test as drawdown_test
from engine.guards.selftest import self_test
from engine.guards.strictness import rules_in_force
from engine.readings import AccountReading, Validity, judge
from engine.recorder import Recorder
from engine.risk import DRAWDOWN, Risk, rules_of
from engine.state import AccountState, EngineMode

_log = logging.getLogger(__name__)
_FIRST_READING_SECONDS = 30.0


class UnsupportedAccount(Exception):
    """An account that this engine will not trade, and why."""


async def first_reading(broker: Broker, clock: Clock, account: Account, interval_seconds: float) -> AccountReading:
    """A reading from which a new account's baselines may be measured: one that may be believed, no other."""
    deadline = clock.monotonic() + _FIRST_READING_SECONDS
    while True:
        at = clock.monotonic()
        try:
            sweep = await broker.sweep(())
        except BrokerError as error:
            sweep = Sweep(None, None, None, None, {}, (error,))
        reading = judge(sweep, login=account.login, server=account.server, at=at)
        if reading.validity is Validity.VALID:
            return reading
        if at >= deadline:
            name = f"{account.login}@{account.server}"
            raise UnsupportedAccount(f"account {name} is new here and cannot be believed: {reading.reason}")
        await asyncio.sleep(interval_seconds)


async def first_server_time(broker: Broker, clock: Clock, symbols: Iterable[str]) -> int:
    """The broker's clock now, in seconds, by the newest quote of these symbols; this machine's where none is quoted."""
    quoted = []
    for symbol in symbols:
        try:
            quoted.append((await broker.tick(symbol)).time_msc // 1000)
        except BrokerError as error:
            _log.warning("%s", error)
    return max(quoted, default=int(clock.utc().timestamp()))


async def at_stake(broker: Broker, state: AccountState) -> bool:
    """Whether something may be open, or the account is not to be touched: rules may not be loosened then."""
    if state.mode in (EngineMode.FLATTENING, EngineMode.HALTED):
        return True
    try:
        return bool(await broker.positions() or await broker.orders())
    except BrokerError:
        return True


async def lifetime(recorder: Recorder) -> tuple[int, int]:
    """How many signals the account has had, and how many of them became trades."""
    rows = await recorder.journal.query(
        "SELECT count(*), coalesce(sum(state IN ('EXECUTED', 'PARTIAL')), 0) FROM signals WHERE account = ?",
        (recorder.account,),
    )
    signals, trades = rows[0]
    return signals, trades


async def stored_state(recorder: Recorder) -> AccountState | None:
    """The account's state as the journal has it; None for an account that it does not know."""
    rows = await recorder.journal.query(
        "SELECT mode, epoch, halt_reason, baseline_seq, baseline FROM account_state WHERE account = ?",
        (recorder.account,),
    )
    if not rows:
        return None
    mode, epoch, halt_reason, seq, baseline = rows[0]
    return AccountState(recorder.account, EngineMode(mode), epoch, halt_reason, seq, json.loads(baseline))


async def open_account(recorder: Recorder, equity: float, *, paper: bool) -> AccountState:
    """Begin with an account that the journal does not know. `paper`: no money is at stake, so that it may run."""
    # Another account than the one this journal knows is no fresh start: the terminal may be on the wrong one.
    fresh = paper and not await recorder.journal.query("SELECT 1 FROM account_state LIMIT 1")
    mode = EngineMode.RUNNING if fresh else EngineMode.PAUSED
    await recorder.record(EventType.ACCOUNT_OPENED, mode=mode, equity=equity, baseline={DRAWDOWN: {"peak": equity}})
    state = await stored_state(recorder)
    if state is None:
        raise AssertionError("the account that was just opened is not in the journal")
    return state


def baseline_key(seq: int) -> str:
    """The journal's value that holds the guards' memory since a baseline was set: never read after a later one."""
    return f"guards@{seq}"


def remembered(state: AccountState, values: Mapping[str, str]) -> dict[str, Any]:
    """What the guards remember: the newest that was kept since the baseline, or the baseline itself."""
    kept = values.get(baseline_key(state.baseline_seq))
    if kept is not None:
        return dict(json.loads(kept))
    found = dict(state.baseline)
    # Journals of earlier versions keep the peak alone.
    peak = max(found[DRAWDOWN]["peak"], float(values.get(f"peak@{state.baseline_seq}", "0")))
    return {**found, DRAWDOWN: {"peak": peak}}


def guards_of(
    settings: Settings,
    stored: Mapping[str, Any],
    *,
    equity: float,
    live: bool,
    at_stake: bool,
) -> Risk:
    """The guards that are in force now, each tested. `at_stake`: the account is halted, or something is open.

    Raises UnsupportedAccount when a guard cannot be built from its rule, does not trip in its test, or its memory
    cannot be read: without its guards an account is not traded.
    """
    wanted = rules_of(settings.drawdown, settings.guards)
    before = stored.get("rules")
    held, loosened = rules_in_force(before, wanted) if before is not None else (wanted, [])
    try:
        risk = Risk(held, stored, equity=equity, wants_bases=live)
        if loosened and not (at_stake or risk.locks):
            risk, loosened = Risk(wanted, stored, equity=equity, wants_bases=live), []
    except ValueError as error:
        raise UnsupportedAccount(f"the guards cannot be built: {error}") from error
    risk.loosened = loosened
    check_guards(risk)
    return risk


def check_guards(risk: Risk) -> None:
    """Have every guard trip on readings made up for it. Raises UnsupportedAccount."""
    problem = drawdown_test(risk.drawdown)
    if problem is not None:
        raise UnsupportedAccount(f"the guard {DRAWDOWN!r} fails its self-test: {problem}")
    for name, guard in risk.board.guards.items():
        problem = self_test(guard)
        if problem is not None:
            raise UnsupportedAccount(f"the guard {name!r} fails its self-test: {problem}")
