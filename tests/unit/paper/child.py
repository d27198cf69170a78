"""A program for the crash test: does a fixed list of things to a paper account, until it is killed.

`python -m tests.unit.paper.child FOLDER`. After each one it says `done RECORDS`: how many records the ledger then had.
Everything it does is the same each time.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from engine.paper import client as mt5
from engine.paper.client import PaperClient
from engine.paper.terminal import PaperTerminal, TerminalConfig


def lengths(folder: Path) -> Iterator[int]:
    """Do one thing after the other; yields how long the ledger has become."""
    terminal = PaperTerminal.open(TerminalConfig(seed=5, speed=None), folder)
    client = PaperClient.in_process(terminal)
    assert client.initialize()
    yield len(terminal.account.ledger.records)

    def sent(**request: object) -> int:
        answer = client.order_send({"symbol": "EURUSD", **request})
        assert answer.retcode == mt5.TRADE_RETCODE_DONE, answer
        return len(terminal.account.ledger.records)

    deal, pending = mt5.TRADE_ACTION_DEAL, mt5.TRADE_ACTION_PENDING
    yield sent(action=deal, type=mt5.ORDER_TYPE_BUY, volume=0.5, magic=7, comment="one")
    yield sent(action=deal, type=mt5.ORDER_TYPE_SELL, volume=0.2)
    first, second = client.positions_get()
    bid = client.symbol_info_tick("EURUSD").bid
    level = round(bid - 0.01, 5)
    yield sent(action=mt5.TRADE_ACTION_SLTP, position=first.ticket, sl=level, tp=0.0)
    yield sent(action=pending, type=mt5.ORDER_TYPE_BUY_LIMIT, volume=0.1, price=level, type_filling=2)
    yield sent(action=mt5.TRADE_ACTION_REMOVE, order=client.orders_get()[0].ticket)
    yield sent(action=mt5.TRADE_ACTION_CLOSE_BY, position=first.ticket, position_by=second.ticket)
    terminal.step()
    terminal.account.cash(mt5.DEAL_TYPE_BALANCE, -250.0, "Withdrawal")
    terminal.step()
    yield len(terminal.account.ledger.records)
    yield sent(action=deal, type=mt5.ORDER_TYPE_SELL, volume=0.3, position=first.ticket)
    terminal.shutdown()


if __name__ == "__main__":
    for length in lengths(Path(sys.argv[1])):
        print("done", length, flush=True)
