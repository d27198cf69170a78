"""Carries out what operators ask for, and says in words why it will not.

In: one command and who sent it. Out: a result, and a `command` event with it. What lowers risk never waits for the
journal; what raises risk is refused while the journal cannot be written.
"""

from typing import Any

from engine import alert_commands, risk_commands
from engine.account import AccountEngine
from engine.approvals import Refused
from engine.broker.base import Side
from engine.control.messages import (
    Acknowledge,
    Action,
    AddSignal,
    Approve,
    Cancel,
    CancelClose,
    Close,
    Command,
    CommandResult,
    Flatten,
    Pause,
    Reject,
    Reset,
    Resume,
    SetBases,
    SettleFunds,
    Stop,
    TestAlert,
    Unlock,
)
from engine.control.once import body_digest
from engine.control.target import Operator
from engine.events import EventType
from engine.intake.proposals import Proposal
from engine.journal import Conflict, JournalError
from engine.scope import NOTHING_LEFT
from engine.signals import EntryType, Signal, SignalState
from engine.state import EngineMode, IllegalTransition
from engine.text import plain


async def carry_out(engine: AccountEngine, command: Command, operator: Operator) -> CommandResult:
    """Carry out one command. A refusal is a result; an exception is a bug."""
    who = operator.who()
    reason = plain(command.reason)
    try:
        message, data = await _dispatch(engine, command.action, reason, operator)
        result = CommandResult(id=command.id, accepted=True, message=message, data=data)
    except (Refused, IllegalTransition, JournalError) as refusal:
        result = CommandResult(id=command.id, accepted=False, message=str(refusal))
    except Conflict:
        result = CommandResult(id=command.id, accepted=False, message="the state has moved on meanwhile: look again")
    engine.recorder.urgent_soon(
        EventType.COMMAND,
        id=command.id,
        digest=body_digest(command),
        kind=command.action.kind,
        reason=reason,
        result=result.model_dump(mode="json"),
        **who,
    )
    return result


async def _dispatch(
    engine: AccountEngine, action: Action, reason: str, operator: Operator
) -> tuple[str, dict[str, Any]]:
    who = operator.who()
    match action:
        case Approve():
            asked = engine.book.get(action.signal)
            refusal = engine.gate.approval_refusal(asked)
            if refusal:
                raise Refused(f"not approved, it still waits: {refusal}")
            if asked.state is SignalState.PENDING and asked.version == action.version:
                who = await engine.four_eyes.approve(asked, operator)
            signal = await engine.book.approve(action.signal, action.version, **who)
            engine.loop.wake()
            return f"approved {_name(signal)}", {"signal": signal.id}
        case Reject():
            signal = await engine.book.reject(action.signal, action.version, reason or "no reason given", **who)
            return f"rejected {_name(signal)}", {"signal": signal.id}
        case AddSignal():
            signal = await engine.proposals.take(
                Proposal(
                    symbol=action.symbol,
                    side=Side(action.side),
                    volume=action.volume,
                    risk_percent=action.risk_percent,
                    type=EntryType(action.type),
                    sl=action.sl or 0.0,
                    tp=action.tp or 0.0,
                    source=action.source,
                    entry=action.entry,
                    expires_seconds=action.expires_seconds,
                    order_seconds=action.order_seconds,
                    note=action.note,
                )
            )
            return f"signal {signal.id} waits for approval", {"signal": signal.id}
        case Pause():
            if engine.modes.mode is EngineMode.PAUSED:
                await engine.modes.insist_on_pause(reason or "paused by the operator", **who)
                return f"already {_paused(engine)}", {}
            await engine.modes.block(EngineMode.PAUSED, reason or "paused by the operator", **who)
            return _paused(engine), {}
        case Resume():
            return await _resume(engine, reason, who), {}
        case Flatten():
            joined = engine.modes.mode is EngineMode.FLATTENING
            engine.flatten(reason or "flattened by the operator", leave=NOTHING_LEFT, **who)
            # Closing does not wait for it; what is answered for is what a start after a kill finds again.
            await engine.closedown.latched()
            return "flatten goes on" if joined else "flatten started", {}
        case Cancel():
            return await _cancel(engine, action, reason, who), {"signal": action.signal}
        case Close():
            job = await engine.closings.start(action.scope, reason or "closed by the operator", **who)
            return f"close {job.id} started: {job.scope}", {"closing": job.id}
        case CancelClose():
            return await _cancel_close(engine, action.id, reason, who), {}
        case Reset():
            return await risk_commands.reset(engine, action, reason, operator), {}
        case Unlock():
            return await risk_commands.unlock(engine, action, reason, who), {}
        case SetBases():
            return await risk_commands.set_bases(engine, action, reason, who), {}
        case SettleFunds():
            return await risk_commands.settle_funds(engine, action, reason, who), {}
        case Acknowledge():
            return alert_commands.acknowledge(engine, action, reason, who), {}
        case TestAlert():
            return alert_commands.test(engine, who)
        case Stop():
            engine.stop_requested.set()
            return "the engine stops; positions stay as they are", {}


