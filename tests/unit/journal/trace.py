"""Runs the scripted session under strace: to record what it writes and syncs, and to break it at one of those calls.

Out: the calls in order with their data, from which crash points are counted and the files of a power cut rebuilt.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.children import unmeasured_environment

ROOT = Path(__file__).parents[3]
CALLS = ("pwrite64", "write", "ftruncate", "fallocate", "fdatasync", "fsync", "unlink", "rename")
"""Every call that changes a file or makes it durable."""

_LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+= (\d+)$")
_UNFINISHED = re.compile(r"^(\d+)\s+(\w+\(.*?)\s*<unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. \w+ resumed>(.*)$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^\d+<([^>]*)>")


def require_strace() -> str:
    strace = shutil.which("strace")
    if strace is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    return strace


@dataclass(frozen=True, slots=True)
class Call:
    """One finished system call. `file` is the path that it changed; `place` is an offset or a length."""

    thread: int
    name: str
    file: str
    data: bytes = b""
    place: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """The `when`-th call of this name on this file of the folder ("." is itself), in the thread that makes so many."""

    name: str
    file: str
    when: int


def _text(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _call(thread: str, name: str, arguments: str) -> Call:
    texts = [_text(found) for found in _TEXT.findall(arguments)]
    if name in ("unlink", "rename"):
        return Call(int(thread), name, texts[0].decode())
    match = _DESCRIPTOR.match(arguments)
    assert match is not None, arguments
    file = _text(match[1]).decode() if "\\x" in match[1] else match[1]
    numbers = arguments.rpartition(", ")[2]
    return Call(int(thread), name, file, texts[0] if texts else b"", int(numbers) if numbers.isdigit() else 0)


def calls_of(log: Path) -> Iterator[Call]:
    """The calls that succeeded, in the order in which they finished."""
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        if match := _UNFINISHED.match(line):
            begun[match[1]] = match[2]
            continue
        if match := _RESUMED.match(line):
            line = f"{match[1]} {begun.pop(match[1])}{match[2]}"
        if match := _LINE.match(line):
            yield _call(match[1], match[2], match[3])


def _session(path: Path, kind: str, count: int) -> list[str]:
    return [sys.executable, "-m", "tests.unit.journal.session", str(path), kind, str(count)]


def record(path: Path, kind: str, count: int) -> list[Call]:
    """Run the session whole and return what it wrote. Text for stdout is among it: the promises in their place."""
    log = path.parent.with_name("trace.log")
    options = ["-f", "-qq", "-y", "-xx", "-s", "65536", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
    done = subprocess.run(
        [require_strace(), *options, *_session(path, kind, count)],
        cwd=ROOT,
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return list(calls_of(log))


def points_of(calls: Sequence[Call], folder: Path) -> list[Point]:
    """Every point of a recorded session that can be broken for sure, file by file."""
    made = Counter((call.thread, call.name, call.file) for call in calls)
    most: dict[tuple[str, str], int] = {}
    for (_, name, path), count in made.items():
        if folder in (Path(path), Path(path).parent):
            file = str(Path(path).relative_to(folder))
            most[name, file] = max(count, most.get((name, file), 0))
    return [Point(name, file, when) for (name, file), count in most.items() for when in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class Broken:
    """How a session ended that met a fault."""

    said: str
    trouble: str
    hit: bool
    """Whether the fault is what happened: dead by the signal, or alive and met the error."""


def run_broken(path: Path, point: Point, effect: str, kind: str, count: int) -> Broken:
    """Run the session with a fault at a point: `signal=SIGKILL`, `error=EIO`, `error=ENOSPC`; a `+`: from there on."""
    folder = path.parent
    log = folder.with_name(f"{folder.name}.log")
    rest = "+" if effect.endswith("+") else ""
    fault = f"{point.name}:{effect.rstrip('+')}:when={point.when}{rest}"
    options = [
        "-f",
        "-qq",
        "-o",
        str(log),
        "-P",
        str(folder / point.file),
        "-e",
        f"trace={point.name}",
        "-e",
        f"inject={fault}",
    ]
    done = subprocess.run(
        [require_strace(), *options, *_session(path, kind, count)],
        cwd=ROOT,
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    # strace ends by the signal that ended the session; an error that was put in is written down as such
    hit = done.returncode == -9 if "SIGKILL" in effect else done.returncode == 0 and "INJECTED" in log.read_text()
    return Broken(done.stdout, done.stderr, hit)
