"""The words of the services: systemd's units for a profile's engine and watchdog, and what to do on Windows.

In: a profile, an interpreter, a home folder. Out: text. Nothing is written here.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_ENGINE = """\
[Unit]
Description=Quarterdeck engine, profile {profile}
# It is tried again for as long as its terminal cannot be reached: the watchdog tells.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
{environment}ExecStart={command}
# A pulse is sent for completed guard cycles only. A hung engine would not hear a softer signal.
WatchdogSec=60
WatchdogSignal=SIGKILL
TimeoutStartSec=300
# `quarterdeck stop` ends it with 0 and is kept to. 2: its settings are wrong. 75: another engine has the account.
Restart=on-failure
# Sooner than a watchdog would start another in the place of one that it has killed.
RestartSec=2
RestartPreventExitStatus=2 75
# The terminal that an engine or a gateway has started, paper or real, is in this control group and outlives an engine
# that is killed, with the stops it watches. Gateways end with their engine by themselves.
KillMode=process

[Install]
WantedBy=default.target
"""

_WATCHDOG = """\
[Unit]
Description=Quarterdeck watchdog, profile {profile}
# Neither bound to the engine nor a part of it: it is there for when the engine is not.
StartLimitIntervalSec=0

[Service]
Type=exec
{environment}ExecStart={command}
Restart=always
RestartSec=10
# The engine or the direct flatten that it has started is in this control group and goes on without it.
KillMode=process

[Install]
WantedBy=default.target
"""

_WINDOWS = """\
Written from documentation, not run.

terminal64.exe needs an interactive session: in session 0, where Windows services live, it shows and trades nothing. So
let the machine log on by itself (a user of its own, the screen locked; disconnect Remote Desktop, do not sign out) and
start both at that user's logon, by the Task Scheduler:

{home}  schtasks /Create /SC ONLOGON /IT /TN "Quarterdeck engine {profile}" /TR "{engine_quoted}"
  schtasks /Create /SC ONLOGON /IT /TN "Quarterdeck watchdog {profile}" /TR "{watchdog_quoted} --then restart"

Then, in each task's properties: "Stop the task if it runs longer than" off; "If the task fails, restart every" 1
minute; "Start the task only if the computer is on AC power" off.

Without an interactive session, for a paper profile only, NSSM makes them services:

  nssm install quarterdeck-engine-{profile} {engine}
  nssm install quarterdeck-watchdog-{profile} {watchdog}
  nssm set quarterdeck-engine-{profile} AppExit Default Restart
  nssm set quarterdeck-engine-{profile} AppExit 0 Exit
  nssm set quarterdeck-engine-{profile} AppExit 2 Exit
  nssm set quarterdeck-engine-{profile} AppExit 75 Exit
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit file."""

    name: str
    text: str


def units(profile: str, engine: Sequence[str], watchdog: Sequence[str], home: str | None) -> tuple[Unit, Unit]:
    """The units of a profile's engine and of its watchdog, by their command lines; `home` is QUARTERDECK_HOME."""
    environment = f"Environment={_word(f'QUARTERDECK_HOME={home}')}\n" if home else ""
    return (
        Unit(
            f"quarterdeck-engine-{profile}.service",
            _ENGINE.format(profile=profile, environment=environment, command=_command(engine)),
        ),
        Unit(
            f"quarterdeck-watchdog-{profile}.service",
            _WATCHDOG.format(profile=profile, environment=environment, command=_command(watchdog)),
        ),
    )


def windows_notes(profile: str, engine: Sequence[str], watchdog: Sequence[str], home: str | None) -> str:
    """What to do on Windows, in words and commands."""
    first, second = subprocess.list2cmdline(engine), subprocess.list2cmdline(watchdog)
    return _WINDOWS.format(
        profile=profile,
        engine=first,
        engine_quoted=first.replace('"', '\\"'),
        watchdog=second,
        watchdog_quoted=second.replace('"', '\\"'),
        home=f'  setx QUARTERDECK_HOME "{home}"\n' if home else "",
    )


def _command(words: Sequence[str]) -> str:
    # Variables are put into arguments, never into the path of the program.
    program, *arguments = map(_word, words)
    return " ".join([program, *(word.replace("$", "$$") for word in arguments)])


def _word(word: str) -> str:
    """One word as systemd reads it. Raises ValueError for what no unit file can hold."""
    if any(ord(character) < 32 for character in word):
        raise ValueError(f"{word!r} holds a control character, which no unit file can say")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if escaped == word and not set(word) & set(" '#;") else f'"{escaped}"'
