"""Whether what the broker said of the account may be believed.

In: one sweep of the broker. Out: an AccountReading that is VALID, STALE or INVALID, with the reason in words. Pure: no
guard is asked here and nothing is sent.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from engine.broker.base import Account, Position, Sweep


class Validity(StrEnum):
    """Whether a reading may move a baseline or trip a guard."""

    VALID = "VALID"
    STALE = "STALE"
    INVALID = "INVALID"
    NONE = "NONE"
    """There has not been a reading yet."""


@dataclass(frozen=True, slots=True)
class AccountReading:
    """One look at the account. Money in account currency; `at` in seconds of the monotonic clock.

    `equity_by_positions` is balance + credit + the positions' profit and swap: a second witness for the equity, read
    by another call and so a moment apart. None when the positions could not be read.

    `unexplained` is the part of the balance that no deal explains yet: a peak is measured without what may be a
    deposit. `relief`, from 0.0, is what of it may be a withdrawal: a limit is measured as if it were still there.
    """

    validity: Validity
    reason: str
    at: float
    account: Account | None
    positions: tuple[Position, ...] | None
    equity_by_positions: float | None
    unexplained: float = 0.0
    relief: float = 0.0

    @property
    def equity(self) -> float:
        """The account's equity. Only a reading that has an account has one."""
        if self.account is None:
            raise ValueError("a reading without an account has no equity")
        return self.account.equity

    @property
    def equity_for_peak(self) -> float:
        """The equity that may raise a peak."""
        return self.equity - max(0.0, self.unexplained)

    @property
    def equity_for_limit(self) -> float:
        """The equity that is held against a limit below it."""
        return self.equity + self.relief

    def bears_out(self, floor: float) -> bool:
        """Whether the positions too say that the equity is at or below `floor`."""
        witness = self.equity_by_positions
        return witness is not None and witness + self.relief <= floor


NO_READING = AccountReading(Validity.NONE, "no reading yet", -math.inf, None, None, None)


def judge(
    sweep: Sweep, *, login: int, server: str, at: float, took: float = 0.0, stale_after: float = math.inf
) -> AccountReading:
    """Judge a sweep of the account `login` on `server` that was asked for at `at` (monotonic seconds).

    `took` is how long the answer took, seconds: one that was on its way for longer than `stale_after` is old news.
    """
    validity, reason = _judgement(sweep, login, server)
    if validity is Validity.VALID and took > stale_after:
        validity, reason = Validity.STALE, f"the answer took {took:.1f} s"
    account, positions = sweep.account, _readable(sweep.positions)
    by_positions = None
    if account is not None and positions is not None:
        by_positions = account.balance + account.credit + sum(item.profit + item.swap for item in positions)
    return AccountReading(validity, reason, at, account, positions, by_positions)


def _readable(positions: tuple[Position, ...] | None) -> tuple[Position, ...] | None:
    """The positions, or None when a number in one of them is not finite: they could not be read then."""
    for item in positions or ():
        numbers = (item.volume, item.price_open, item.price_current, item.sl, item.tp, item.profit, item.swap)
        if not all(map(math.isfinite, numbers)):
            return None
    return positions


def _judgement(sweep: Sweep, login: int, server: str) -> tuple[Validity, str]:
    account, terminal = sweep.account, sweep.terminal
    if account is None or terminal is None:
        said = "; ".join(str(error) for error in sweep.errors) or "the broker did not answer"
        return Validity.INVALID, said
    if (account.login, account.server) != (login, server):
        return Validity.INVALID, f"account {account.login}@{account.server} answered, not {login}@{server}"
    money = (account.balance, account.credit, account.profit, account.equity, account.margin)
    if not all(map(math.isfinite, money)):
        return Validity.INVALID, f"equity {account.equity}, balance {account.balance}, profit {account.profit}"
    if account.equity == 0 and account.balance == 0:
        return Validity.INVALID, "balance and equity are both 0, as after a reconnect"
    expected = account.balance + account.credit + account.profit
    if abs(account.equity - expected) > 1.5 * 10.0**-account.currency_digits:
        return Validity.INVALID, f"equity {account.equity} is not balance + credit + profit {expected:.2f}"
    if not terminal.connected:
        return Validity.STALE, "the terminal is not connected to its broker: these are cached values"
    return Validity.VALID, ""
