from pathlib import Path

import pytest

from engine.config import SettingsError, checked_profile, home, load, load_to_close, state_folder


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUARTERDECK_HOME", str(tmp_path))
    (tmp_path / "profiles").mkdir()
    return tmp_path


def profile(folder: Path, text: str, name: str = "paper") -> None:
    (folder / "profiles" / f"{name}.toml").write_text(text)


def test_the_paper_profile_needs_no_file(own_home: Path) -> None:
    settings = load("paper")
    assert settings.is_paper
    assert settings.drawdown.limit_percent == 20.0
    assert settings.paper.balance == 10_000.0
    assert state_folder("paper") == own_home / "state" / "paper"


def test_a_profile_file_is_read(own_home: Path) -> None:
    profile(own_home, '[drawdown]\nlimit_percent = 8\n[paper]\nbalance = 500\ncurrency = "EUR"\n')
    settings = load("paper")
    assert (settings.drawdown.limit_percent, settings.paper.balance, settings.paper.currency) == (8.0, 500.0, "EUR")


def test_a_file_may_begin_with_a_byte_order_mark(own_home: Path) -> None:
    profile(own_home, "\ufeff[drawdown]\nlimit_percent = 8\n")
    assert load("paper").drawdown.limit_percent == 8.0


def test_the_environment_stands_above_the_file(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile(own_home, "[drawdown]\nlimit_percent = 8\nwarn_at = 0.5\n")
    monkeypatch.setenv("QUARTERDECK_DRAWDOWN__LIMIT_PERCENT", "12.5")
    drawdown = load("paper").drawdown
    assert (drawdown.limit_percent, drawdown.warn_at) == (12.5, 0.5)


def test_the_command_line_stands_above_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_PAPER__SEED", "4")
    assert load("paper", {"paper": {"seed": 9, "speed": "max"}}).paper.seed == 9
    assert load("paper", {"paper": {"speed": "2.5"}}).paper.speed == 2.5


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[drawdown]\nlimit = 8\n", "drawdown.limit"),
        ("[drawdwn]\nlimit_percent = 8\n", "drawdwn"),
        ("[drawdown]\nlimit_percent = 0.5\n", "drawdown.limit_percent"),
        ("[drawdown]\nlimit_percent = nan\n", "drawdown.limit_percent"),
        ('[paper]\nmargin_mode = "nothing"\n', "paper.margin_mode"),
        ('[terminal]\nmodule = "os; rm"\n', "terminal.module"),
        # One by one in the rehearsal of every start, this would take all memory of the machine.
        ("[guards.open_positions]\nmost = 1000000000\n", "guards.open_positions.most"),
        ("[guards.losing_streak]\nlosses = 1000000000\n", "guards.losing_streak.losses"),
        ("[guards.trades_a_day]\nmost = 1000000000\n", "guards.trades_a_day.most"),
        ("[guards.order_rate]\nmost_per_minute = 1000000000\n", "guards.order_rate.most_per_minute"),
        ("[guards.repeated_orders]\nmost = 1000000000\n", "guards.repeated_orders.most"),
        ("not toml", "paper.toml"),
    ],
)
def test_a_wrong_key_or_value_is_refused_by_its_path(own_home: Path, text: str, named: str) -> None:
    profile(own_home, text)
    with pytest.raises(SettingsError, match=named.replace(".", r"\.")):
        load("paper")


def test_an_unknown_nested_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_DRAWDOWN__LIMIT", "5")
    with pytest.raises(SettingsError, match="limit"):
        load("paper")


def test_a_variable_for_a_table_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_ALERT_URL_MY__PHONE", "json://localhost")
    load("paper")
    monkeypatch.setenv("QUARTERDECK_DRAWDWN__LIMIT_PERCENT", "10")
    with pytest.raises(SettingsError, match="QUARTERDECK_DRAWDWN__LIMIT_PERCENT: no such table"):
        load("paper")


def test_a_variable_that_is_no_json_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERDECK_GUARDS__LOSS", '[{"name":')
    with pytest.raises(SettingsError, match="guards"):
        load("paper")


def test_a_wrong_override_is_refused_by_its_path() -> None:
    with pytest.raises(SettingsError, match="speed"):
        load("paper", {"paper": {"speed": "fast"}})


def test_a_profile_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load("live")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 41, "a b"])
def test_a_profile_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(SettingsError, match="letters"):
        checked_profile(name)


def test_without_the_variable_the_home_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUARTERDECK_HOME")
    assert home().name == "quarterdeck"


LIVE = '[terminal]\nmodule = "MetaTrader5"\n[account]\nlogin = 1\nserver = "Broker-Live"\n'


@pytest.mark.parametrize(
    "wrong", ["[guards]\npresetz = []\n", "[flatten]\nhold_seconds = 0\n", "[control]\nusers = 3\n"]
)
def test_for_closing_what_is_wrong_beside_the_account_counts_for_nothing(own_home: Path, wrong: str) -> None:
    profile(own_home, LIVE + wrong, "live")
    settings, problem = load_to_close("live")
    assert settings is not None
    assert (settings.terminal.module, settings.account.login, settings.account.server) == (
        "MetaTrader5",
        1,
        "Broker-Live",
    )
    assert settings.flatten.hold_seconds == 3.0
    assert wrong[1:4] in problem
    profile(own_home, LIVE, "live")
    settings, problem = load_to_close("live")
    assert (settings, problem) == (load("live"), "")


def test_for_closing_a_wrong_variable_counts_for_nothing_either(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile(own_home, LIVE, "live")
    monkeypatch.setenv("QUARTERDECK_DRAWDOWN__LIMIT", "5")
    monkeypatch.setenv("QUARTERDECK_ACCOUNT__LOGIN", "2")
    settings, problem = load_to_close("live")
    assert settings is not None
    assert settings.account.login == 2
    assert "drawdown" in problem


@pytest.mark.parametrize("name", ["QUARTERDECK_GUARDS__LOSS", "QUARTERDECK_GUARDZ__LOSS"])
def test_for_closing_a_variable_that_cannot_be_read_counts_for_nothing_either(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    profile(own_home, LIVE, "live")
    monkeypatch.setenv(name, '[{"name":')
    settings, problem = load_to_close("live")
    assert settings is not None
    assert settings.account.login == 1
    assert problem


@pytest.mark.parametrize("wrong", ["not toml", "[terminl]\n", "[account]\nlogin = 'x'\n", "[terminal]\nmodul = 'x'\n"])
def test_a_profile_that_may_be_for_another_account_closes_nothing(own_home: Path, wrong: str) -> None:
    profile(own_home, wrong)
    settings, problem = load_to_close("paper")
    assert settings is None
    assert problem
    settings, problem = load_to_close("nothing-there")
    assert settings is None
    assert "does not exist" in problem
