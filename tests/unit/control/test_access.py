import os
from http import HTTPStatus
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.config import Settings
from engine.control.access import Access, Denied, UnknownUser
from engine.control.caller import Caller, via_of
from engine.control.errors import ControlError
from engine.control.settings import ControlSettings
from engine.control.target import Operator
from engine.control.tokens import TokenBook

OURS = os.getuid()
BOB, CAROL, EVE = OURS + 1001, OURS + 1002, OURS + 1003
SHARED = "/run/desk/shared.sock"


@pytest.fixture
def book(tmp_path: Path) -> TokenBook:
    return TokenBook(tmp_path)


@pytest.fixture
def access(book: TokenBook) -> Access:
    return Access(book, shared=SHARED, users={BOB: "viewer", CAROL: "operator"})


def bearing(token: str) -> dict[str, str]:
    return Caller("cli", token=token).headers()


def test_our_own_user_is_an_operator_and_nobody_else_is_without_a_profile_that_says_so() -> None:
    access = Access()
    assert access.admit(OURS, "/own.sock", {}).role == "operator"
    for uid in (EVE, 0 if OURS else 1):
        with pytest.raises(Denied, match="from the user who runs it only") as denied:
            access.admit(uid, "/own.sock", {})
        assert denied.value.status == HTTPStatus.FORBIDDEN


def test_listed_users_have_their_role_at_the_shared_socket_and_nowhere_else(access: Access) -> None:
    assert access.admit(BOB, SHARED, {}) == Operator(f"uid {BOB}", "api", "viewer")
    assert access.admit(CAROL, SHARED, {}).role == "operator"
    for uid, socket in ((EVE, SHARED), (BOB, "/own.sock"), (CAROL, "/own.sock"), (BOB, None)):
        with pytest.raises(Denied, match="is not among those whom this engine's profile lists"):
            access.admit(uid, socket, {})


def test_a_token_names_its_holder_and_sets_the_role_whatever_the_uid(access: Access, book: TokenBook) -> None:
    dora, erik = book.add("dora", "operator"), book.add("erik", "viewer")
    for uid in (BOB, EVE, OURS):
        named = access.admit(uid, SHARED, bearing(dora))
        assert (named.name, named.role) == ("dora", "operator")
    lowered = access.admit(OURS, "/own.sock", bearing(erik))
    assert (lowered.name, lowered.role) == ("erik", "viewer")
    with pytest.raises(Denied):
        access.admit(EVE, "/own.sock", bearing(dora))


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer " + "x" * 43, "Basic eDp5", "Bearer", "", "Bearer a b"])
def test_a_token_that_is_not_valid_is_refused_even_for_our_own_user(
    access: Access, book: TokenBook, header: str
) -> None:
    book.add("dora", "operator")
    with pytest.raises(Denied, match="the token is not valid") as denied:
        access.admit(OURS, "/own.sock", {"Authorization": header})
    assert denied.value.status == HTTPStatus.UNAUTHORIZED


def test_tokens_that_cannot_be_read_let_nobody_in_by_one(access: Access, book: TokenBook, tmp_path: Path) -> None:
    token = book.add("dora", "operator")
    path = tmp_path / "tokens.json"
    path.chmod(0o644)
    with pytest.raises(Denied, match="has mode 644, expected 600"):
        access.admit(OURS, "/own.sock", bearing(token))
    path.chmod(0o600)
    assert access.admit(OURS, "/own.sock", bearing(token)).name == "dora"
    path.write_text('{"tokens": [{"name": "x", "role": "admin", "sha256": "secret"}]}')
    with pytest.raises(Denied, match=r"tokens\.0\.role") as denied:
        access.admit(OURS, "/own.sock", bearing(token))
    assert "secret" not in str(denied.value)


def test_a_change_of_the_tokens_holds_at_the_next_request(access: Access, book: TokenBook, tmp_path: Path) -> None:
    token = book.add("dora", "viewer")
    assert access.admit(OURS, "/own.sock", bearing(token)).role == "viewer"
    another = TokenBook(tmp_path)
    another.remove("dora")
    with pytest.raises(Denied):
        access.admit(OURS, "/own.sock", bearing(token))
    assert access.admit(OURS, "/own.sock", bearing(another.add("dora", "operator"))).role == "operator"


