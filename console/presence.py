"""Who else is attached, in words. Pure, like state.py.

In: a View. Out: Lines of Pieces. Names and places come from outside and are cleaned here and once more where drawn.
"""

from typing import TYPE_CHECKING

from rich.cells import cell_len

from console import format as fmt
from console.state import Line, Piece, View
from console.text import plain

if TYPE_CHECKING:
    from engine.control.messages import AttachedView


def others(view: View) -> "list[AttachedView]":
    """Those attached besides this console; none when it cannot tell itself from them."""
    if not view.console_id:
        return []
    me = view.me
    return [who for who in (view.snapshot.attached if view.snapshot else ()) if who is not me]


def others_here(view: View, tabs: Line, width: int) -> Line:
    """How many others are attached and who, as much of it as fits behind the tabs; nothing when alone."""
    found = others(view)
    if not found or view.stale:
        return ()
    names = ", ".join(dict.fromkeys(_named(who) for who in found))
    count = f"{len(found)} other{'s' if len(found) > 1 else ''}"
    room = width - 1 - sum(cell_len(piece.text) for piece in tabs)
    for said in (f"  w {count}: {names}", f"  w {count} attached", f"  w +{len(found)}"):
        if cell_len(said) <= room:
            return (Piece(said, "dim"),)
    return ()


def who_lines(view: View) -> list[Line]:
    """Everybody attached: name, role, since when, from where."""
    if view.snapshot is None:
        return [(Piece("Not known: no engine is connected.", "warn"),)]
    lines: list[Line] = []
    for who in view.snapshot.attached:
        here = "  (this console)" if who is view.me else ""
        lines.append((Piece(f"{plain(who.name, 32)}", "strong"), Piece(f"  {who.role}  {plain(who.origin, 32)}{here}")))
        place = plain(who.via, 80) or "at this machine, as far as it says"
        age = fmt.age(max(0.0, (view.snapshot.time - who.since).total_seconds()))
        lines.append((Piece(f"    since {fmt.stamp(who.since)} UTC, {age}; {place}", "dim"),))
    if not lines:
        lines.append((Piece("Nobody is attached by a stream.", "dim"),))
    if view.stale:
        lines.append((Piece(f"STALE: as it was {fmt.age(view.age)} ago", "alarm"),))
    return lines


def _named(who: "AttachedView") -> str:
    return f"{plain(who.name, 24)}{' (viewer)' if who.role == 'viewer' else ''}"
