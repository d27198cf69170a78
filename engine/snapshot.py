"""Everything a console shows, gathered from the engine's parts at one moment. Reads only; decides nothing."""

import math
import os
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.account import AccountEngine
from engine.alert_commands import alert_views
from engine.broker.base import MarginMode, Order, Position, Side, SymbolSpec
from engine.broker.mt5 import OrderType
from engine.closejobs import Job
from engine.closework import CloseWork, WorkState
from engine.control import messages as wire
from engine.entry import money_at_risk, send_problem
from engine.guards.drawdown import floor_of
from engine.heartbeat import HeartbeatMetrics
from engine.orders import drift_points
from engine.readings import Validity
from engine.risk_view import guard_notices, risk_view
from engine.signals import EntryType, Signal, SignalState, id_of, is_ours
from engine.state import EngineMode
from engine.text import plain

PAPER_SERVER = "Quarterdeck-Paper"
_DEMO = 0
_DEFAULT_DIGITS = 5
_MARKET_ORDERS = (OrderType.BUY, OrderType.SELL, OrderType.CLOSE_BY)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MSC = 253_402_300_799_999
"""The last millisecond of the year 9999."""
_MARGIN_MODES = {MarginMode.NETTING: "netting", MarginMode.EXCHANGE: "exchange", MarginMode.HEDGING: "hedging"}


def environment_of(engine: AccountEngine) -> wire.Environment:
    """What kind of money is at stake: LIVE unless the account is certainly a demo or our own paper account."""
    if engine.account.trade_mode != _DEMO:
        return wire.Environment.LIVE
    paper = engine.settings.is_paper and engine.account.server == PAPER_SERVER
    return wire.Environment.PAPER if paper else wire.Environment.DEMO


def snapshot(engine: AccountEngine, *, profile: str, started_at: datetime, gateway: wire.GatewayView) -> wire.Snapshot:
    """The engine as it stands."""
    now = engine.clock.monotonic()
    cycle = engine.cycle
    drawdown = _drawdown(engine, now)
    return wire.Snapshot(
        time=engine.clock.utc(),
        seq=engine.journal.last_seq,
        engine=wire.EngineView(
            pid=os.getpid(),
            started_at=started_at,
            profile=profile,
            loop_id=engine.recorder.loop_id,
            mode=engine.modes.mode,
            epoch=engine.modes.epoch,
            environment=environment_of(engine),
            heartbeat_age_seconds=None if cycle.heartbeat_at is None else now - cycle.heartbeat_at,
            loop_lag_ms=round(cycle.loop_lag_ms, 3),
            halt_reason=engine.modes.state.halt_reason or None,
            notices=_notices(engine),
        ),
        account=_account(engine),
        reading=_reading(engine, now),
        drawdown=drawdown,
        risk=risk_view(engine, now, drawdown),
        gateway=gateway,
        markets=_markets(engine, now),
        positions=[_position(engine, item) for item in cycle.last_valid.positions or ()],
        orders=[_standing(engine, item) for item in cycle.orders if item.type not in _MARKET_ORDERS],
        signals=[_signal(engine, item) for item in sorted(engine.book.all(), key=_order)],
        flatten=_flatten(engine),
        closings=[_closing(job) for job in engine.closings.all()],
        heartbeat=_heartbeat(cycle.heartbeat),
        alerts=alert_views(engine),
        attached=engine.attendance.attached(),
    )


def _reading(engine: AccountEngine, now: float) -> wire.ReadingView:
    """The reading as it may be believed now: a valid one grows stale while the broker lets the next one wait."""
    cycle = engine.cycle
    age = max(0.0, now - cycle.last_valid_at)
    validity, reason = wire.Validity(cycle.reading.validity), cycle.reading.reason
    if validity is wire.Validity.VALID and age > engine.settings.reading.stale_after_seconds:
        validity, reason = wire.Validity.STALE, f"the broker has not answered for {age:.1f} s"
    return wire.ReadingView(validity=validity, age_seconds=age, reason=plain(reason), blind=cycle.blind)


def _order(signal: Signal) -> tuple[bool, datetime]:
    return signal.state is not SignalState.PENDING, signal.created_at


