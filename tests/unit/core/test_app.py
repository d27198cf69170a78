"""What an engine makes sure of before it has an account in hand."""

from pathlib import Path

import pytest

from engine.app import StartError, sole_engine


def test_an_account_has_one_engine_whatever_the_profiles_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path))
    with sole_engine("7@Broker-Live"):
        with pytest.raises(StartError, match="another profile's engine has 7@Broker"), sole_engine("7@Broker-Live"):
            pass
        with sole_engine("8@Broker-Live"):
            pass
    with sole_engine("7@Broker-Live"):
        pass


def test_an_account_is_not_left_without_its_guards_because_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path))
    (tmp_path / "accounts").write_text("not a folder")
    with sole_engine("7@Broker-Live"):
        pass
