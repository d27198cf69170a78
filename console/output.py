"""What the command line prints: aligned text for people, JSON for programs.

In: a snapshot or a part of it. Out: lines. Text from outside is cleaned on its way to the terminal; JSON is written in
ASCII, so that nothing in it can steer a terminal either.
"""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from console import format as fmt
from engine.text import plain

if TYPE_CHECKING:
    from engine.control.messages import EventView, FlattenView, OrderView, PositionView, SignalView, Snapshot

_MT5_POSITION_FIELDS = {
    "ticket",
    "symbol",
    "type",
    "volume",
    "price_open",
    "price_current",
    "sl",
    "tp",
    "profit",
    "swap",
    "magic",
    "comment",
}
_METADATA_CHARACTERS = 300


def say(text: str) -> None:
    """Print lines, each made safe."""
    for line in text.split("\n"):
        typer.echo(plain(line, 2000))


def complain(text: str) -> None:
    """Print lines on the standard error, each made safe."""
    for line in text.split("\n"):
        typer.echo(plain(line, 2000), err=True)


def say_json(value: Any) -> None:
    """Print one JSON value on one line."""
    typer.echo(json.dumps(value, allow_nan=False))


def status_json(snapshot: "Snapshot") -> dict[str, Any]:
    """The engine's status for programs. Percent is 0 to 100, times are ISO 8601 UTC, what is not known is null."""
    whole = snapshot.model_dump(mode="json")
    account, drawdown = whole["account"], whole["drawdown"]
    market = whole["markets"][0] if whole["markets"] else None
    return {
        "mode": whole["engine"]["mode"],
        "environment": whole["engine"]["environment"],
        "account": account and _picked(account, "login", "server", "currency", "balance", "equity", "margin"),
        "reading": _picked(whole["reading"], "validity", "age_seconds"),
        "drawdown": drawdown and _picked(drawdown, "peak", "percent", "limit_percent", "headroom"),
        "positions": len(snapshot.positions),
        "pending_signals": _pending(snapshot),
        "gateway": _picked(whole["gateway"], "connected", "restarts"),
        "engine": _picked(whole["engine"], "pid", "started_at", "heartbeat_age_seconds"),
        "market": market and _picked(market, "symbol", "bid", "ask", "time", "finished"),
    }


def status_text(snapshot: "Snapshot") -> str:
    """The engine's status for people."""
    engine, account, reading, drawdown = snapshot.engine, snapshot.account, snapshot.reading, snapshot.drawdown
    rows = [(engine.environment.upper(), f"{engine.mode}  profile {engine.profile}")]
    rows += [("notice", plain(notice)) for notice in engine.notices]
    if engine.halt_reason is not None:
        rows.append(("halted", plain(engine.halt_reason)))
    digits = account.currency_digits if account else 2
    if account is not None:
        rows += [
            ("account", f"{account.login} @ {plain(account.server)}"),
            ("equity", fmt.money(account.equity, digits, plain(account.currency))),
            ("balance", fmt.money(account.balance, digits, plain(account.currency))),
            ("margin", fmt.money(account.margin, digits, plain(account.currency))),
        ]
    age = "" if reading.age_seconds is None else f"  {fmt.age(reading.age_seconds)} old"
    rows.append(("reading", f"{reading.validity}{age}  {plain(reading.reason)}"))
    if drawdown is not None:
        rows.append(
            (
                "drawdown",
                f"{fmt.percent(drawdown.percent)} of {fmt.limit(drawdown.limit_percent)}"
                f"  peak {fmt.money(drawdown.peak, digits)}  headroom {fmt.money(drawdown.headroom, digits)}",
            )
        )
    from console.risk_rows import nearest

    nearer = nearest(snapshot)
    if nearer is not None:
        left = fmt.money(nearer.headroom, digits)
        rows.append(("nearest", f"{plain(nearer.name)}  {nearer.used * 100:.0f} % used  headroom {left}"))
    rows.append(("positions", str(len(snapshot.positions))))
    rows.append(("orders", str(len(snapshot.orders))))
    rows.append(("pending", _count(_pending(snapshot), "signal")))
    linked = "connected" if snapshot.gateway.connected else "NOT CONNECTED"
    rows.append(("gateway", f"{linked}  {_count(snapshot.gateway.restarts, 'restart')}"))
    beat = engine.heartbeat_age_seconds
    beaten = "no heartbeat yet" if beat is None else f"heartbeat {fmt.age(beat)} ago"
    rows.append(("engine", f"pid {engine.pid}  since {fmt.stamp(engine.started_at)} UTC  {beaten}"))
    for market in snapshot.markets:
        prices = f"{fmt.price(market.bid, market.digits)} / {fmt.price(market.ask, market.digits)}"
        end = "  finished" if market.finished else ""
        rows.append((plain(market.symbol), f"{prices}  {fmt.stamp(market.time)}{end}"))
    if snapshot.flatten is not None:
        rows.append(("flatten", _ending(snapshot.flatten.id, snapshot.flatten.state, snapshot.flatten.statement)))
    rows += [
        ("close", f"{_ending(item.id, item.state, item.statement or '; '.join(item.remaining))}  ({plain(item.scope)})")
        for item in snapshot.closings
        if item.state in ("RUNNING", "DEFERRED")
    ]
    return aligned(rows)