def _notices(engine: AccountEngine) -> list[str]:
    killed = engine.killing.notice()
    notices = [killed] if killed is not None else []
    cycle = engine.cycle
    if cycle.blind:
        notices.append(f"BLIND: no valid account reading; entries are blocked ({plain(cycle.reading.reason)})")
    elif cycle.reading.validity is Validity.VALID and cycle.reading.positions is None:
        notices.append("POSITIONS CANNOT BE READ: those shown are from before; the account itself is read")
    if engine.journal.failure is not None:
        notices.append(f"JOURNAL FAILED: no new orders until a restart ({engine.journal.failure})")
    if cycle.guard_error is not None:
        notices.append(f"GUARD FAILED: entries are blocked ({plain(cycle.guard_error)})")
    if engine.alerts.failure:
        notices.append(f"ALERTS FAILED: nobody may be told ({engine.alerts.failure})")
    if unattended := engine.attendance.notice():
        notices.append(unattended)
    notices += [plain(wanted) for wanted in engine.four_eyes.notices(engine.book.all(), engine.modes.state)]
    notices += guard_notices(engine)
    refusal = engine.gate.trading_refusal()
    if refusal is not None:
        notices.append(f"CANNOT TRADE: {refusal}")
    for signal in engine.book.unresolved():
        if signal.state is SignalState.UNKNOWN:
            absent = "presumed absent: reject it to settle it" if signal.presumed_absent else "being looked for"
            notices.append(f"UNKNOWN OUTCOME of {signal.id} on {signal.symbol}: {absent}; entries there are blocked")
    if engine.market_finished():
        notices.append("THE REPLAY HAS ENDED: the last quote stays; positions can be closed, none opened")
    return notices


def _account(engine: AccountEngine) -> wire.AccountView:
    account = engine.cycle.last_valid.account or engine.account
    return wire.AccountView(
        login=account.login,
        server=plain(account.server),
        name=plain(account.name),
        currency=plain(account.currency, 8),
        currency_digits=account.currency_digits,
        leverage=account.leverage,
        margin_mode=_MARGIN_MODES[account.margin_mode],
        balance=_finite(account.balance, 0.0),
        credit=_finite(account.credit, 0.0),
        profit=_finite(account.profit, 0.0),
        equity=_finite(account.equity, 0.0),
        margin=_finite(account.margin, 0.0),
        margin_free=_finite(account.margin_free, _finite(account.equity - account.margin, 0.0)),
        margin_level=_finite(account.margin_level, 0.0),
    )


def _finite(value: float, otherwise: float) -> float:
    """A figure that no rule depends on: one that is not finite must not keep the whole snapshot from being sent."""
    return value if math.isfinite(value) else otherwise


def _broker_time(milliseconds: int) -> datetime:
    """The broker's clock read as UTC. What a calendar does not reach is shown as its nearest end."""
    return _EPOCH + timedelta(milliseconds=min(max(milliseconds, 0), _LAST_MSC))


def _drawdown(engine: AccountEngine, now: float) -> wire.DrawdownView:
    state = engine.cycle.guard.state
    peak = min(state.peak, engine.cycle.committed_peak)
    floor = floor_of(peak, state.limit_percent)
    return wire.DrawdownView(
        peak=peak,
        percent=max(0.0, (peak - state.equity) / peak * 100 if peak > 0 else 0.0),
        limit_percent=state.limit_percent,
        floor=floor,
        headroom=state.equity - floor,
        verdict="BLOCK" if engine.cycle.guard_error else state.verdict.value,
        evaluated_age_seconds=None if state.evaluated_at is None else max(0.0, now - state.evaluated_at),
    )


def _markets(engine: AccountEngine, now: float) -> list[wire.MarketView]:
    finished = engine.market_finished()
    return [
        wire.MarketView(
            symbol=symbol,
            digits=_digits(engine, symbol),
            bid=quote.tick.bid,
            ask=quote.tick.ask,
            time=_broker_time(quote.tick.time_msc),
            age_seconds=max(0.0, now - quote.changed_at),
            finished=finished,
        )
        for symbol, quote in engine.cycle.quotes.items()
    ]


def _digits(engine: AccountEngine, symbol: str) -> int:
    spec = engine.specs.known(symbol)
    return spec.digits if spec is not None else _DEFAULT_DIGITS