def test_a_token_is_stored_by_its_sum_in_a_file_of_ours_alone(book: TokenBook, tmp_path: Path) -> None:
    token = book.add("dora", "operator")
    path = tmp_path / "tokens.json"
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(token) >= 43
    with pytest.raises(ValueError, match="already: remove it first"):
        book.add("dora", "viewer")
    with pytest.raises(ValueError, match="there are: dora"):
        book.remove("erik")
    with pytest.raises(ValidationError):
        book.add("dora\n", "viewer")
    assert [entry.name for entry in book.all()] == ["dora"]
    assert {entry.name for entry in tmp_path.iterdir()} == {"tokens.json", "tokens.lock"}


def test_read_only_makes_a_viewer_of_anybody_and_viewers_may_not_act(access: Access, book: TokenBook) -> None:
    headers = Caller("console", read_only=True, token=book.add("dora", "operator")).headers()
    looking = access.admit(OURS, "/own.sock", headers)
    assert looking.role == "viewer"
    with pytest.raises(Denied, match=r"you are a viewer, dora: .*--read-only"):
        access.may_act(looking, headers)
    with pytest.raises(Denied, match="lets you look, not act"):
        access.may_act(access.admit(BOB, SHARED, {}), {})
    access.may_act(access.admit(CAROL, SHARED, {}), {})


def test_what_a_client_claims_of_itself_is_cleaned(access: Access) -> None:
    headers = {"X-Quarterdeck-Origin": "con<sole", "X-Quarterdeck-Via": "ssh \x1b[2J\u202e" + "x" * 200}
    seen = access.admit(OURS, "/own.sock", headers)
    assert seen.origin == "console"
    assert seen.via.startswith("ssh [2Jxxx")
    assert len(seen.via) <= 80


def test_the_journal_learns_name_origin_and_where_from() -> None:
    assert Operator("bob", "cli", via="ssh 10.0.0.5 port 51234").who() == {
        "operator": "bob",
        "origin": "cli",
        "via": "ssh 10.0.0.5 port 51234",
    }
    assert Operator("bob", "cli").who() == {"operator": "bob", "origin": "cli"}


def test_where_an_operator_sits_comes_from_ssh_s_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert via_of({"SSH_CONNECTION": "10.0.0.5 51234 10.0.0.1 22"}) == "ssh 10.0.0.5 port 51234"
    assert via_of({"SSH_CONNECTION": "fe80::1%eth0 51234 fe80::2%eth0 22"}) == "ssh fe80::1%eth0 port 51234"
    assert via_of({"SSH_CONNECTION": "evil\r\nX: y 1 2 3"}) == ""
    assert via_of({}) == ""
    monkeypatch.setenv("QUARTERDECK_TOKEN", "two words\n")
    with pytest.raises(ControlError, match="QUARTERDECK_TOKEN: it is no token") as wrong:
        Caller.here("cli")
    assert "two words" not in str(wrong.value)
    assert "secret-token" not in repr(Caller("cli", token="secret-token"))


def test_a_profile_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="they need a shared_socket"):
        ControlSettings.model_validate({"users": {"bob": "viewer"}})
    with pytest.raises(ValidationError, match="expected an absolute path"):
        ControlSettings.model_validate({"shared_socket": "here.sock"})
    with pytest.raises(ValidationError, match="at most 100"):
        ControlSettings.model_validate({"shared_socket": "/" + "x" * 120})
    with pytest.raises(ValidationError):
        Settings.model_validate({"control": {"shared_socket": "/run/x.sock", "users": {"bob": "admin"}}})
    settings = ControlSettings.model_validate({"shared_socket": SHARED, "users": {"no-such-user-here": "viewer"}})
    with pytest.raises(UnknownUser, match="has no user 'no-such-user-here'"):
        Access.of(settings, tmp_path)
    listed = ControlSettings.model_validate({"shared_socket": SHARED, "users": {f"uid {BOB}": "viewer"}})
    assert Access.of(listed, tmp_path).admit(BOB, SHARED, {}).role == "viewer"
