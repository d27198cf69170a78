"""What the source of the console must not hold, and what its start must not import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import console

ROOT = Path(console.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
STYLES = sorted((ROOT.parent / "styles").glob("*.tcss"))
PARSERS_OF_MARKUP = ("Static", "Label", "notify", "Button")


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_nothing_that_reads_markup_is_called_without_switching_it_off() -> None:
    found = [
        f"{path.name}:{call.lineno}: {name_of(call)}"
        for path in SOURCES
        for call in calls(path)
        if name_of(call) in PARSERS_OF_MARKUP
        and not any(
            word.arg == "markup" and isinstance(word.value, ast.Constant) and word.value.value is False
            for word in call.keywords
        )
    ]
    assert found == []


def test_nothing_that_moves_by_itself_or_holds_an_unbounded_log_is_used() -> None:
    words = re.compile(r"LoadingIndicator|RichLog|DataTable|OptionList\b|show_clock|from_markup|animate=True")
    assert [path.name for path in SOURCES if words.search(path.read_text("utf-8"))] == []


def test_workers_never_end_the_application() -> None:
    for path in SOURCES:
        for call in calls(path):
            if name_of(call) == "run_worker":
                assert any(word.arg == "exit_on_error" for word in call.keywords), f"{path.name}:{call.lineno}"


def test_styles_use_the_themes_colours_only() -> None:
    assert STYLES
    for path in STYLES:
        assert not re.search(
            r"#[0-9a-fA-F]{3,8}\b(?=\s*[;%])|rgb\(|\b(red|green|blue|yellow)\b", path.read_text("utf-8")
        )
    for path in SOURCES:
        assert "DEFAULT_CSS" not in path.read_text("utf-8"), path.name


def test_the_app_stays_small() -> None:
    assert len((ROOT / "app.py").read_text("utf-8").splitlines()) < 200


def test_the_first_frame_needs_none_of_the_heavy_imports() -> None:
    code = (
        "import sys, console.app, console.screens.approvals;"
        "print([m for m in ('pydantic', 'aiohttp', 'plotext', 'numpy', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
