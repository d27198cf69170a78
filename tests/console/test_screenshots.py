from pathlib import Path

import pytest

from console import screenshots
from tests.console.recorded import RecordedSession


async def attach() -> RecordedSession:
    return RecordedSession()


async def test_every_screen_is_drawn_and_the_same_session_gives_the_same_pictures(tmp_path: Path) -> None:
    pictures: list[dict[str, str]] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written = await screenshots.render(attach, tmp_path / name)
        pictures.append({path.name: path.read_text("utf-8") for path in written})
    assert pictures[0] == pictures[1]
    names = set(pictures[0])
    for screen in ("approvals", "positions", "equity", "events", "help", "flatten"):
        assert {f"{screen}-80x24.svg", f"{screen}-160x45.svg"} <= names
    assert "HALTED" in pictures[0]["halted-160x45.svg"]


async def test_a_recorded_session_takes_no_orders() -> None:
    from engine.control.messages import Pause

    session = RecordedSession()
    assert not (await session.send(Pause())).accepted
    assert (await session.matches("guard_warn")).seqs


def test_the_command_writes_into_the_folder_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def draw(folder: Path) -> list[Path]:
        return [folder / "a.svg"]

    monkeypatch.setattr(screenshots, "draw", draw)
    monkeypatch.setattr("sys.argv", ["screenshots", str(tmp_path / "new")])
    screenshots.main()
    assert capsys.readouterr().out.strip() == str(tmp_path / "new" / "a.svg")
    assert (tmp_path / "new").is_dir()
