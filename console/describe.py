"""Longer words about the things on screen: the header, the banner, one signal, one event. Pure, like state.py.

In: a View, a signal or an event. Out: Lines of Pieces, or sentences. Text from outside is cleaned here and once more
where it is drawn.
"""

import textwrap
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from console import format as fmt
from console.risk_rows import nearest_pieces
from console.state import (
    Line,
    Phase,
    Piece,
    Tone,
    View,
    closing_words,
    connection,
    data_age,
    flatten_words,
    pending,
    tone_of,
)
from console.text import plain

if TYPE_CHECKING:
    from engine.control.messages import AccountView, EventView, SignalView, Snapshot

WIDE = 120
"""Columns from which the header has room for all that is known."""
_REASON_LINES = 12
_MODE_TONES: dict[str, Tone] = {"RUNNING": "good", "PAUSED": "warn", "FLATTENING": "alarm", "HALTED": "alarm"}
_VERDICT_TONES: dict[str, Tone] = {"CLEAR": "", "WARN": "warn"}
_GAP = Piece("  ")


def header(view: View, width: int) -> tuple[Line, Line]:
    """The two lines on top of every screen."""
    link, age = connection(view), data_age(view)
    snapshot = view.snapshot
    if snapshot is None:
        return (Piece(" QUARTERDECK ", "strong"), _GAP, link, _GAP, age), (Piece(f" {plain(view.detail)}", "dim"),)
    environment = str(snapshot.engine.environment).upper()
    badge: Tone = "paper" if environment == "PAPER" else "demo" if environment == "DEMO" else "live"
    mode = Piece(plain(snapshot.engine.mode, 16), _MODE_TONES.get(snapshot.engine.mode, "warn"))
    account = snapshot.account
    who = f"{account.login}@{plain(account.server, 40)}" if account else "no account yet"
    first = [Piece(f" {environment} ", badge), _GAP, Piece(who, "strong"), _GAP, mode, _GAP, link, _GAP, age]
    if view.looks_only:
        first[5:5] = [_GAP, Piece("READ-ONLY", "warn")]
    excess = sum(cell_len(piece.text) for piece in first) - width
    if excess > 0:
        # The link and the age must be readable to the end; the server's name is what can be cut.
        first[2] = Piece(plain(who, max(8, len(who) - excess)), "strong")
    second: list[Piece] = [Piece(" ")]
    if account is None:
        second.append(Piece("the account has not been read yet", "warn"))
    else:
        second += _figures(account, snapshot, width)
    if width >= WIDE:
        first += _more_of_engine(snapshot)
        for more in _more_of_account(snapshot):
            # Whole figures or none: half of one would be another figure.
            if sum(cell_len(piece.text) for piece in (*second, *more)) <= width:
                second += more
    return tuple(first), tuple(second)


def _figures(account: "AccountView", snapshot: "Snapshot", width: int) -> list[Piece]:
    digits, currency, drawdown = account.currency_digits, plain(account.currency, 8), snapshot.drawdown
    line = [Piece("Equity "), Piece(fmt.money(account.equity, digits, currency), "strong"), _GAP]
    if drawdown is None:
        return [*line, Piece("Drawdown not measured yet", "warn")]
    tone: Tone = _VERDICT_TONES.get(drawdown.verdict, "alarm")
    verdict = "" if drawdown.verdict == "CLEAR" else f" {drawdown.verdict}"
    unit = currency if width >= WIDE else ""
    line += [
        Piece("Drawdown "),
        Piece(f"{fmt.percent(drawdown.percent)} of {fmt.limit(drawdown.limit_percent)}{verdict}", tone),
        _GAP,
    ]
    nearer = nearest_pieces(snapshot, digits, unit)
    if not nearer:
        return [*line, Piece("Headroom "), Piece(fmt.money(drawdown.headroom, digits, unit), tone or "strong")]
    if width < WIDE:
        # The nearest limit is what matters where there is no room for two; its name is what can be cut.
        line = line[:3]
        excess = 1 + sum(cell_len(piece.text) for piece in (*line, *nearer)) - width
        return [*line, *(nearest_pieces(snapshot, digits, unit, cut=excess) if excess > 0 else nearer)]
    return [*line, *nearer]