def _position(engine: AccountEngine, position: Position) -> wire.PositionView:
    return wire.PositionView(
        ticket=position.ticket,
        identifier=position.identifier,
        symbol=plain(position.symbol, 32),
        digits=_digits(engine, position.symbol),
        type=0 if position.side is Side.BUY else 1,
        volume=position.volume,
        price_open=position.price_open,
        price_current=position.price_current,
        sl=position.sl,
        tp=position.tp,
        profit=position.profit,
        swap=position.swap,
        magic=position.magic,
        comment=plain(position.comment, 32),
        opened_at=_broker_time(position.time_msc),
        owner=engine.cycle.observer.owner_of(position.magic),
        note=plain(engine.closer.note(position.identifier)),
        source=engine.closings.sources.of(position.magic),
    )


def _standing(engine: AccountEngine, order: Order) -> wire.OrderView:
    named = {int(kind): kind.name.lower().replace("_", " ") for kind in OrderType}
    return wire.OrderView(
        ticket=order.ticket,
        symbol=plain(order.symbol, 32),
        digits=_digits(engine, order.symbol),
        type=named.get(order.type, f"type {order.type}"),
        volume=_finite(order.volume_current, 0.0),
        price=_finite(order.price_open, 0.0),
        sl=_finite(order.sl, 0.0),
        tp=_finite(order.tp, 0.0),
        comment=plain(order.comment, 32),
        placed_at=_broker_time(order.time_setup_msc),
        owner=engine.cycle.observer.owner_of(order.magic),
        signal=id_of(order.magic) if is_ours(order.magic) else "",
    )


def _signal(engine: AccountEngine, signal: Signal) -> wire.SignalView:
    spec = engine.specs.known(signal.symbol)
    quote = engine.cycle.quotes.get(signal.symbol)
    drifts = signal.type is EntryType.MARKET and signal.state in (SignalState.PENDING, SignalState.APPROVED)
    return wire.SignalView(
        id=signal.id,
        version=signal.version,
        state=signal.state,
        symbol=signal.symbol,
        digits=_digits(engine, signal.symbol),
        side=signal.side.value,
        order_type=signal.type.value,
        risk_percent=signal.risk_percent,
        order=signal.intent.order if signal.intent else 0,
        volume=signal.volume,
        entry=signal.entry,
        sl=signal.sl,
        tp=signal.tp,
        source=signal.source,
        note=signal.note,
        created_at=signal.created_at,
        expires_at=signal.expires_at,
        seconds_left=engine.book.seconds_left(signal),
        reward_to_risk=signal.reward_to_risk,
        money_at_risk=money_at_risk(spec, signal.volume, signal.entry, signal.sl) if spec else None,
        drift_points=drift_points(spec, signal, quote.tick) if spec and quote and drifts else None,
        problem=plain(_problem(engine, signal, spec)) if signal.state is SignalState.PENDING else "",
        reason=plain(signal.reason or engine.four_eyes.waiting(signal)),
    )


def _problem(engine: AccountEngine, signal: Signal, spec: SymbolSpec | None) -> str:
    """Why the signal would not be sent at the price now; "" when it would, or when the price is not known."""
    quote = engine.cycle.quotes.get(signal.symbol)
    if spec is None or quote is None:
        return ""
    return send_problem(spec, engine.settings.entry, signal, quote.tick) or ""


def _flatten(engine: AccountEngine) -> wire.FlattenView | None:
    report = engine.flattener.report
    if report is None:
        return None
    told = _close_work(report)
    if engine.modes.mode is not EngineMode.FLATTENING and not report.cancelled_by:
        told["remaining"] = []
    return wire.FlattenView(**told, state="FLAT" if report.state is WorkState.DONE else report.state.value)


def _closing(job: Job) -> wire.ClosingView:
    return wire.ClosingView(**_close_work(job), state=job.state.value, scope=plain(str(job.scope)))


def _close_work(work: CloseWork) -> dict[str, Any]:
    return {
        "id": work.id,
        "reason": plain(work.reason),
        "started_at": work.started_at,
        "finished_at": work.finished_at,
        "positions_closed": work.positions_closed,
        "orders_cancelled": work.orders_cancelled,
        "remaining": [plain(item) for item in work.remaining],
        "statement": plain(work.statement, 10_000),
    }


def _heartbeat(beat: HeartbeatMetrics | None) -> wire.HeartbeatView | None:
    if beat is None:
        return None
    return wire.HeartbeatView(
        **{name: getattr(beat, name) for name in HeartbeatMetrics.__dataclass_fields__ if name != "reading_validity"},
        reading_validity=wire.Validity(beat.reading_validity),
    )