def _paused(engine: AccountEngine) -> str:
    """What a pause leaves: an order that stands at the broker is not in the engine's hands until it is cancelled."""
    standing = len(engine.book.working())
    said = "paused: entries are blocked, closing works on"
    if not standing:
        return said
    orders = "1 order stands" if standing == 1 else f"{standing} orders stand"
    return f"{said}; {orders} at the broker and may still be filled: cancel what is not wanted"


async def _cancel(engine: AccountEngine, action: Cancel, reason: str, who: dict[str, str]) -> str:
    signal = engine.book.get(action.signal)
    if signal.state is not SignalState.WORKING:
        raise Refused(f"signal {signal.id} is {signal.state}: it has no order at the broker to cancel")
    if signal.version != action.version:
        raise Refused(f"signal {signal.id} is at version {signal.version}, you saw {action.version}: look again")
    said = await engine.reconciler.cancel(signal, reason or "cancelled by the operator", **who)
    return f"asked the broker to cancel the order of {_name(signal)}: {said}"


async def _resume(engine: AccountEngine, reason: str, who: dict[str, str]) -> str:
    if engine.modes.mode is not EngineMode.PAUSED:
        raise Refused(f"the engine is {engine.modes.mode}; only a PAUSED one resumes")
    if engine.risk.wants_bases:
        raise Refused(
            "this live account is new here: say what its guards measure from, or confirm what was read, with"
            " `quarterdeck bases`"
        )
    if not await engine.modes.resume(reason or "resumed by the operator", **who):
        raise Refused(f"not resumed: what came meanwhile stands, the engine is {engine.modes.mode}")
    engine.loop.wake()
    return "running: approved signals are executed"


async def _cancel_close(engine: AccountEngine, name: str, reason: str, who: dict[str, str]) -> str:
    if not reason:
        raise Refused("cancelling a close needs a reason: it goes into the journal")
    said = f"{who['operator']}: {reason}"
    report = engine.flattener.report
    if report is None or report.id != name:
        job = engine.closings.cancel(name, said)
        # What is answered for is what a start after a kill finds again.
        await engine.recorder.drained()
        return f"close {job.id} cancelled: what is left stays open"
    if engine.modes.mode is not EngineMode.FLATTENING:
        raise Refused(f"flatten {name} is over: {report.statement}")
    if report.state != "DEFERRED":
        raise Refused(f"flatten {name} is {report.state}: only one that is DEFERRED can be cancelled")
    killed = engine.killing.lift_refusal()
    if killed is not None:
        raise Refused(f"flatten {name} goes on: {killed}")
    engine.flattener.cancel(said)
    return f"flatten {name} is cancelled: what is left stays open, and the account halts"


def _name(signal: Signal) -> str:
    return f"{signal.id}: {signal.side} {signal.volume:g} {signal.symbol}"