def positions_json(positions: "Sequence[PositionView]") -> list[dict[str, Any]]:
    """Open positions with MT5's field names."""
    return [position.model_dump(mode="json", include=_MT5_POSITION_FIELDS) for position in positions]


def positions_text(positions: "Sequence[PositionView]") -> str:
    """Open positions, one a line."""
    if not positions:
        return "no open positions"
    head = (
        "position",
        "ticket",
        "symbol",
        "side",
        "volume",
        "open",
        "current",
        "stop",
        "target",
        "profit",
        "swap",
        "comment",
    )
    rows = [
        (
            str(position.identifier),
            str(position.ticket),
            plain(position.symbol),
            "sell" if position.type else "buy",
            fmt.volume(position.volume),
            fmt.price(position.price_open, position.digits),
            fmt.price(position.price_current, position.digits),
            fmt.price(position.sl, position.digits),
            fmt.price(position.tp, position.digits),
            fmt.signed(position.profit, 2),
            fmt.signed(position.swap, 2),
            plain(f"{position.comment}  {position.note}"),
        )
        for position in positions
    ]
    return aligned([head, *rows])


def orders_text(orders: "Sequence[OrderView]") -> str:
    """Standing orders, one a line."""
    if not orders:
        return "no standing orders"
    head = ("order", "symbol", "type", "volume", "price", "stop", "target", "placed", "owner", "signal", "comment")
    rows = [
        (
            str(order.ticket),
            plain(order.symbol),
            plain(order.type),
            fmt.volume(order.volume),
            fmt.price(order.price, order.digits),
            fmt.price(order.sl, order.digits),
            fmt.price(order.tp, order.digits),
            fmt.stamp(order.placed_at),
            order.owner,
            plain(order.signal),
            plain(order.comment),
        )
        for order in orders
    ]
    return aligned([head, *rows])


def signals_text(signals: "Sequence[SignalView]") -> str:
    """Signals, one a line: pending ones first."""
    if not signals:
        return "no signals"
    head = ("signal", "state", "side", "volume", "symbol", "entry", "stop", "target", "reward", "risk", "drift", "left")
    rows = [
        (
            f"{plain(signal.id)}@{signal.version}",
            plain(signal.state),
            signal.side if signal.order_type == "market" else f"{signal.side} {signal.order_type}",
            fmt.volume(signal.volume),
            plain(signal.symbol),
            fmt.price(signal.entry, signal.digits),
            fmt.price(signal.sl, signal.digits),
            fmt.price(signal.tp, signal.digits),
            fmt.ratio(signal.reward_to_risk),
            fmt.money(signal.money_at_risk, 2),
            fmt.points(signal.drift_points),
            fmt.countdown(signal.seconds_left),
        )
        for signal in signals
    ]
    return aligned([head, *rows])


def event_text(event: "EventView") -> str:
    """One event on one line."""
    written = json.dumps(event.metadata, ensure_ascii=False, default=str) if event.metadata else ""
    return f"{event.seq:>8}  {event.timestamp:%Y-%m-%d %H:%M:%S}  {plain(event.event_type):<18}  " + plain(
        written, _METADATA_CHARACTERS
    )


def left_text(flatten: "FlattenView | None", snapshot: "Snapshot | None") -> str:
    """What a flatten has not closed yet, as far as it is known."""
    if flatten is not None and flatten.remaining:
        return "\n".join(f"  {plain(line)}" for line in flatten.remaining)
    if snapshot is not None and snapshot.positions:
        return positions_text(snapshot.positions)
    return "  no position was seen, but the broker has not confirmed that the account is flat"


def _ending(name: str, state: str, said: str) -> str:
    return f"{plain(name)}  {state}  {plain(said)}"


def _picked(whole: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: whole[name] for name in names}


def _pending(snapshot: "Snapshot") -> int:
    return sum(signal.state == "PENDING" for signal in snapshot.signals)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells in columns."""
    held = list(rows)
    widths = [max(len(row[column]) for row in held) for column in range(len(held[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in held
    )
