"""`flatten --direct` with an engine that is dead, stopped, or cannot be got at: flat, once, and recorded."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OpenHouse
from tests.e2e.house import QUICK, House, gone, until

DIRECT = ("flatten", "--direct", "--yes", "--reason", "the drill")


def trading(open_house: OpenHouse, positions: int = 3, **settings: str) -> House:
    """A house whose engine holds positions."""
    house = open_house(**QUICK, **{"QUARTERDECK_FLATTEN__HOLD_SECONDS": "1", **settings})
    house.engine()
    for _ in range(positions):
        house.open_position()
    return house


def kill_file(house: House) -> Path:
    return house.state / "KILL"


def run_file(house: House) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads((house.state / "run.json").read_text())
    return stored


def started_again(house: House, *, merged: bool = True) -> None:
    """The next engine has merged the record, is HALTED, sees nothing open, and lets nobody reset it yet."""
    house.engine()
    seen = house.look()
    assert (seen["engine"]["mode"], seen["positions"], seen["orders"]) == ("HALTED", [], [])
    if merged:
        (started,) = house.events("direct_flatten_started")
        assert started["metadata"]["reason"] == "the drill"
        assert started["metadata"]["fenced"] is True
        assert "flat, confirmed by the broker" in house.events("direct_flatten_finished")[0]["metadata"]["statement"]
    refused = house.run("reset", "--yes", "--reason", "over")
    assert refused.returncode == 1
    assert str(kill_file(house)) in refused.stderr
    kill_file(house).unlink()
    house.done("reset", "--yes", "--reason", "over")
    house.done("stop")
    house.nothing_left()
    assert "ok" in house.done("journal", "verify")


@pytest.mark.parametrize(("what", "margin_mode"), [("dead", "netting"), ("stopped", "hedging")])
def test_without_an_engine_that_answers_everything_is_closed_and_the_next_start_knows(
    open_house: OpenHouse, what: str, margin_mode: str
) -> None:
    netting = margin_mode == "netting"
    house = trading(open_house, 1 if netting else 3, QUARTERDECK_PAPER__MARGIN_MODE=margin_mode)
    engine, gateways = house.engine_pid(), house.pids("gateway")
    os.kill(engine, signal.SIGKILL if what == "dead" else signal.SIGSTOP)
    printed = house.done(*DIRECT)
    assert "flat, confirmed by the broker at" in printed
    assert f"{1 if netting else 3} closed" in printed
    assert gone(engine)
    assert all(gone(pid) for pid in gateways)
    assert kill_file(house).read_text() == "flatten --direct: the drill\n"
    assert run_file(house)["stopped"]["positions"] == 0
    started_again(house)


def test_gateways_that_are_stopped_too_are_killed(open_house: OpenHouse) -> None:
    house = trading(open_house)
    engine, gateways = house.engine_pid(), house.pids("gateway")
    for pid in (*gateways, engine):
        os.kill(pid, signal.SIGSTOP)
    assert "flat, confirmed by the broker at" in house.done(*DIRECT)
    assert all(gone(pid) for pid in (*gateways, engine))


def test_an_engine_that_answers_does_it_itself_and_lives(open_house: OpenHouse) -> None:
    house = trading(open_house, 2)
    engine = house.engine_pid()
    printed = house.done(*DIRECT)
    assert "flatten started" in printed
    assert "flat, confirmed by the broker at" in printed
    assert house.engine_pid() == engine
    assert house.look()["engine"]["mode"] == "HALTED"
    assert not kill_file(house).exists()
    # A token that nobody knows is no reason to kill an engine that answers.
    house.environment["QUARTERDECK_TOKEN"] = "forgotten"
    printed = house.done(*DIRECT)
    assert "asked without it" in printed
    assert house.engine_pid() == engine
    del house.environment["QUARTERDECK_TOKEN"]
    assert "flat, confirmed by the broker at" in house.done(*DIRECT)


def test_an_engine_that_stops_answering_while_it_closes_is_fenced(open_house: OpenHouse) -> None:
    house = trading(open_house, 2, QUARTERDECK_FLATTEN__HOLD_SECONDS="600")
    engine = house.engine_pid()
    direct = house.start(*DIRECT)
    house.see(lambda seen: seen["engine"]["mode"] == "FLATTENING", "the engine's own flatten")
    os.kill(engine, signal.SIGSTOP)
    until(lambda: gone(engine), "the end of the stopped engine")
    house.environment["QUARTERDECK_FLATTEN__HOLD_SECONDS"] = "1"
    direct.send_signal(signal.SIGKILL)
    direct.communicate()
    # The one that was killed held the account for ten minutes; the next one takes it over from it.
    assert "flat, confirmed by the broker at" in house.done(*DIRECT)


def test_when_it_is_killed_halfway_the_engine_goes_on_with_it_without_a_kill_file(open_house: OpenHouse) -> None:
    house = trading(open_house, 3, QUARTERDECK_FLATTEN__HOLD_SECONDS="600")
    os.kill(house.engine_pid(), signal.SIGKILL)
    direct = house.start(*DIRECT)
    fallback = house.state / "journal.fallback"
    until(lambda: fallback.exists() and b"flatten_progress" in fallback.read_bytes(), "the first close on record")
    direct.kill()
    direct.communicate()
    kill_file(house).unlink()
    house.environment["QUARTERDECK_FLATTEN__HOLD_SECONDS"] = "1"
    house.engine()
    house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "the end of the flatten")
    seen = house.look()
    assert seen["positions"] == []
    assert seen["engine"]["halt_reason"] == "the drill"


def test_a_second_one_waits_for_the_first_and_a_hung_first_is_killed(open_house: OpenHouse) -> None:
    house = trading(open_house, 1, QUARTERDECK_FLATTEN__HOLD_SECONDS="600")
    os.kill(house.engine_pid(), signal.SIGKILL)
    first = house.start(*DIRECT)
    until(lambda: run_file(house)["role"] == "direct flatten", "the first at work")
    until(lambda: run_file(house)["gateways"], "its gateways")
    os.kill(first.pid, signal.SIGSTOP)
    house.environment["QUARTERDECK_FLATTEN__HOLD_SECONDS"] = "1"
    printed = house.done(*DIRECT)
    assert f"a direct flatten works already (pid {first.pid}): it is waited for" in printed
    assert "killed the direct flatten" in printed
    assert "flat, confirmed by the broker at" in printed
    assert first.wait(5) == -signal.SIGKILL


def test_a_hang_up_and_nobody_who_reads_do_not_end_it(open_house: OpenHouse) -> None:
    house = trading(open_house, 2)
    os.kill(house.engine_pid(), signal.SIGKILL)
    direct = house.start(*DIRECT)
    until(lambda: kill_file(house).exists(), "the kill file")
    assert direct.stdout is not None
    direct.stdout.close()
    direct.send_signal(signal.SIGHUP)
    assert direct.wait(30) == 0
    started_again(house)


def test_a_terminal_that_does_not_answer_at_first_is_asked_again(open_house: OpenHouse) -> None:
    house = trading(open_house, 2)
    os.kill(house.engine_pid(), signal.SIGKILL)
    house.fault(kind="fail", call="initialize", count=2, error=[-10003, "not yet"])
    house.fault(kind="hang", call="terminal_info")
    printed = house.done(*DIRECT)
    assert "the terminal cannot be reached, and is tried again: initialize: (-10003) not yet" in printed
    assert "; looking again" in printed
    assert "2 closed" in printed


def test_a_paper_terminal_that_dies_under_it_is_started_again_as_it_was(open_house: OpenHouse) -> None:
    house = trading(open_house, 2, QUARTERDECK_FLATTEN__HOLD_SECONDS="5")
    house.fault(kind="closed", seconds=600)
    os.kill(house.engine_pid(), signal.SIGKILL)
    direct = house.start(*DIRECT)
    fallback = house.state / "journal.fallback"
    until(lambda: fallback.exists() and b"flatten_deferred" in fallback.read_bytes(), "a close that is deferred")
    (terminal,) = house.pids("paper terminal")
    os.kill(terminal, signal.SIGKILL)
    # The market that was closed for ten minutes ended with the terminal: without another one it would not be flat yet.
    printed, _ = direct.communicate(timeout=60)
    assert direct.returncode == 0, printed
    assert "2 closed" in printed
    started_again(house)


def test_what_ends_it_in_order_has_it_say_that_the_account_is_not_flat(open_house: OpenHouse) -> None:
    house = trading(open_house, 1, QUARTERDECK_FLATTEN__HOLD_SECONDS="600")
    os.kill(house.engine_pid(), signal.SIGKILL)
    direct = house.start(*DIRECT)
    until(lambda: run_file(house)["role"] == "direct flatten", "it at work")
    direct.send_signal(signal.SIGTERM)
    printed, _ = direct.communicate(timeout=30)
    assert direct.returncode == 3
    assert "INTERRUPTED, NOT KNOWN TO BE FLAT" in printed
    until(lambda: not house.pids("gateway"), "the end of its gateways")


@pytest.mark.parametrize("wrong", ["[guards]\npresetz = []\n", "[flatten]\nhold_seconds = -1\n[drawdown]\nlimit = 1\n"])
def test_a_profile_that_is_wrong_meanwhile_keeps_nobody_from_closing(open_house: OpenHouse, wrong: str) -> None:
    house = trading(open_house, 2)
    os.kill(house.engine_pid(), signal.SIGSTOP)
    profile = house.home / "profiles" / "paper.toml"
    profile.parent.mkdir()
    profile.write_text(wrong)
    printed = house.done(*DIRECT)
    assert "the profile is wrong, and keeps nobody from closing" in printed
    assert "2 closed" in printed
    assert "flat, confirmed by the broker at" in printed
    profile.unlink()
    started_again(house)


def test_a_profile_that_does_not_say_which_account_it_is_still_asks_and_writes_the_kill_file(
    open_house: OpenHouse,
) -> None:
    house = trading(open_house, 1)
    engine = house.engine_pid()
    profile = house.home / "profiles" / "paper.toml"
    profile.parent.mkdir()
    profile.write_text("[terminl]\n")
    os.kill(engine, signal.SIGSTOP)
    result = house.run(*DIRECT)
    assert result.returncode == 1
    assert "terminl" in result.stdout
    assert "NOTHING MORE IS SENT" in result.stdout
    assert kill_file(house).exists()
    os.kill(engine, signal.SIGCONT)
    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "the engine obeys the file")
    assert seen["positions"] == []
    # One that answers does it whatever the profile says by now.
    assert "flat, confirmed by the broker at" in house.done(*DIRECT)


def test_a_run_file_that_cannot_be_written_or_is_taken_away_keeps_nobody_from_closing(open_house: OpenHouse) -> None:
    house = trading(open_house, 2, QUARTERDECK_FLATTEN__HOLD_SECONDS="600")
    os.kill(house.engine_pid(), signal.SIGKILL)
    direct = house.start(*DIRECT)
    until(lambda: run_file(house)["gateways"], "its gateways")
    (house.state / "run.json").unlink()
    until(lambda: (house.state / "run.json").exists(), "the run file again")
    assert direct.poll() is None
    direct.kill()
    direct.communicate()
    house.environment["QUARTERDECK_FLATTEN__HOLD_SECONDS"] = "1"
    (house.state / "run.new").mkdir()
    assert "flat, confirmed by the broker at" in house.done(*DIRECT)
    started_again(house)
    assert not (house.state / "run.json").exists()


def test_whoever_starts_the_engine_again_at_once_stands_in_nobodys_way(open_house: OpenHouse) -> None:
    house = trading(open_house, 2)
    engine = house.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    direct = house.start(*DIRECT)
    until(lambda: gone(engine), "the end of the stopped engine")
    rivals = [house.launch_engine() for _ in range(3)]
    printed, _ = direct.communicate(timeout=60)
    assert direct.returncode == 0, printed
    assert "flat, confirmed by the broker at" in printed
    house.see(lambda seen: seen["engine"]["mode"] == "HALTED" and not seen["positions"], "an engine that halts")
    until(lambda: sum(each.poll() is None for each in rivals) == 1, "one engine, and no more")


def unnamed(open_house: OpenHouse, **settings: str) -> House:
    """An engine that is stopped, and that no run file names: it cannot be killed, and it holds the lock."""
    house = trading(open_house, 1, **settings)
    os.kill(house.engine_pid(), signal.SIGSTOP)
    (house.state / "run.json").unlink()
    return house


def test_without_the_lock_a_hedging_account_is_closed_by_ticket(open_house: OpenHouse) -> None:
    house = unnamed(open_house)
    engine = house.engine_pid()
    printed = house.done(*DIRECT)
    assert "NOT fenced: closing by ticket only" in printed
    assert "flat, confirmed by the broker at" in printed
    assert kill_file(house).exists()
    os.kill(engine, signal.SIGCONT)
    house.see(lambda seen: seen["engine"]["mode"] == "HALTED" and not seen["positions"], "the engine obeys the file")


def test_without_the_lock_a_netting_account_is_left_alone_and_the_kill_file_stays(open_house: OpenHouse) -> None:
    house = unnamed(open_house, QUARTERDECK_PAPER__MARGIN_MODE="netting")
    engine = house.engine_pid()
    result = house.run(*DIRECT)
    assert result.returncode == 1
    assert "NOTHING MORE IS SENT" in result.stdout
    assert kill_file(house).exists()
    os.kill(engine, signal.SIGCONT)
    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "the engine obeys the file")
    assert seen["positions"] == []


def test_it_asks_before_it_acts(open_house: OpenHouse) -> None:
    house = open_house(**QUICK)
    result = house.run("flatten", "--direct")
    assert (result.returncode, result.stdout) == (2, "")
    assert "say --yes" in result.stderr
    assert not house.state.exists()


def test_a_state_folder_that_cannot_be_made_is_told_in_words(open_house: OpenHouse) -> None:
    house = open_house(**QUICK)
    house.state.parent.write_text("in the way")
    for words in (("engine",), ("watchdog",), DIRECT):
        result = house.run(*words)
        assert result.returncode == 1, words
        assert "Traceback" not in result.stderr, words
        assert "Not a directory" in result.stdout + result.stderr, words


def test_in_another_home_no_account_is_made_up_that_would_be_flat(open_house: OpenHouse) -> None:
    house = open_house(**QUICK)
    result = house.run(*DIRECT)
    assert result.returncode == 1
    assert "is QUARTERDECK_HOME the engine's?" in result.stdout
    assert "flat, confirmed" not in result.stdout
    house.nothing_left()


def test_sigusr1_flattens_and_halts(open_house: OpenHouse) -> None:
    house = trading(open_house, 2)
    os.kill(house.engine_pid(), signal.SIGUSR1)
    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert seen["positions"] == []
    assert seen["engine"]["halt_reason"] == "SIGUSR1"
    house.done("reset", "--yes", "--reason", "over")


def test_sigusr1_for_every_process_of_the_house_ends_none_that_is_needed(open_house: OpenHouse) -> None:
    house = trading(open_house, 2)
    watchdog = house.start("watchdog")
    assert watchdog.stdout is not None
    assert "watching" in watchdog.stdout.readline()
    engine, gateways = house.engine_pid(), house.pids("gateway")
    for pid in (*gateways, watchdog.pid, engine):
        os.kill(pid, signal.SIGUSR1)
    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert seen["positions"] == []
    assert house.pids("gateway") == gateways
    assert watchdog.poll() is None
    house.environment["QUARTERDECK_FLATTEN__HOLD_SECONDS"] = "600"
    os.kill(engine, signal.SIGKILL)
    direct = house.start(*DIRECT)
    until(lambda: run_file(house)["role"] == "direct flatten", "it at work")
    direct.send_signal(signal.SIGUSR1)
    until(lambda: run_file(house)["gateways"], "it still at work")
    assert direct.poll() is None


def test_sigusr1_while_the_engine_is_made_waits_for_it(open_house: OpenHouse) -> None:
    house = trading(open_house, 1)
    os.kill(house.engine_pid(), signal.SIGKILL)
    engine = house.launch_engine()

    def waits() -> bool:
        blocked = next(line for line in Path(f"/proc/{engine.pid}/status").read_text().splitlines() if "SigBlk" in line)
        return bool(int(blocked.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)

    until(waits, "the first of it")
    engine.send_signal(signal.SIGUSR1)
    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert (seen["positions"], seen["engine"]["halt_reason"]) == ([], "SIGUSR1")


def test_the_kill_file_stops_a_running_engine_and_meets_the_next_start(open_house: OpenHouse) -> None:
    house = trading(open_house, 2)
    kill_file(house).write_text("from the file manager")
    seen = house.see(lambda seen: seen["engine"]["mode"] == "HALTED", "a halt")
    assert seen["positions"] == []
    assert "from the file manager" in seen["engine"]["halt_reason"]
    house.done("stop")
    house.nothing_left()
    started_again(house, merged=False)
