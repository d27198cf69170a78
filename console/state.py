"""From a snapshot to what is shown: rows, lines and words. Pure: no widget, no clock, no network.

In: a View (the last snapshot, how old it is, how the link stands). Out: Pieces (text with a tone), Rows with the key
and the version that a command will name, and the difference between two lists of rows. A tone names a meaning; its
colour is in styles/ and the same meaning is always in the words or the sign too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from console import format as fmt
from console.text import plain

if TYPE_CHECKING:
    from engine.control.messages import AttachedView, ClosingView, FlattenView, PositionView, SignalView, Snapshot

STALE_AFTER_SECONDS = 1.0
"""A snapshot older than this is not live any more, and the screen says so in words."""

Tone = Literal["", "strong", "dim", "good", "bad", "warn", "alarm", "paper", "demo", "live", "key", "here"]


class Piece(NamedTuple):
    """Some text and what it means."""

    text: str
    tone: Tone = ""


Line = tuple[Piece, ...]


class Phase(StrEnum):
    """How the console's link to the engine stands. STOPPED: the engine was told to stop and is not started again."""

    CONNECTING = "CONNECTING"
    CONNECTED = "CONNECTED"
    DISCONNECTED = "DISCONNECTED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class View:
    """All that the console knows at one paint. Ages in seconds."""

    snapshot: "Snapshot | None" = None
    age: float = 0.0
    """Since the snapshot came."""
    phase: Phase = Phase.CONNECTING
    phase_age: float = 0.0
    detail: str = ""
    """Why the link is down and what is being done about it."""
    fault: str = ""
    """A failure of the console itself."""
    console_id: str = ""
    """What this console calls itself towards the engine."""
    read_only: bool = False
    """Whether it was started only to look."""

    @property
    def me(self) -> "AttachedView | None":
        """This console among those attached; None until the engine shows it."""
        attached = self.snapshot.attached if self.snapshot and self.console_id else []
        return next((who for who in attached if who.id == self.console_id), None)

    @property
    def looks_only(self) -> bool:
        """Whether the engine would refuse whatever acts."""
        return self.read_only or (self.me is not None and self.me.role == "viewer")

    @property
    def stale(self) -> bool:
        """Whether what is shown is no longer live."""
        return self.snapshot is not None and (self.phase is not Phase.CONNECTED or self.age >= STALE_AFTER_SECONDS)

    @property
    def mode(self) -> str:
        """The engine's mode; empty before the first snapshot."""
        return self.snapshot.engine.mode if self.snapshot else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table. `key` says which row it is; a command names `subject` and `version`."""

    key: str
    cells: Line
    subject: str = ""
    version: int = 0
    state: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between two lists of rows: either other rows (or another order), or some cells."""

    rows: bool
    cells: tuple[tuple[int, int], ...] = ()
    """(row, column) of every cell that is drawn differently."""


def changes(before: Sequence[Row], after: Sequence[Row]) -> Changes:
    """Say what must be drawn again."""
    if [row.key for row in before] != [row.key for row in after]:
        return Changes(rows=True)
    return Changes(
        rows=False,
        cells=tuple(
            (index, column)
            for index, (old, new) in enumerate(zip(before, after, strict=True))
            if old.cells is not new.cells
            for column, (was, now) in enumerate(zip(old.cells, new.cells, strict=True))
            if was != now
        ),
    )


def tone_of(amount: float) -> Tone:
    """Profit is good, loss is bad; the sign in the text says the same."""
    return "good" if amount > 0 else "bad" if amount < 0 else ""


def connection(view: View) -> Piece:
    """The link in words: CONNECTED, STALE n s, DISCONNECTED n s."""
    if view.phase is Phase.CONNECTED:
        if view.snapshot is None:
            return Piece("CONNECTED, no data yet", "warn")
        if view.stale:
            return Piece(f"STALE {int(view.age)} s", "alarm")
        return Piece("CONNECTED", "good")
    if view.phase is Phase.CONNECTING:
        return Piece("CONNECTING", "warn")
    if view.phase is Phase.STOPPED:
        return Piece("DISCONNECTED, engine stopped", "alarm")
    return Piece(f"DISCONNECTED {int(view.phase_age)} s", "alarm")


def data_age(view: View) -> Piece:
    """How old the account's figures are, and whether the engine itself still believes them."""
    if view.snapshot is None:
        return Piece("no data", "dim")
    reading = view.snapshot.reading
    if reading.age_seconds is None:
        return Piece("no reading yet", "warn")
    age = fmt.age(reading.age_seconds + view.age)
    if view.stale:
        return Piece(f"data {age} old, STALE", "alarm")
    if reading.validity != "VALID":
        return Piece(f"reading {reading.validity} {age}", "alarm")
    return Piece(f"data {age}", "dim")


def pending(snapshot: "Snapshot") -> "list[SignalView]":
    """The signals that wait for a decision, oldest first."""
    return [signal for signal in snapshot.signals if signal.state == "PENDING"]


def approval_rows(view: View, contains: str = "") -> list[Row]:
    """Pending signals, then those under way. Cells as APPROVAL_COLUMNS of the screen."""
    if view.snapshot is None:
        return []
    account = view.snapshot.account
    digits = account.currency_digits if account else 2
    waiting = pending(view.snapshot)
    under_way = [signal for signal in view.snapshot.signals if signal.state != "PENDING"]
    return [
        _approval_row(signal, digits, view.age)
        for signal in (*waiting, *under_way)
        if _holds(contains, signal.symbol, signal.source, signal.id)
    ]


_KINDS = {"market": "", "limit": " limit", "stop": " stop"}


