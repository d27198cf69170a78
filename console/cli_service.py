"""`quarterdeck service show`, `install`, `remove`: the engine and its watchdog as services of systemd's user manager.

In: a profile. Out: unit files, after they were shown and agreed to; 0 done, 1 refused or failed, 2 usage. Nothing is
started or stopped here.
"""

import difflib
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from console.cli_parts import Yes
from console.units import Unit, units, windows_notes

service_commands = typer.Typer(
    rich_markup_mode=None, help="The engine and its watchdog as services.", no_args_is_help=True
)
ForUser = Annotated[bool, typer.Option("--user", help="In your own systemd; there is no other way yet.")]
_BOOTED = Path("/run/systemd/system")


@service_commands.command("show")
def _show(context: typer.Context) -> None:
    """Print what `install` would write, or on Windows what to do."""
    from console import output

    if sys.platform == "win32":
        output.say(windows_notes(context.obj, *_commands(context.obj), _home()))
        return
    for unit in _units(context.obj):
        output.say(f"# {_folder() / unit.name}\n{unit.text}")


@service_commands.command("install")
def _install(
    context: typer.Context,
    user: ForUser = False,
    yes: Yes = False,
    enable: Annotated[bool, typer.Option("--enable", help="Have them started at each login or boot.")] = False,
) -> None:
    """Show the units or how they differ from those that are there, ask, and write them. Starts nothing."""
    from console import output

    _needs_systemd(user)
    wanted = _units(context.obj)
    changed = [unit for unit in wanted if _shown(unit)]
    for doubt in _doubts(context.obj):
        output.complain(doubt)
    if changed:
        _agreed(yes, f"Write {len(changed)} unit files")
        _folder().mkdir(parents=True, exist_ok=True)
        for unit in changed:
            _write(_folder() / unit.name, unit.text)
    _systemctl("daemon-reload")
    names = [unit.name for unit in wanted]
    if enable:
        _systemctl("enable", *names)
    output.say(f"start them: systemctl --user {'start' if enable else 'enable --now'} {' '.join(names)}")
    output.say(f"they end with your last session unless: loginctl enable-linger {getpass.getuser()}")


@service_commands.command("remove")
def _remove(context: typer.Context, user: ForUser = False, yes: Yes = False) -> None:
    """Show what is there, ask, and remove it. What runs goes on until it is stopped."""
    from console import output

    _needs_systemd(user)
    there = [unit for unit in _units(context.obj) if (_folder() / unit.name).is_file()]
    if not there:
        output.say(f"nothing is installed for profile {context.obj!r} in {_folder()}")
        return
    for unit in there:
        _shown(unit)
    _agreed(yes, f"Remove {', '.join(unit.name for unit in there)}")
    _systemctl("disable", *(unit.name for unit in there))
    for unit in there:
        (_folder() / unit.name).unlink()
    _systemctl("daemon-reload")
    output.say("removed; what runs goes on until it is stopped: quarterdeck stop, systemctl --user stop")


def _commands(profile: str) -> tuple[Sequence[str], Sequence[str]]:
    from engine.detached import our_command

    return (
        our_command("engine", "--profile", profile),
        our_command("console.cli", "--profile", profile, "watchdog"),
    )


def _units(profile: str) -> tuple[Unit, Unit]:
    from console import output
    from engine.config import SettingsError, checked_profile

    try:
        return units(checked_profile(profile), *_commands(profile), _home())
    except (SettingsError, ValueError) as error:
        output.complain(str(error))
        raise typer.Exit(2) from None


def _doubts(profile: str) -> list[str]:
    """Why the services would not do what the same commands do in this shell."""
    from engine.alerts.addresses import PREFIX
    from engine.config import SettingsError, load

    # What a service needs as much as this shell: a setting, or where an alert goes.
    ours = (name for name in os.environ if name.startswith("QUARTERDECK_"))
    unseen = sorted(name for name in ours if "__" in name or name.startswith(PREFIX))
    doubts = [f"no unit says {', '.join(unseen)}: see systemctl --user edit, or the profile"] if unseen else []
    try:
        load(profile)
    except SettingsError as error:
        doubts.append(f"neither service would start: {error}")
    return doubts


def _home() -> str | None:
    named = os.environ.get("QUARTERDECK_HOME")
    return str(Path(named).absolute()) if named else None


def _folder() -> Path:
    """Where systemd's user manager looks for units."""
    named = os.environ.get("XDG_CONFIG_HOME")
    return (Path(named) if named else Path.home() / ".config") / "systemd" / "user"


def _needs_systemd(user: bool) -> None:
    """Refuse in words what cannot be done here."""
    from console import output

    if not user:
        output.complain("services are installed for one user only: say --user")
        raise typer.Exit(2)
    if shutil.which("systemctl") is None or not _BOOTED.is_dir():
        output.complain("this machine is not run by systemd: `quarterdeck service show` prints what a service must do")
        raise typer.Exit(1)


def _shown(unit: Unit) -> bool:
    """Show a unit, or how it would change the one that is there; whether it is another."""
    from console import output

    path = _folder() / unit.name
    try:
        present = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        output.say(f"new: {path}\n{unit.text}")
        return True
    if present == unit.text:
        output.say(f"unchanged: {path}")
        return False
    output.say(f"changed: {path}")
    lines = difflib.unified_diff(present.splitlines(), unit.text.splitlines(), "there", "would be written", lineterm="")
    output.say("\n".join(lines))
    return True


def _agreed(yes: bool, question: str) -> None:
    from console import output

    if yes:
        return
    if not sys.stdin.isatty():
        output.complain("a confirmation is needed and this is no terminal: say --yes")
        raise typer.Exit(2)
    if not typer.confirm(f"{question}?", default=False):
        output.complain("nothing was done")
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def _systemctl(*words: str) -> None:
    """Ask the user's service manager. Ends the program with 1, and what it said, when it refuses."""
    from console import output

    command = ("systemctl", "--user", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own words
    if done.returncode:
        output.complain(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
        raise typer.Exit(1)
