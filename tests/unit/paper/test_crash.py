"""kill -9 of the terminal at each of its writes and syncs: no change is half done, none that was answered is lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.paper.terminal import PaperTerminal, TerminalConfig
from tests.children import unmeasured_environment
from tests.unit.paper.child import lengths

ROOT = Path(__file__).parents[3]
CHILD = [sys.executable, "-m", "tests.unit.paper.child"]
CALLS = ("pwrite64", "fdatasync")
SHARES = 4
"""The kills are shared out to so many tests, which run side by side."""


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")
    return found


def run(strace: str, folder: Path, *inject: str) -> tuple[int, list[int], str]:
    """The child under strace: its exit code, what it said, and the trace of the state file's writes and syncs."""
    folder.mkdir()
    log = folder / "strace.log"
    done = subprocess.run(
        [strace, "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}", *inject, *CHILD, str(folder / "state")],
        cwd=ROOT,
        env=unmeasured_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [int(line.split()[1]) for line in done.stdout.split("\n")[:-1]]
    return done.returncode, said, log.read_text()


@pytest.mark.parametrize("share", range(SHARES))
def test_kill_9_at_each_write_leaves_no_change_half_done(strace: str, tmp_path: Path, share: int) -> None:
    whole = list(lengths(tmp_path / "whole"))
    with_all = PaperTerminal.open(TerminalConfig(seed=5, speed=None), tmp_path / "whole")
    reference = list(with_all.account.ledger.records)
    with_all.shutdown()

    code, said, trace = run(strace, tmp_path / "counted")
    assert (code, said) == (0, whole)
    counts = {call: sum(call in line for line in trace.splitlines()) for call in CALLS}
    assert all(count > len(whole) for count in counts.values()), counts
    places = [(call, when) for call in CALLS for when in range(1, counts[call] + 1)]
    ended = 0
    for call, when in places[share::SHARES]:
        folder = tmp_path / f"{call}-{when}"
        code, said, trace = run(strace, folder, "-e", f"inject={call}:signal=SIGKILL:when={when}")
        assert code == -9, f"{call} {when}: the kill did not hit: {trace[-300:]}"
        answered = said[-1] if said else 0
        following = next((length for length in whole if length > answered), answered)
        state = folder / "state"
        state.mkdir(exist_ok=True)
        terminal = PaperTerminal.open(TerminalConfig(seed=5, speed=None), state)
        kept = list(terminal.account.ledger.records)
        terminal.shutdown()
        assert kept == reference[: len(kept)], f"{call} {when}"
        # A file without any account gets its deposit anew.
        assert len(kept) in {answered, following} or (answered == 0 and len(kept) == whole[0]), f"{call} {when}"
        ended += len(kept) == following != answered
    assert ended or share, "no kill fell between a commit and its answer: this run proved too little"