def _more_of_engine(snapshot: "Snapshot") -> list[Piece]:
    gateway = snapshot.gateway
    more = [_GAP, Piece("broker connected", "dim") if gateway.connected else Piece("BROKER NOT CONNECTED", "alarm")]
    if gateway.restarts:
        more += [_GAP, Piece(f"gateway restarts {gateway.restarts}", "warn")]
    for market in snapshot.markets[:2]:
        quote = f"{fmt.price(market.bid, market.digits)} / {fmt.price(market.ask, market.digits)}"
        ended = " market data ended" if market.finished else ""
        more += [_GAP, Piece(plain(market.symbol, 12), "strong"), Piece(f" {quote}{ended}")]
    return more


def _more_of_account(snapshot: "Snapshot") -> list[list[Piece]]:
    account = snapshot.account
    if account is None:
        return []
    digits = account.currency_digits
    margin = f"{fmt.number(account.margin_level, 0)} %" if account.margin else "none in use"
    more = [
        [_GAP, Piece("Balance "), Piece(fmt.money(account.balance, digits))],
        [_GAP, Piece("Floating "), Piece(fmt.signed(account.profit, digits), tone_of(account.profit))],
        [_GAP, Piece("Margin "), Piece(margin)],
    ]
    if snapshot.drawdown is not None:
        more.append([_GAP, Piece("Peak "), Piece(fmt.money(snapshot.drawdown.peak, digits))])
    return more


def banner(view: View, width: int, most: int = 4) -> tuple[Line, ...]:
    """What the operator must know now, in words; no lines when there is nothing. At most `most` lines.

    Before the first snapshot the screen is empty: then the reason why there is no engine has all the lines it needs.
    """
    each = 2
    if view.snapshot is None:
        each = most = _REASON_LINES
    said: list[tuple[str, Tone]] = []
    if view.fault:
        said.append((f"CONSOLE FAULT: {plain(view.fault)}. Quit and start it again; the engine goes on.", "alarm"))
    if view.phase is not Phase.CONNECTED and (view.detail or view.snapshot is not None):
        kept = " What is shown is old." if view.snapshot is not None else ""
        said.append((f"{connection(view).text}: {plain(view.detail)}.{kept}", "alarm"))
    snapshot = view.snapshot
    if snapshot is not None:
        if snapshot.alerts:
            said.append((plain(_alerts_in_a_row(snapshot, width, looks_only=view.looks_only)), "alarm"))
        if snapshot.engine.mode == "HALTED":
            why = plain(snapshot.engine.halt_reason or "no reason was recorded")
            said.append((f"HALTED (R lifts it, or quarterdeck reset): {why}", "alarm"))
        if snapshot.flatten is not None and (
            snapshot.flatten.state != "FLAT" or snapshot.engine.mode in ("HALTED", "FLATTENING")
        ):
            said.append((flatten_words(snapshot.flatten), "good" if snapshot.flatten.state == "FLAT" else "alarm"))
        said += [
            (closing_words(item), "alarm" if item.state == "DEFERRED" else "warn")
            for item in snapshot.closings
            if item.state in ("RUNNING", "DEFERRED")
        ]
        said += [(plain(notice), "warn") for notice in snapshot.engine.notices]
        if not snapshot.gateway.connected and width < WIDE:
            said.append(("The broker is not connected.", "alarm"))
    lines = [
        (Piece(f" {row.ljust(width - 1)}", tone),)
        for text, tone in said
        for row in textwrap.wrap(text, max(20, width - 2))[:each]
    ]
    if len(lines) > most:
        hidden = f" ... and {len(lines) - most + 1} more lines"
        lines = [*lines[: most - 1], (Piece(hidden.ljust(width), "alarm"),)]
    return tuple(lines)


