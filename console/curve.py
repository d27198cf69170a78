"""The equity curve as text: the one place that knows plotext.

In: points that the engine has thinned, the peak and the guard's floor. Out: a Text of exactly the size asked for, its
colours replaced by the caller's styles. A stretch in which the engine was down is left open, never bridged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.style import Style
from rich.text import Text

from console import format as fmt

if TYPE_CHECKING:
    from engine.control.messages import EquityCurve, EquityPoint

EQUITY_COLOUR, FLOOR_COLOUR, PEAK_COLOUR = 2, 1, 4
"""Numbers by which the curve's lines are told apart in plotext's output; the styles decide how they look."""


_FRAME_ROWS = 3
"""Rows that plotext's frame and time labels take."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a curve says in numbers. Money in account currency, percent from 0 to 100."""

    last: float
    deepest_percent: float
    """The deepest fall from a high to a later low among the points."""
    gaps: int


def stretches(curve: "EquityCurve") -> "list[list[EquityPoint]]":
    """The points in unbroken runs: between two runs the engine was down."""
    runs: list[list[EquityPoint]] = []
    for point in curve.points:
        before = runs[-1][-1] if runs else None
        step = max(curve.resolution_seconds, before.seconds) if before else 0
        if before is None or (point.start - before.start).total_seconds() > 1.5 * step + 1:
            runs.append([])
        runs[-1].append(point)
    return runs


def figures(curve: "EquityCurve") -> Figures | None:
    """The curve in numbers; None without points."""
    if not curve.points:
        return None
    high, deepest = curve.points[0].high, 0.0
    for point in curve.points:
        high = max(high, point.high)
        if high > 0:
            deepest = max(deepest, 100 * (high - point.low) / high)
    return Figures(curve.points[-1].last, deepest, len(stretches(curve)) - 1)


@lru_cache(maxsize=1)
def _plotext() -> Any:
    import plotext  # Imported late: it costs as much as a tenth of the whole start.

    return plotext


def draw(
    curve: "EquityCurve",
    width: int,
    height: int,
    style: Callable[[int], Style],
    *,
    digits: int = 2,
    zoomed: bool = False,
    dots: str = "braille",
) -> Text:
    """Draw the curve with the peak's and the limit's line. `zoomed` leaves the limit out if it lies below the curve."""
    if not curve.points or width < 20 or height < 5:
        return Text("")
    plot = _plotext()
    plot.clear_figure()
    plot.theme("clear")
    plot.limit_size(False, False)
    plot.plot_size(width, height)
    runs = stretches(curve)
    low, high = min(point.low for point in curve.points), max(point.high for point in curve.points)
    top = max(high, curve.peak)
    bottom = low if zoomed else min(low, curve.floor)
    rows = height - _FRAME_ROWS
    # The highest and the lowest level lie on whole rows, one from the edge: so curve, lines and labels agree.
    step = max((top - bottom) / max(1, rows - 3), 10.0**-digits)
    lowest = bottom - step
    plot.ylim(lowest, lowest + step * (rows - 1))
    first, last = curve.points[0].start.timestamp(), curve.points[-1].start.timestamp()
    last = max(last, first + 1)
    plot.xlim(first, last)
    levels = {curve.peak: PEAK_COLOUR}
    if bottom <= curve.floor:
        levels[curve.floor] = FLOOR_COLOUR
    for level, colour in levels.items():
        plot.hline(level, color=colour)
    for run in runs:
        times, values = _path(run)
        plot.plot(times, values, marker=dots, color=EQUITY_COLOUR)
    plot.yticks(*_value_ticks(lowest, step, rows, levels, digits))
    plot.xticks(*_time_ticks(first, last, width))
    return _styled(Text.from_ansi(plot.build().rstrip("\n"), no_wrap=True), style)


def _path(run: "Sequence[EquityPoint]") -> tuple[list[float], list[float]]:
    times: list[float] = []
    values: list[float] = []
    for point in run:
        moment = point.start.timestamp()
        times += [moment, moment, moment]
        values += [point.high, point.low, point.last]
    return times, values


def _value_ticks(
    lowest: float, step: float, rows: int, levels: Mapping[float, int], digits: int
) -> tuple[list[float], list[str]]:
    names = {FLOOR_COLOUR: "LIMIT", PEAK_COLOUR: "PEAK"}
    ticks = {level: f"{names[colour]} {fmt.number(level, digits)}" for level, colour in levels.items()}
    for row in range(1, rows - 1, 4):
        value = lowest + row * step
        if all(abs(value - level) > 1.5 * step for level in levels):
            ticks[value] = fmt.number(value, digits)
    return list(ticks), list(ticks.values())


def _time_ticks(first: float, last: float, width: int) -> tuple[list[float], list[str]]:
    pattern = "%H:%M:%S" if last - first < 3600 else "%H:%M" if last - first < 86_400 else "%m-%d %H:%M"
    count = max(2, min(8, width // 24))
    ticks = [first + (last - first) * step / count for step in range(count + 1)]
    return ticks, [datetime.fromtimestamp(tick, UTC).strftime(pattern) for tick in ticks]


def _styled(text: Text, style: Callable[[int], Style]) -> Text:
    """Replace the colour numbers of plotext by the caller's styles."""
    drawn = Text(text.plain, no_wrap=True, end="")
    for span in text.spans:
        colour = span.style.color if isinstance(span.style, Style) else None
        if colour is not None and colour.number is not None:
            drawn.stylize(style(colour.number), span.start, span.end)
    return drawn