def _approval_row(signal: "SignalView", money_digits: int, age: float) -> Row:
    waits = signal.state == "PENDING"
    left = signal.seconds_left - age
    tone: Tone = "" if waits else "dim"
    cells = (
        Piece(plain(signal.symbol, 12), "strong" if waits else "dim"),
        Piece(f"{signal.side.upper()}{_KINDS[signal.order_type]}", tone),
        Piece(fmt.volume(signal.volume), tone),
        Piece(fmt.price(signal.entry, signal.digits), tone),
        Piece(fmt.price(signal.sl, signal.digits), tone),
        Piece(fmt.price(signal.tp, signal.digits), tone),
        Piece(fmt.ratio(signal.reward_to_risk), tone),
        Piece(fmt.money(signal.money_at_risk, money_digits), tone),
        Piece(fmt.points(signal.drift_points), "warn" if waits and (signal.drift_points or 0) > 0 else tone),
        Piece(fmt.countdown(left), "warn" if left < 30 else "") if waits else Piece(fmt.MISSING, "dim"),
        Piece(plain(signal.state, 12), "strong" if waits else "alarm" if signal.state == "UNKNOWN" else ""),
        Piece(plain(signal.source, 16), "dim"),
        Piece(plain(signal.id, 12), "dim"),
    )
    group = "pending" if waits else "under way"
    return Row(f"{group}:{signal.id}", cells, signal.id, signal.version, signal.state)


def position_rows(view: View, contains: str = "") -> list[Row]:
    """Open positions by ticket. Cells as POSITION_COLUMNS of the screen."""
    if view.snapshot is None:
        return []
    account = view.snapshot.account
    digits = account.currency_digits if account else 2
    return [
        _position_row(position, digits)
        for position in sorted(view.snapshot.positions, key=lambda position: position.ticket)
        if _holds(contains, position.symbol, str(position.ticket), position.comment)
    ]


def _position_row(position: "PositionView", money_digits: int) -> Row:
    about = position.note or position.comment
    cells = (
        Piece(str(position.ticket)),
        Piece(plain(position.symbol, 12), "strong"),
        Piece("BUY" if position.type == 0 else "SELL"),
        Piece(fmt.volume(position.volume)),
        Piece(fmt.price(position.price_open, position.digits)),
        Piece(fmt.price(position.price_current, position.digits)),
        Piece(fmt.signed(position.profit, money_digits), tone_of(position.profit)),
        Piece(fmt.price(position.sl, position.digits), "" if position.sl else "warn"),
        Piece(fmt.price(position.tp, position.digits)),
        Piece("FOREIGN" if position.foreign else position.owner, "warn" if position.foreign else "dim"),
        Piece(fmt.signed(position.swap, money_digits), tone_of(position.swap)),
        Piece(fmt.stamp(position.opened_at), "dim"),
        Piece(plain(about, 60), "warn" if position.note else "dim"),
    )
    return Row(f"position:{position.identifier}", cells, str(position.ticket))


def _holds(contains: str, *texts: str) -> bool:
    wanted = contains.casefold()
    return any(wanted in text.casefold() for text in texts)


def position_total(view: View) -> Line:
    """The line under the positions: how many, how much, whose."""
    snapshot = view.snapshot
    if snapshot is None or not (snapshot.positions or snapshot.orders):
        return ()
    digits = snapshot.account.currency_digits if snapshot.account else 2
    currency = plain(snapshot.account.currency, 8) if snapshot.account else ""
    total = sum(position.profit + position.swap for position in snapshot.positions)
    foreign = sum(position.foreign for position in snapshot.positions)
    count = len(snapshot.positions)
    line = [
        Piece(f" {count} position{'s' if count > 1 else ''}  "),
        Piece(f"{fmt.signed(total, digits)} {currency}", tone_of(total)),
        Piece(" with swap"),
    ]
    if foreign:
        line.append(Piece(f"  {foreign} FOREIGN (not ours)", "warn"))
    unprotected = sum(not position.sl for position in snapshot.positions)
    if snapshot.orders:
        others = sum(order.owner == "foreign" for order in snapshot.orders)
        whose = f", {others} FOREIGN" if others else ""
        stand = "order stands" if len(snapshot.orders) == 1 else "orders stand"
        line.append(Piece(f"  {len(snapshot.orders)} {stand} at the broker{whose}", "warn" if others else ""))
    if unprotected:
        line.append(Piece(f"  {unprotected} without a stop", "warn"))
    if view.stale:
        line.append(Piece(f"  STALE {fmt.age(view.age)}", "alarm"))
    return tuple(line)


def closing_words(closing: "ClosingView") -> str:
    """One sentence on a scoped close."""
    done = f"{closing.positions_closed} closed, {closing.orders_cancelled} cancelled"
    said = plain(closing.statement, 200) or "; ".join(plain(item, 80) for item in closing.remaining[:3])
    return f"Close {closing.id} {closing.state}: {plain(closing.scope, 80)} ({done}){': ' if said else ''}{said}"


def flatten_words(flatten: "FlattenView") -> str:
    """One sentence on a running or finished flatten."""
    done = f"{flatten.positions_closed} closed, {flatten.orders_cancelled} cancelled"
    if flatten.statement and flatten.state in ("FLAT", "CANCELLED"):
        return f"Flatten: {plain(flatten.statement)} ({done})"
    left = f"; left: {'; '.join(plain(item, 60) for item in flatten.remaining[:5])}" if flatten.remaining else ""
    more = f" and {len(flatten.remaining) - 5} more" if len(flatten.remaining) > 5 else ""
    said = f" {plain(flatten.statement)}" if flatten.statement else ""
    return f"Flatten {flatten.state}: {done}{left}{more}{said}"