def _alerts_in_a_row(snapshot: "Snapshot", width: int, *, looks_only: bool) -> str:
    """How many alerts nobody has acknowledged, and the worst of them, in one row."""
    count, first = len(snapshot.alerts), snapshot.alerts[0]
    head = f"{count} ALERT{'S' if count > 1 else ''}{'' if looks_only else ', K acknowledges'}: "
    return head + plain(f"{first.severity.upper()} {first.text}", max(20, width - 4 - len(head)))


def tabs(view: View, here: str) -> Line:
    """The line of screens: key, name, how many, and which one this is."""
    waiting = len(pending(view.snapshot)) if view.snapshot else 0
    held = len(view.snapshot.positions) if view.snapshot else 0
    titles = {
        "approvals": f"1 Approvals ({waiting})",
        "positions": f"2 Positions ({held})",
        "equity": "3 Equity",
        "events": "4 Events",
        "risk": f"5 Risk{_alarmed(view)}",
    }
    return tuple(
        Piece(f"[{title}]" if name == here else f" {title} ", "here" if name == here else "key")
        for name, title in titles.items()
    )


def _alarmed(view: View) -> str:
    """How many guards block or close, on the tab of their screen."""
    guards = view.snapshot.risk.guards if view.snapshot else []
    count = sum(guard.verdict in ("BLOCK", "FLATTEN") for guard in guards)
    return f" ({count} !)" if count else ""


def signal_detail(signal: "SignalView", snapshot: "Snapshot", width: int, age: float) -> tuple[Line, ...]:
    """What approving this signal would do, and who proposes it."""
    account, drawdown = snapshot.account, snapshot.drawdown
    digits, currency = (account.currency_digits, plain(account.currency, 8)) if account else (2, "")
    how = (
        "at market"
        if signal.order_type == "market"
        else f"{signal.order_type} {fmt.price(signal.entry, signal.digits)}"
    )
    order = (
        f"{signal.side.upper()} {fmt.volume(signal.volume)} {plain(signal.symbol, 12)} {how}, "
        f"stop {fmt.price(signal.sl, signal.digits)}, target {fmt.price(signal.tp, signal.digits)}"
    )
    verb = "Approve sends" if signal.state == "PENDING" else plain(signal.state, 12)
    said: list[tuple[str, Tone]] = [(f"{verb}: {order}", "strong")]
    if signal.problem:
        said.append((f"Not to be sent now: {plain(signal.problem)}.", "warn"))
    if signal.order and signal.state == "WORKING":
        said.append((f"Order {signal.order} stands at the broker; c cancels it.", ""))
    if signal.risk_percent is not None:
        said.append((f"Sized for {fmt.limit(signal.risk_percent)} of the equity at the stop; it only shrinks.", ""))
    risk = signal.money_at_risk
    if risk is None:
        said.append(("Money at risk is not known.", "warn"))
    elif account is not None and account.equity > 0:
        gain = f", target gains {fmt.money(risk * signal.reward_to_risk, digits)}" if signal.reward_to_risk else ""
        share = fmt.percent(100 * risk / account.equity)
        said.append((f"Stop costs {fmt.money(risk, digits, currency)}, {share} of equity{gain}.", ""))
        if drawdown is not None and drawdown.peak > 0:
            after = 100 * (drawdown.peak - account.equity + risk) / drawdown.peak
            tone: Tone = "alarm" if after >= drawdown.limit_percent else ""
            said.append(
                (f"At the stop, drawdown {fmt.percent(max(0.0, after))} of {fmt.limit(drawdown.limit_percent)}.", tone)
            )
    held = [position for position in snapshot.positions if position.symbol == signal.symbol]
    if held:
        net = sum(position.volume if position.type == 0 else -position.volume for position in held)
        said.append(
            (f"Already open in {plain(signal.symbol, 12)}: {len(held)}, net {fmt.signed(net, 2)} lots.", "warn")
        )
    left = f", {fmt.countdown(signal.seconds_left - age)} left" if signal.state == "PENDING" else ""
    made = f"From {plain(signal.source, 40)} at {fmt.clock(signal.created_at)} UTC{left}, {plain(signal.id, 16)}"
    said.append((f"{made} version {signal.version}.", "dim"))
    if signal.reason:
        said.append((f"Reason: {plain(signal.reason)}", "warn"))
    if signal.note:
        said.append((f"Note: {plain(signal.note)}", ""))
    return tuple((Piece(row, tone),) for text, tone in said for row in textwrap.wrap(text, max(20, width)))


