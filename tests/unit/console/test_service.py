"""The units as text, as systemd itself reads them, and as they are installed beside a systemctl that takes notes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from console import cli_service
from console.cli import app
from console.units import units, windows_notes
from engine.watchdog import hands

ENGINE, WATCHDOG = "quarterdeck-engine-paper.service", "quarterdeck-watchdog-paper.service"
COMMANDS = ((sys.executable, "-P", "-m", "engine"), (sys.executable, "-P", "-m", "console.cli", "watchdog"))


def directives(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")


def test_the_engines_unit_restarts_failures_and_keeps_to_what_was_meant() -> None:
    engine, watchdog = units("paper", *COMMANDS, None)
    assert engine.name == ENGINE
    said = directives(engine.text)
    assert said["Type"] == "notify"
    assert (said["WatchdogSec"], said["WatchdogSignal"]) == ("60", "SIGKILL")
    assert (said["Restart"], said["RestartPreventExitStatus"], said["KillMode"]) == ("on-failure", "2 75", "process")
    assert int(said["RestartSec"]) + 2 <= hands._OTHERS_SECONDS
    assert "Environment" not in said
    outlives = directives(watchdog.text)
    assert (outlives["Restart"], outlives["KillMode"]) == ("always", "process")
    assert not {"PartOf", "BindsTo", "Requires"} & set(outlives)


def test_words_are_quoted_as_systemd_reads_them() -> None:
    unit, _ = units("p", ('/a b/%n/"x"/\\y', "$HOME"), ("w",), "/home/a b%c")
    said = directives(unit.text)
    assert said["ExecStart"] == r'"/a b/%%n/\"x\"/\\y" $$HOME'
    assert said["Environment"] == '"QUARTERDECK_HOME=/home/a b%%c"'
    with pytest.raises(ValueError, match="control character"):
        units("p", ("/a\nExecStartPre=/bin/sh",), ("w",), None)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed: nothing reads the units")
def test_systemd_itself_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    # By its path as it stands on the disk, in a folder whose name is as awkward as a name gets.
    awkward = tmp_path / "a b%c$d"
    awkward.mkdir()
    interpreter = awkward / "python"
    interpreter.symlink_to(sys.executable)
    made = units("paper", (str(interpreter), "-m", "engine"), (str(interpreter), "watchdog"), str(awkward))
    paths = [tmp_path / unit.name for unit in made]
    for path, unit in zip(paths, made, strict=True):
        path.write_text(unit.text)
    command = ["systemd-analyze", "--user", "--man=no", "--recursive-errors=no", "verify", *map(str, paths)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_windows_notes_name_both_commands_and_quote_them_for_the_scheduler() -> None:
    notes = windows_notes("live", ("C:\\Program Files\\python.exe", "-m", "engine"), ("w.exe",), "D:\\qd")
    assert r'/TR "\"C:\Program Files\python.exe\" -m engine"' in notes
    assert '/TR "w.exe --then restart"' in notes
    assert 'setx QUARTERDECK_HOME "D:\\qd"' in notes
    assert "not run" in notes


class Machine:
    """A machine with systemd, of which only the folder of units is real."""

    def __init__(self, folder: Path) -> None:
        self.units = folder / "config" / "systemd" / "user"
        self.heard = folder / "heard"
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.answers(0)

    def answers(self, code: int) -> None:
        script = self.tools / "systemctl"
        script.write_text(f'#!/bin/sh\necho "$@" >> {self.heard}\necho no bus >&2\nexit {code}\n')
        script.chmod(0o755)

    def asked(self) -> list[str]:
        return self.heard.read_text().splitlines() if self.heard.exists() else []

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["--profile", "paper", "service", *words])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    if sys.platform == "win32":
        pytest.skip("systemd is not there")
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{made.tools}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cli_service, "_BOOTED", tmp_path)
    return made


def test_show_prints_both_units_and_writes_none(machine: Machine) -> None:
    shown = machine.run("show")
    assert shown.exit_code == 0
    assert ENGINE in shown.output
    assert WATCHDOG in shown.output
    assert str(machine.units.parents[2] / "home") in shown.output
    assert not machine.units.exists()


def test_install_shows_before_it_asks_and_writes_nothing_without_a_yes(machine: Machine) -> None:
    refused = machine.run("install", "--user")
    assert refused.exit_code == 2
    assert "ExecStart=" in refused.output
    assert "say --yes" in refused.output
    assert not machine.units.exists()
    assert machine.asked() == []


def test_install_writes_and_has_them_read_and_enables_only_if_told(machine: Machine) -> None:
    done = machine.run("install", "--user", "--yes")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in machine.units.iterdir()) == [ENGINE, WATCHDOG]
    assert machine.asked() == ["--user daemon-reload"]
    assert "loginctl enable-linger" in done.output
    assert machine.run("install", "--user", "--yes", "--enable").exit_code == 0
    assert machine.asked()[1:] == ["--user daemon-reload", f"--user enable {ENGINE} {WATCHDOG}"]


def test_install_names_what_a_service_will_not_see(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_DRAWDOWN__LIMIT_PERCENT", "4")
    monkeypatch.setenv("QUARTERDECK_ALERT_URL_PHONE", "tgram://secret/1")
    monkeypatch.setenv("QUARTERDECK_TOKEN", "t")
    done = machine.run("install", "--user", "--yes")
    assert done.exit_code == 0, done.output
    assert "no unit says QUARTERDECK_ALERT_URL_PHONE, QUARTERDECK_DRAWDOWN__LIMIT_PERCENT:" in done.output
    assert "secret" not in done.output
    assert "neither service would start" not in done.output
    monkeypatch.setenv("QUARTERDECK_DRAWDOWN__LIMIT", "4")
    assert "neither service would start" in machine.run("install", "--user", "--yes").output


def test_a_unit_that_was_changed_by_hand_is_shown_with_its_difference_before_it_goes(machine: Machine) -> None:
    machine.run("install", "--user", "--yes")
    path = machine.units / ENGINE
    path.write_text(path.read_text().replace("WatchdogSec=60", "WatchdogSec=10"))
    refused = machine.run("install", "--user")
    assert refused.exit_code == 2
    assert "-WatchdogSec=10\n+WatchdogSec=60" in refused.output
    assert f"unchanged: {machine.units / WATCHDOG}" in refused.output
    assert "WatchdogSec=10" in path.read_text()
    assert machine.run("install", "--user", "--yes").exit_code == 0
    assert "WatchdogSec=60" in path.read_text()


def test_remove_takes_what_was_written_and_nothing_else(machine: Machine) -> None:
    machine.run("install", "--user", "--yes")
    other = machine.units / "other.service"
    other.touch()
    assert machine.run("remove", "--user").exit_code == 2
    assert (machine.units / ENGINE).exists()
    assert machine.run("remove", "--user", "--yes").exit_code == 0
    assert list(machine.units.iterdir()) == [other]
    assert machine.asked()[-2:] == [f"--user disable {ENGINE} {WATCHDOG}", "--user daemon-reload"]
    assert "nothing is installed" in machine.run("remove", "--user", "--yes").output


def test_a_service_manager_that_refuses_is_quoted(machine: Machine) -> None:
    machine.answers(1)
    failed = machine.run("install", "--user", "--yes")
    assert failed.exit_code == 1
    assert "systemctl --user daemon-reload: no bus" in failed.output


def test_without_systemd_or_for_the_whole_machine_it_is_refused_in_words(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = machine.run("install", "--yes")
    assert (refused.exit_code, "say --user" in refused.output) == (2, True)
    monkeypatch.setattr(cli_service, "_BOOTED", machine.units / "none")
    refused = machine.run("install", "--user", "--yes")
    assert (refused.exit_code, "not run by systemd" in refused.output) == (1, True)
    assert not machine.units.exists()
