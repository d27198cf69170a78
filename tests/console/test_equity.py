"""The equity curve: gaps, figures, lines, and how seldom it is drawn."""

from typing import Any

import pytest
from rich.style import Style

from console import curve as curves
from console.screens import equity as screen
from console.terminal import Terminal
from console.widgets.curve_plot import CurvePlot
from engine.control.errors import ControlError
from tests.console.fake import FakeEngine, connected, console, curve, frame, shown, toasts, until


def drawn(text: str, column: int) -> bool:
    return any(len(line) > column and "\u2800" < line[column] <= "\u28ff" for line in text.splitlines())


def plain(held: Any, **over: Any) -> str:
    return curves.draw(held, 100, 20, lambda colour: Style(), **over).plain


def test_a_stretch_without_points_breaks_the_curve() -> None:
    held = curve(*range(0, 300, 10), *range(700, 1000, 10))
    assert [len(run) for run in curves.stretches(held)] == [30, 30]
    text = plain(held)
    empty = [column for column in range(20, 95) if not drawn(text, column)]
    assert len(empty) >= 25
    assert empty == list(range(empty[0], empty[-1] + 1))
    assert drawn(text, empty[0] - 2)
    assert drawn(text, empty[-1] + 2)


def test_an_unbroken_curve_has_no_gap() -> None:
    held = curve(*range(0, 1000, 10))
    assert len(curves.stretches(held)) == 1
    assert all(drawn(plain(held), column) for column in range(20, 95))


def test_the_limit_and_the_peak_are_named_on_the_axis() -> None:
    text = plain(curve(*range(0, 600, 10)))
    assert "PEAK 10,500.00" in text
    assert "LIMIT 8,400.00" in text
    assert "08:00:00" in text


@pytest.mark.parametrize("height", [13, 20, 41])
@pytest.mark.parametrize("level", [10_500.0, 9_000.0, 8_400.0])
def test_a_curve_on_a_level_lies_on_the_row_of_that_level(height: int, level: float) -> None:
    held = curve(0, 10, 20)
    flat = [point.model_copy(update={"low": level, "high": level, "last": level}) for point in held.points]
    lines = curves.draw(held.model_copy(update={"points": flat}), 100, height, lambda colour: Style()).plain.split("\n")
    row = next(index for index, line in enumerate(lines) if any("\u2800" < letter <= "\u28ff" for letter in line))
    if level == 10_500.0:
        assert "PEAK 10,500.00" in lines[row]
    elif level == 8_400.0:
        assert "LIMIT 8,400.00" in lines[row]
    else:
        assert "PEAK" not in lines[row]
        assert "LIMIT" not in lines[row]


def test_zoomed_the_limit_is_out_of_view() -> None:
    assert "LIMIT" not in plain(curve(*range(0, 600, 10)), zoomed=True)


def test_one_point_and_none_can_be_drawn() -> None:
    assert "PEAK" in plain(curve(0))
    assert plain(curve()) == ""
    assert curves.figures(curve()) is None


def test_the_size_is_exactly_what_was_asked_for() -> None:
    lines = curves.draw(curve(*range(0, 600, 10)), 100, 20, lambda colour: Style()).plain.split("\n")
    assert len(lines) == 20
    assert all(len(line) <= 100 for line in lines)


def test_the_styles_are_the_callers() -> None:
    asked: set[int] = set()

    def style(colour: int) -> Style:
        asked.add(colour)
        return Style(bold=True)

    text = curves.draw(curve(*range(0, 600, 10)), 100, 20, style)
    assert asked == {curves.EQUITY_COLOUR, curves.FLOOR_COLOUR, curves.PEAK_COLOUR}
    assert all(isinstance(span.style, Style) and span.style.color is None for span in text.spans)


def test_the_deepest_fall_is_from_a_high_to_a_later_low() -> None:
    said = curves.figures(curve(0, 10, 500))
    assert said is not None
    assert said.gaps == 1
    assert said.last == 10_450.0
    assert said.deepest_percent == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("ascii_only", "term", "right"), [(False, "xterm", "braille"), (False, "linux", "hd"), (True, "linux", "*")]
)
def test_the_dots_are_what_the_terminal_can_draw(
    monkeypatch: pytest.MonkeyPatch, ascii_only: bool, term: str, right: str
) -> None:
    monkeypatch.setenv("TERM", term)
    assert Terminal(ascii_only=ascii_only).marker == right
    assert plain(curve(*range(0, 600, 10)), dots=right)


async def test_the_curve_is_drawn_once_for_the_same_points() -> None:
    engine = FakeEngine()
    engine.curve = curve(*range(0, 600, 10), 900)
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("3")
        await shown(pilot, "LIMIT 8,400.00", "PEAK", "1 gap: no readings then", "Deepest fall in view 1.00 %")
        plot = app.screen.query_one(CurvePlot)
        before = plot.drawn
        plot.show(curve(*range(0, 600, 10), 900), 2)
        for _ in range(5):
            app.paint()
            await pilot.pause()
        assert plot.drawn == before
        assert len(engine.curves) == 1
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: plot.drawn > before and 120 in engine.curves)
        await pilot.press("z")
        await until(pilot, lambda: "LIMIT 8,400" not in frame(app))
        await pilot.press("z", "slash")
        await shown(pilot, "LIMIT 8,400")
        await until(pilot, lambda: "nothing to filter" in toasts(app))


async def test_a_curve_that_cannot_be_fetched_is_said() -> None:
    engine = FakeEngine()
    engine.problem = ControlError(500, "no disk")
    app = console(engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("3")
        await shown(pilot, "The curve is not up to date: no disk", "being fetched")


async def test_an_account_without_readings_says_so() -> None:
    app = console(FakeEngine())
    async with app.run_test(size=(80, 24)) as pilot:
        await connected(pilot)
        await pilot.press("3")
        await shown(pilot, "No reading has been recorded yet.")


def test_without_an_account_the_figures_say_so() -> None:
    from console.state import View

    assert "not been read" in screen.figure_lines(View(), None, "")[0][0].text
