"""The rules of prop firms by name, as loss limits. Each says where it comes from.

Firms change their rules and sell several: whoever uses a preset compares it with the contract, and writes the firm's
rule as a `[[guards.loss]]` table where it differs. None of them begins again at a reset. None follows money that comes
or goes without a trade: no firm's text lowers a limit for money that is paid out, and keeping a floor where it is never
loosens it. After a payout, that of a daily loss may so be reached with nothing open, until the day is over or an
operator says what the day began with.
"""

from typing import Any

from engine.guards.base import Action
from engine.guards.settings import LossRule, PresetName, Reset

PRAGUE_MIDNIGHT = Reset(zone="Europe/Prague")
"""FTMO's midnight CE(S)T is "the time in the Czech Republic" (ftmo.com/en/trading-objectives)."""
FUTURES_CLOSE = Reset(zone="America/New_York", time="17:00")
"""The end of a trading day of US futures, 16:00 in Chicago (faq.bullrush.com: "5 PM EST")."""


def preset_rules(name: PresetName, act_at: float) -> tuple[LossRule, ...]:
    """The limits of a preset, each acting at the share `act_at` of the firm's (above 0, to 1).

    Raises ValueError for a name that is no preset's and for a share outside of its range.
    """
    made = {
        "ftmo-2step": _ftmo_2step,
        "ftmo-1step": _ftmo_1step,
        "eod-trailing": _eod_trailing,
        "equity-trailing": _equity_trailing,
        "static": _static,
    }
    if name not in made:
        raise ValueError(f"{name!r} is no preset: say one of {', '.join(made)}")
    return made[name](act_at)


def _ftmo_2step(act_at: float) -> tuple[LossRule, ...]:
    """FTMO Challenge and Account, 2-Step.

    Daily: the balance at midnight CE(S)T less 5 % of the initial capital, on the first day the initial capital less
    that (academy.ftmo.com/lesson/maximum-daily-loss). Ever: 90 % of the initial balance (academy.ftmo.com/?p=47).
    Both against the equity, with commissions and swaps, at any moment.
    """
    return _daily("ftmo-2step", act_at, 5), _lasting("ftmo-2step", act_at, basis="initial", percent=10, of="initial")


def _ftmo_1step(act_at: float) -> tuple[LossRule, ...]:
    """FTMO Challenge and Account, 1-Step.

    Daily: 3 % of the initial capital (promo.ftmo.oanda.com/new-1-step-challenge), taken to be measured from the
    balance at midnight CE(S)T as that of the 2-Step is. Ever: the highest balance at the end of any day, or the
    initial capital if that is higher, less 10 % of the initial capital; it never falls (ftmo.com/?p=1671).
    """
    lasting = _lasting("ftmo-1step", act_at, basis="highest day-end balance", percent=10, of="initial")
    return _daily("ftmo-1step", act_at, 3), lasting


def _eod_trailing(act_at: float) -> tuple[LossRule, ...]:
    """Futures firms: an end-of-day trailing drawdown that stops at the starting balance; payouts do not lower it.

    The highest balance at the end of a day less 4 % of the initial balance, as 2,000 of 50,000 (daytradingz.com/
    prop-firm-drawdown; that the floor stops at the starting balance: help.earn2trade.com, "What is a trailing
    drawdown", and proptradercheck.com/best-prop-firms/trailing-drawdown). Firms' amounts go from 3 to 6 %.
    """
    rule = _lasting(
        "eod-trailing",
        act_at,
        basis="highest day-end balance",
        percent=4,
        of="initial",
        reset=FUTURES_CLOSE,
        stops_trailing_at="initial",
    )
    return (rule,)


def _equity_trailing(act_at: float) -> tuple[LossRule, ...]:
    """Upside Funding, equity based trailing: 4 % of the highest equity, counted from that equity.

    The limit moves with each new high and stays else (theupsidefunding.com/docs/what-happens-if-i-fail-the-evaluation-
    can-i-retry).
    """
    return (_lasting("equity-trailing", act_at, basis="highest equity", percent=4),)


def _static(act_at: float) -> tuple[LossRule, ...]:
    """A floor that never moves: 10 % of the original account value below it.

    "Static: the drawdown doesn't change at any stage" (theupsidefunding.com/docs/what-type-of-drawdown-limit-
    calculations-does-upside-funding-use-and-how-are-they-calculated; with 10 %: propfirmkey.com/en/blog/
    drawdown-static-vs-trailing).
    """
    return (_lasting("static", act_at, basis="initial", percent=10, of="initial"),)


def _daily(preset: str, act_at: float, percent: float) -> LossRule:
    """A daily loss by FTMO's rule. What it closed stays closed until the next day begins."""
    return LossRule(
        name=f"{preset} daily loss",
        basis="day-start balance",
        percent=percent,
        of="initial",
        act_at=act_at,
        reset=PRAGUE_MIDNIGHT,
        action=Action.LOCK,
        lock="reset",
        cash_flows="keep",
        begins_again=False,
    )


def _lasting(preset: str, act_at: float, **rule: Any) -> LossRule:
    """A limit that ends the account: only an operator unlocks it."""
    return LossRule(
        name=f"{preset} max loss",
        act_at=act_at,
        action=Action.LOCK,
        lock="operator",
        cash_flows="keep",
        begins_again=False,
        **{"reset": PRAGUE_MIDNIGHT, **rule},
    )
