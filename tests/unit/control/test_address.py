import os
import struct
import sys
from pathlib import Path

import pytest

from engine.control import address as address_module
from engine.control.address import AddressError, control_address
from engine.control.peer import clean_origin, peer_uid, user_name


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(address_module, "_SHARED_FOLDER", folder)
    return folder


def test_short_path_is_in_the_state_folder() -> None:
    assert control_address(Path("/var/q/state/paper")) == "/var/q/state/paper/control.sock"


def test_long_path_moves_to_a_private_folder(shared: Path) -> None:
    deep = Path("/" + "d" * 100)
    moved = Path(control_address(deep))
    assert moved.parent == shared / f"quarterdeck-{os.getuid()}"
    assert moved.parent.stat().st_mode & 0o777 == 0o700
    assert control_address(deep) == str(moved)
    assert control_address(deep / "other") != str(moved)


def test_length_is_counted_in_bytes(shared: Path) -> None:
    assert control_address(Path("/" + "ä" * 50)).startswith(str(shared))


def test_loose_folder_is_refused(shared: Path) -> None:
    folder = shared / f"quarterdeck-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(AddressError, match="mode 755, expected 700"):
        control_address(Path("/" + "d" * 100))


def test_symbolic_link_is_refused(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (shared / f"quarterdeck-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AddressError, match="not a folder"):
        control_address(Path("/" + "d" * 100))


def test_folder_of_another_user_is_refused(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    with pytest.raises(AddressError, match=f"expected {stranger}"):
        control_address(Path("/" + "d" * 100))


def test_windows_has_a_pipe_by_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    name = control_address(Path("/var/q/state/paper"))
    assert name.startswith("\\\\.\\pipe\\quarterdeck-")
    assert name == control_address(Path("/var/q/state/paper"))
    assert name != control_address(Path("/var/q/state/live"))


class _Peer:
    def __init__(self, credentials: bytes) -> None:
        self.credentials = credentials
        self.asked: tuple[int, int] | None = None

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        self.asked = (level, optname)
        return self.credentials


def test_macos_peer_is_read_from_its_xucred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    peer = _Peer(struct.pack("=IIh", 0, 501, 1).ljust(76, b"\0"))
    assert peer_uid(peer) == 501
    assert peer.asked == (0, 1)


def test_windows_peer_has_no_uid_and_our_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOGNAME", "trader")
    assert peer_uid(_Peer(b"")) is None
    assert user_name(None) == "trader"


def test_uid_without_a_name_is_shown_as_a_number() -> None:
    assert user_name(3_999_999_999) == "uid 3999999999"


@pytest.mark.parametrize(
    ("header", "word"), [(None, "api"), ("", "api"), ("[@click]\x1b[2J", "click2J"), ("console", "console")]
)
def test_origin_is_one_plain_word(header: str | None, word: str) -> None:
    assert clean_origin(header) == word
