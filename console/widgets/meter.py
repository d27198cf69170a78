"""One line about the line: bytes, paints, what waits, how old the data is. Above the key bar; shown by f12."""

from console import format as fmt
from console.pacing import Pace
from console.state import Line, Piece, View


def meter_line(pace: Pace, view: View) -> Line:
    """What the terminal's line is doing, in words and figures."""
    age = f"{view.age:.1f} s" if view.snapshot is not None else fmt.MISSING
    return (
        Piece(
            f" {pace.bytes_per_second:,.0f} B/s {pace.bytes_total:,} B"
            f"  {pace.paints_per_second:.1f} paints/s {pace.skips_per_second:.1f} skipped"
            f"  {pace.bytes_waiting:,} B waiting  data {age} {view.phase}"
        ),
    )
