"""From a snapshot to what the Risk screen and the header show of the guards. Pure: no widget, no clock, no network.

In: a View. Out: rows and lines. A bar is drawn in plain signs, so that a narrow or colourless terminal shows it too:
`#` what is used up, `|` where the warning begins, `!` when it is beyond the limit.
"""

import math
import textwrap
from typing import TYPE_CHECKING

from console import format as fmt
from console.state import Line, Piece, Row, Tone, View
from console.text import plain

if TYPE_CHECKING:
    from engine.control.messages import GuardView, Snapshot

BAR_WIDTH = 12
_NOTES = 6
"""Lines above the table, at most: the table is what the screen is for."""
_TONES: dict[str, Tone] = {"CLEAR": "good", "WARN": "warn", "BLOCK": "alarm", "FLATTEN": "alarm"}


def guard_rows(view: View, contains: str = "") -> list[Row]:
    """Every guard in the engine's order. Cells as RISK_COLUMNS of the screen."""
    if view.snapshot is None:
        return []
    account = view.snapshot.account
    digits = account.currency_digits if account else 2
    wanted = contains.casefold()
    return [
        _guard_row(guard, digits, view)
        for guard in view.snapshot.risk.guards
        if wanted in guard.name.casefold() or wanted in guard.said.casefold()
    ]


def verdict_word(guard: "GuardView") -> str:
    """The verdict in one word; what keeps it blocked where that is more than the reading."""
    if guard.failed:
        return "FAILED"
    if guard.lock is not None and guard.verdict == "BLOCK":
        return "LOCKED"
    return guard.verdict


def bar(used: float, warn_at: float | None) -> str:
    """What is used up of a limit: `[#####...|..]`."""
    filled = min(BAR_WIDTH, max(0, int(used * BAR_WIDTH + 1e-9)))
    cells = ["#"] * filled + ["."] * (BAR_WIDTH - filled)
    if warn_at is not None and 0 < warn_at < 1:
        cells[min(BAR_WIDTH - 1, int(warn_at * BAR_WIDTH))] = "|"
    if used >= 1:
        cells[-1] = "!"
    return f"[{''.join(cells)}]"


def used_words(used: float) -> str:
    """The share in whole percent, never rounded up: 100 % is said at the limit and not before."""
    return f"{math.floor(used * 100 + 1e-9)} %"


def amount(value: float, unit: str, digits: int) -> str:
    """A guard's figure with its unit."""
    match unit:
        case "money":
            return fmt.money(value, digits)
        case "percent":
            return fmt.percent(value)
        case "lots":
            return f"{fmt.volume(value)} lots"
        case "points":
            return f"{fmt.points(value)} points"
        case _:
            return f"{value:g}"


def lifts(guard: "GuardView", view: View) -> str:
    """When a lock lifts, or a breach ends by itself."""
    if guard.lock is not None and guard.lock.until is None:
        return "when unlocked (u)"
    until = guard.lock.until if guard.lock is not None else guard.lifts_at
    if until is None:
        return fmt.MISSING
    now = view.snapshot.risk.market_time if view.snapshot is not None else None
    if now is None:
        return fmt.stamp(until)
    return f"{fmt.stamp(until)}, in {fmt.age(max(0.0, (until - now).total_seconds() - view.age))}"


def _guard_row(guard: "GuardView", digits: int, view: View) -> Row:
    word = verdict_word(guard)
    tone: Tone = "alarm" if word in ("FAILED", "LOCKED") else _TONES[guard.verdict]
    timed = guard.unit == "time"
    age = guard.evaluated_age_seconds
    distance = Piece(fmt.MISSING, "dim")
    if guard.headroom is not None:
        share = f" {fmt.percent(guard.headroom_percent)}" if guard.headroom_percent is not None else ""
        distance = Piece(f"{fmt.money(guard.headroom, digits)}{share}", tone if tone != "good" else "")
    cells = (
        Piece(plain(guard.name, 40), "strong"),
        Piece(word, tone),
        Piece(fmt.MISSING if timed else bar(guard.used, guard.warn_at), tone),
        Piece(fmt.MISSING if timed else used_words(guard.used), tone if tone != "good" else ""),
        distance,
        Piece(fmt.money(guard.floor, digits), "" if guard.floor is not None else "dim"),
        Piece(fmt.MISSING if timed else amount(guard.value, guard.unit, digits)),
        Piece(fmt.MISSING if timed else amount(guard.limit, guard.unit, digits)),
        Piece(fmt.age(age + view.age) if age is not None else "never", "" if age is not None else "warn"),
        Piece(lifts(guard, view), "alarm" if guard.lock is not None or guard.lifts_at is not None else "dim"),
        Piece(plain(guard.action, 20), "dim"),
    )
    state = "unlock" if guard.lock is not None and guard.lock.until is None else ""
    return Row(f"guard:{guard.name}", cells, guard.name, 0, state)


