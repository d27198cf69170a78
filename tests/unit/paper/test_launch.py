"""The terminal is the profile's: other conditions, or a changed file of them, are another terminal."""

from pathlib import Path

import pytest

from engine.config import PaperSettings
from engine.paper.client import PaperClient
from engine.paper.launch import PaperMarket, open_paper_market
from tests.unit.paper.markets import deal
from tests.unit.paper.test_server import there


async def stops_level(market: PaperMarket) -> tuple[int, int, int]:
    """The symbol's stops level, the account's margin mode and its positions, as a client sees them."""
    client = PaperClient()
    assert await there(client.initialize, str(market.address_file))
    info, account = await there(client.symbol_info, "EURUSD"), await there(client.account_info)
    positions = await there(client.positions_total)
    client.shutdown()
    return info.trade_stops_level, account.margin_mode, positions


# The launcher lets go of the process on purpose: a terminal outlives whoever started it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_changed_conditions_start_another_terminal_on_the_same_account(tmp_path: Path) -> None:
    rules = tmp_path / "broker.toml"
    rules.write_text("[symbols.EURUSD]\nstops_level = 50\n")
    settings = PaperSettings(broker=rules)
    folder = tmp_path / "state"
    market = await open_paper_market(settings, folder)
    try:
        assert await stops_level(market) == (50, 2, 0)
        client = PaperClient()
        assert await there(client.initialize, str(market.address_file))
        assert (await there(client.order_send, deal("buy", 0.1))).retcode == 10009
        client.shutdown()
        again = await open_paper_market(settings, folder)
        assert again.symbols == market.symbols
        await again._control.close()
        rules.write_text("[symbols.EURUSD]\nstops_level = 70\n")
        await market._control.close()
        market = await open_paper_market(settings, folder)
        assert await stops_level(market) == (70, 2, 1)
        await market._control.close()
        # A netting account is another account: it does not inherit a hedging one's positions.
        market = await open_paper_market(settings.model_copy(update={"margin_mode": "netting"}), folder)
        assert await stops_level(market) == (70, 0, 0)
    finally:
        await market.shutdown()


async def test_file_of_conditions_that_is_wrong_is_named_and_nothing_starts(tmp_path: Path) -> None:
    rules = tmp_path / "broker.toml"
    rules.write_text("[symbols.EURUSD]\nstops = 50\n")
    with pytest.raises(ValueError, match=r"broker\.toml: symbols\.EURUSD\.stops: Extra inputs"):
        await open_paper_market(PaperSettings(broker=rules), tmp_path / "state")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_could_not_start_is_not_what_a_direct_flatten_starts(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    market = await open_paper_market(PaperSettings(), folder)
    login = (await market._control.status()).login
    await market.shutdown()
    with pytest.raises(ValueError, match=r"EURUSD\.csv: cannot be read"):
        await open_paper_market(PaperSettings(replay=(tmp_path / "EURUSD.csv",)), folder)
    again = await open_paper_market(PaperSettings(), folder, as_it_was=True)
    try:
        assert (await again._control.status()).login == login
    finally:
        await again.shutdown()