_ORDER: tuple[str, ...] = (
    "signal",
    "symbol",
    "side",
    "volume",
    "price",
    "entry",
    "sl",
    "tp",
    "profit",
    "from",
    "to",
    "mode",
    "kind",
)
_ORDER += ("message", "statement", "reason", "said", "what", "guard", "verdict", "percent")
_BARE = frozenset({"signal", "symbol", "side", "volume", "price", "mode", "kind", "message", "statement", "reason"})
_BARE |= {"said", "what", "verdict"}
_IN_DETAIL = frozenset(
    {"origin", "operator", "via", "intent", "loop_id", "digest", "id", "epoch", "version", "result", "state"}
)
_IN_DETAIL |= {"created_at", "expires_at", "guard_evaluated_at", "halt_reason", "position", "explained"}
_OF_HEARTBEAT = (
    "account_equity",
    "positions_open",
    "trades_executed",
    "signals_processed",
    "error_count",
    "loop_lag_ms",
)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, dict):
        return " ".join(f"{key} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_value(inner) for inner in value)
    return "none" if value is None else str(value)


def event_summary(event: "EventView") -> str:
    """One event in one line: what matters first, then the rest of what it holds."""
    told = dict(event.metadata)
    if isinstance(told.get("result"), dict):
        told["message"] = told["result"].get("message")
    if event.event_type == "heartbeat":
        told = {key: told[key] for key in _OF_HEARTBEAT if key in told} or told
    if event.event_type.startswith(("signal_", "trade_")):
        told.pop("from", None)
    held = {key: value for key, value in told.items() if key not in _IN_DETAIL and value not in (None, "", [])}
    ordered = [key for key in _ORDER if key in held] + [key for key in held if key not in _ORDER]
    words = [_value(held[key]) if key in _BARE else f"{key.replace('_', ' ')} {_value(held[key])}" for key in ordered]
    return plain("  ".join(words), 400)


def event_tone(event_type: str) -> Tone:
    """What an event's type means for the operator."""
    if event_type in (
        "guard_tripped",
        "trade_unknown",
        "stop_missing",
        "guard_error",
        "reading_blind",
        "flatten_deferred",
        "flatten_cancelled",
        "closing_deferred",
        "deal_unexplained",
        "funds_unexplained",
        "guard_block",
        "guard_locked",
        "alert_failed",
        "broker_clock_changed",
    ):
        return "alarm"
    if event_type in (
        "trade_failed",
        "signal_blocked",
        "gateway_lost",
        "guard_warn",
        "loop_error",
        "flatten_started",
        "stop_changed",
        "cash_flow",
        "clock_set",
        "bases_set",
        "guards_configured",
        "alert_raised",
    ):
        return "warn"
    if event_type in (
        "trade_executed",
        "flatten_finished",
        "closing_finished",
        "guard_cleared",
        "reading_restored",
        "funds_explained",
    ):
        return "good"
    return "dim" if event_type == "heartbeat" else ""


def event_detail(event: "EventView", width: int) -> tuple[Line, ...]:
    """All that one event holds."""
    head = f"{event.seq}  {plain(event.event_type, 40)}  {fmt.stamp(event.timestamp)} UTC  {plain(event.account, 60)}"
    body = "  ".join(f"{plain(key, 40)}={plain(_value(value), 400)}" for key, value in event.metadata.items())
    wrapped = textwrap.wrap(body or "nothing more", max(20, width))
    return ((Piece(head, "strong"),), *((Piece(row),) for row in wrapped))