def guard_detail(view: View, name: str | None, width: int) -> list[Line]:
    """What the selected guard found, and why it is locked."""
    guard = next((one for one in view.snapshot.risk.guards if one.name == name), None) if view.snapshot else None
    if guard is None:
        return []
    tone: Tone = "alarm" if guard.failed else ""
    said: list[tuple[str, Tone]] = [(f"{plain(guard.name, 64)}: {plain(guard.said)}", tone)]
    account = view.snapshot.account if view.snapshot else None
    digits = account.currency_digits if account else 2
    figures = f"{amount(guard.value, guard.unit, digits)} of {amount(guard.limit, guard.unit, digits)}; "
    said.append((f"{'' if guard.unit == 'time' else figures}at its limit: {plain(guard.action, 20)}.", "dim"))
    if guard.lock is not None:
        said.append((f"Locked since {fmt.stamp(guard.lock.since)} UTC, lifts {lifts(guard, view)}.", "alarm"))
        said.append((f"Because: {plain(guard.lock.reason)}", "warn"))
    if view.stale:
        said.append((f"STALE: these are the guards of {fmt.age(view.age)} ago.", "alarm"))
    return [(Piece(f" {row}", one),) for text, one in said for row in textwrap.wrap(text, max(20, width - 2))]


def risk_lines(view: View, width: int) -> list[Line]:
    """What an operator must decide, or know, beside the guards themselves."""
    if view.snapshot is None:
        return []
    risk, account = view.snapshot.risk, view.snapshot.account
    digits = account.currency_digits if account else 2
    said: list[tuple[str, Tone]] = []
    if risk.funds is not None:
        held = " The guards go on as if it were a cash flow." if risk.funds.provisional else ""
        step = fmt.signed(risk.funds.amount, digits)
        said.append((f"The balance moved by {step} and no deal explains it.{held} e settles it.", "alarm"))
    said += [(f"{plain(wanted)}. b says it.", "alarm") for wanted in risk.bases_wanted]
    if risk.loosened:
        looser = "; ".join(plain(one, 80) for one in risk.loosened)
        said.append((f"Refused until a reset, or a start with nothing open or locked: {looser}", "warn"))
    if risk.trip is not None:
        trip = risk.trip
        floor = f", floor {fmt.money(trip.floor, digits)}" if trip.floor is not None else ""
        words = f"{plain(trip.guard, 64)} closed everything at {fmt.stamp(trip.at)} UTC: {plain(trip.said, 160)}"
        said.append((f"Last trip: {words} (equity {fmt.money(trip.equity, digits)}{floor})", "warn"))
    rows = [(row, tone) for text, tone in said for row in textwrap.wrap(text, max(20, width - 2))[:2]]
    if len(rows) > _NOTES:
        rows[_NOTES - 1 :] = [(f"... and {len(rows) - _NOTES + 1} more lines: quarterdeck risk", "alarm")]
    return [(Piece(f" {row}", tone),) for row, tone in rows]


def nearest(snapshot: "Snapshot") -> "GuardView | None":
    """The limit on equity that is used up most, when it is another one than the drawdown's."""
    limits = [guard for guard in snapshot.risk.guards if guard.floor is not None]
    found = max(limits, key=lambda guard: guard.used, default=None)
    return found if found is not None and found.name != "drawdown" else None


def nearest_pieces(snapshot: "Snapshot", digits: int, currency: str, cut: int = 0) -> list[Piece]:
    """The nearest limit in the header; nothing when that is the drawdown, which is there anyway.

    `cut` is by how many columns its name must be shorter.
    """
    guard = nearest(snapshot)
    if guard is None:
        return []
    tone: Tone = "" if guard.verdict == "CLEAR" else "warn" if guard.verdict == "WARN" else "alarm"
    left = fmt.money(guard.headroom, digits, currency)
    return [
        Piece("Nearest "),
        Piece(
            f"{plain(guard.name, max(4, min(len(guard.name), 24) - cut))} {used_words(guard.used)}", tone or "strong"
        ),
        Piece(f", {left} left", tone),
    ]
