"""A real sshd on loopback, for one test: its own port, keys and configuration, and nothing of the machine's.

In: the house whose programs are reached through it. Out: command lines of a real ssh client, what they print, and the
processes that serve them. Works as root and as an ordinary user, who can then log in as themselves only.
"""

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.e2e.house import PATIENCE_SECONDS, House, birth, until

_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"
"""sshd is there, and an ordinary user's PATH may be without them."""
_ROOM_OF_ROOT = Path("/run/sshd")
"""Where a root's sshd locks up its unprivileged half; made at boot where one is a service."""
_ATTEMPTS = 5


def sshd_program() -> str | None:
    """The path of sshd, by which alone it lets itself be started; None when it is not installed."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_FOLDERS}")
    return found if found and shutil.which("ssh") and shutil.which("ssh-keygen") else None


class Sshd:
    """A running sshd that lets the user of this process in, with the variables of the house in every session."""

    def __init__(self, house: House, folder: Path, program: str) -> None:
        self._house = house
        self._folder = folder
        self._log = folder / "sshd.log"
        self._authorized = folder / "authorized_keys"
        self._authorized.touch(mode=0o600)
        self._host_key = make_key(folder / "host_key")
        self.key = make_key(folder / "operator_key")
        """An operator's key: whoever has it may do anything."""
        self.authorize(self.key)
        self._process = self._started(program)

    # the server

    def authorize(self, key: Path, options: str = "") -> None:
        """Let a key in, under these options as authorized_keys has them."""
        line = " ".join(part for part in (options, public(key)) if part)
        with self._authorized.open("a") as keys:
            keys.write(f"{line}\n")

    def sessions(self) -> list[int]:
        """The pids of the sshd processes that serve a connection now, the programs in them not counted."""
        found = [self._process.pid]
        parents = _sshd_parents()
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found[1:]

    def close(self) -> None:
        """End the server and every connection."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)

    def _started(self, program: str) -> "subprocess.Popen[bytes]":
        """Start it on a free port. Another program may take the port just before it does: then another is taken."""
        if os.getuid() == 0:
            _ROOM_OF_ROOT.mkdir(mode=0o755, exist_ok=True)
        for _ in range(_ATTEMPTS):
            self.port = _free_port()
            self._write_configuration()
            with self._log.open("wb") as printed:
                process = subprocess.Popen(
                    [program, "-D", "-e", "-f", str(self._folder / "sshd_config")],
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    # A session is not to get any of this from its server, but from the configuration alone.
                    env={"PATH": os.defpath},
                )
            if until(partial(self._answer, process), "an sshd that listens or has ended") == "listens":
                (self._folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public(self._host_key)}\n")
                return process
            if b"Address already in use" not in self._log.read_bytes():
                break
        raise AssertionError(f"sshd does not start: {self._log.read_text()}")

    def _answer(self, process: "subprocess.Popen[bytes]") -> str | None:
        if process.poll() is not None:
            return "ended"
        return "listens" if b"Server listening on" in self._log.read_bytes() else None

    def _write_configuration(self) -> None:
        names = {name: value for name, value in self._house.environment.items() if name.startswith("QUARTERDECK_")}
        # First in the path is the folder of this environment's `quarterdeck`.
        names |= {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "LC_ALL": "C.UTF-8"}
        variables = " ".join(f'"{name}={value}"' for name, value in names.items())
        (self._folder / "sshd_config").write_text(
            f"Port {self.port}\n"
            "ListenAddress 127.0.0.1\n"
            f"HostKey {self._host_key}\n"
            f"AuthorizedKeysFile {self._authorized}\n"
            "PidFile none\n"
            "StrictModes no\n"
            "UsePAM no\n"
            "PasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\n"
            "PermitUserRC no\n"
            "PrintMotd no\n"
            "PrintLastLog no\n"
            "UseDNS no\n"
            "LogLevel VERBOSE\n"
            f"SetEnv {variables}\n"
        )

    # the client

    def client(self, *command: str, key: Path | None = None, options: tuple[str, ...] = ()) -> list[str]:
        """The command line of a client that runs `command`, a shell's words, on the other side."""
        fixed = {
            "UserKnownHostsFile": self._folder / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "LogLevel": "INFO",
            "ConnectTimeout": int(PATIENCE_SECONDS),
        }
        settings = [part for name, value in fixed.items() for part in ("-o", f"{name}={value}")]
        target = f"{getpass.getuser()}@127.0.0.1"
        identity = ["-i", str(key or self.key), "-p", str(self.port)]
        return ["ssh", "-F", "/dev/null", *settings, *identity, *options, target, *map(shlex.quote, command)]

    def run(
        self, *command: str, key: Path | None = None, options: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Run a client to its end."""
        return subprocess.run(
            self.client(*command, key=key, options=options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS * 2,
        )

    def log(self) -> str:
        """What the server has said."""
        return self._log.read_text()


@contextlib.contextmanager
def serving(house: House, folder: Path, program: str) -> Iterator[Sshd]:
    """An sshd for as long as the block lasts."""
    server = Sshd(house, folder, program)
    try:
        yield server
    finally:
        server.close()


def make_key(path: Path) -> Path:
    """Make a key pair without a passphrase, and return the path of its private half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)], check=True)
    return path


def public(key: Path) -> str:
    """The public half of a key, as one line."""
    return key.with_name(f"{key.name}.pub").read_text().strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _sshd_parents() -> dict[int, int]:
    """The parent of each living process that is an sshd."""
    parents = {}
    for entry in Path("/proc").iterdir():
        # It may end at any moment.
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and Path((entry / "cmdline").read_text().split(":")[0]).name.startswith("sshd"):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return {pid: parent for pid, parent in parents.items() if birth(pid) is not None}
