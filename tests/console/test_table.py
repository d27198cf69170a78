"""The table's promises: changed cells only, a cursor bound to its row, columns that fit."""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.screen import Screen

from console.state import Piece, Row
from console.widgets.choices import Choice, Choices
from console.widgets.ink import TONE_CLASSES, Ink, first_difference, fitted
from console.widgets.keyed_table import Column, KeyedTable
from tests.console.fake import Ticking, frame

COLUMNS = (Column("Key"), Column("Figure", right=True), Column("Note", drop=1), Column("More", drop=2))


def row(key: str, figure: str = "1.00", note: str = "note") -> Row:
    return Row(key, (Piece(key), Piece(figure, "good"), Piece(note), Piece("more " * 4)), key, 1)


class TonedScreen(Screen[None]):
    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)


class TableApp(App[None]):
    CSS = "KeyedTable { height: 10; overflow-x: hidden; }"

    def __init__(self) -> None:
        super().__init__()
        self.clock = Ticking()

    def get_default_screen(self) -> Screen[None]:
        return TonedScreen()

    def compose(self) -> ComposeResult:
        yield KeyedTable(COLUMNS, id="rows", clock=self.clock)


def watched(table: KeyedTable) -> list[Sequence[Region]]:
    asked: list[Sequence[Region]] = []
    original = table.refresh

    def refresh(*regions: Region, **over: Any) -> KeyedTable:
        asked.append(regions)
        original(*regions, **over)
        return table

    table.refresh = refresh  # type: ignore[method-assign]
    return asked


async def test_one_changed_cell_refreshes_only_its_own_place() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        table = app.query_one(KeyedTable)
        table.show([row(f"r{n}") for n in range(5)])
        await pilot.pause()
        asked = watched(table)
        table.show([row(f"r{n}", "2.00" if n == 3 else "1.00") for n in range(5)])
        assert len(asked) == 1
        (region,) = asked[0]
        assert region.size == (6, 1)
        assert region.y == 4
        await pilot.pause()
        line = frame(app).splitlines()[4]
        assert line[region.x : region.right] == "  2.00"


async def test_equal_rows_and_rows_out_of_sight_refresh_nothing() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        table = app.query_one(KeyedTable)
        rows = [row(f"r{n:02}") for n in range(50)]
        table.show(rows)
        await pilot.pause()
        asked = watched(table)
        table.show([row(f"r{n:02}") for n in range(50)])
        table.show([*rows[:40], row("r40", "9.99"), *rows[41:]])
        assert asked == []


async def test_the_cursor_follows_its_row_and_its_neighbour_waits() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        table = app.query_one(KeyedTable)
        assert table.selected is None
        table.action_move(1)
        table.show([row(key) for key in "abcd"])
        assert table.cursor_key == "a"
        assert table.settled
        await pilot.press("down", "down")
        assert table.cursor_key == "c"
        table.show([row(key) for key in "xyabcd"])
        assert table.cursor_key == "c"
        table.show([row(key) for key in "abd"])
        assert table.cursor_key == "d"
        assert not table.settled
        app.clock.now += 0.6
        assert table.settled
        table.show([row(key) for key in "ab"])
        assert table.cursor_key == "b"
        assert not table.settled
        await pilot.press("up")
        assert table.settled
        table.show([])
        assert table.selected is None
        assert table.cursor == -1


async def test_keys_and_clicks_move_and_scroll() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        table = app.query_one(KeyedTable)
        table.focus()
        table.show([row(f"r{n:02}") for n in range(50)])
        await pilot.pause()
        await pilot.press("end")
        await pilot.pause()
        assert "> r49" in frame(app)
        await pilot.press("home", "pagedown")
        await pilot.pause()
        assert table.cursor_key == "r08"
        await pilot.press("home")
        await pilot.click(KeyedTable, offset=(5, 3))
        assert table.cursor_key == "r02"
        await pilot.click(KeyedTable, offset=(5, 0))
        assert table.cursor_key == "r02"


async def test_a_narrow_terminal_leaves_out_the_least_important_column() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 12)) as pilot:
        table = app.query_one(KeyedTable)
        table.show([row("a")])
        await pilot.pause()
        assert "More" in frame(app)
        await pilot.resize_terminal(24, 12)
        await pilot.pause()
        assert "More" not in frame(app)
        assert "Note" in frame(app)
        await pilot.resize_terminal(12, 12)
        await pilot.pause()
        assert "Note" not in frame(app)
        assert "Figure" in frame(app)


def test_text_is_fitted_by_cells_and_ends_in_an_ellipsis() -> None:
    assert fitted("abc", 5) == "abc  "
    assert fitted("abc", 5, right=True) == "  abc"
    assert fitted("abcdef", 4) == "abc…"
    assert fitted("abcdef", 0) == ""
    assert fitted("日本語", 5) == "日本…"


def test_a_line_is_drawn_again_from_where_it_differs() -> None:
    before = (Piece("Equity "), Piece("10.00", "strong"), Piece(" x"))
    assert first_difference(before, (Piece("Equity "), Piece("10.01", "strong"), Piece(" x"))) == 11
    assert first_difference(before, (Piece("Equity "), Piece("10.00", "dim"), Piece(" x"))) == 7
    assert first_difference(before, before[:2]) == 12


class InkApp(App[None]):
    CSS = "Ink { height: auto; } Ink.-empty { display: none; } Choices { height: auto; }"

    def compose(self) -> ComposeResult:
        yield Ink(id="ink")
        yield Choices([Choice("no", "No"), Choice("yes", "Yes", danger=True)], "no")

    def on_choices_chosen(self, message: Choices.Chosen) -> None:
        self.sub_title = message.name


async def test_ink_takes_no_room_without_lines_and_forgets_nothing_of_a_longer_line() -> None:
    app = InkApp()
    async with app.run_test(size=(30, 6)) as pilot:
        ink = app.query_one(Ink)
        assert not ink.display
        ink.show([(Piece("a long line"),)])
        await pilot.pause()
        assert frame(app).startswith("a long line")
        ink.show([(Piece("a"),)])
        await pilot.pause()
        assert frame(app).splitlines()[0].strip() == "a"


async def test_choices_stop_at_their_ends_and_a_click_chooses() -> None:
    app = InkApp()
    async with app.run_test(size=(30, 6)) as pilot:
        choices = app.query_one(Choices)
        choices.focus()
        await pilot.press("up", "up")
        assert choices.here == 0
        await pilot.press("tab", "tab", "down")
        assert choices.here == 1
        await pilot.click(Choices, offset=(2, 0))
        await pilot.pause()
        assert app.sub_title == "no"
