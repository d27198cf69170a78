"""The guards of a profile, in the order of its tables. A guard that cannot be built keeps the engine from starting."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from engine.guards.base import Guard
from engine.guards.currency_exposure import CurrencyExposureGuard
from engine.guards.equity_floor import EquityFloorGuard
from engine.guards.losing_streak import LosingStreakGuard
from engine.guards.loss import LossLimit
from engine.guards.margin_level import MarginLevelGuard
from engine.guards.open_positions import OpenPositionsGuard
from engine.guards.order_rate import OrderRateGuard
from engine.guards.presets import preset_rules
from engine.guards.profit_target import ProfitTargetGuard
from engine.guards.repeated_orders import RepeatedOrdersGuard
from engine.guards.risk_at_stops import RiskAtStopsGuard
from engine.guards.sessions import SessionsGuard
from engine.guards.settings import GuardSettings
from engine.guards.spread import SpreadGuard
from engine.guards.trades_a_day import TradesADayGuard
from engine.guards.volume import VolumeGuard

DRAWDOWN = "drawdown"
"""The name of the guard that has a section of its own: no other may have it."""

_TABLES: tuple[tuple[str, Callable[[Any], Guard[Any]]], ...] = (
    ("equity_floor", EquityFloorGuard),
    ("margin_level", MarginLevelGuard),
    ("open_positions", OpenPositionsGuard),
    ("volume", VolumeGuard),
    ("risk_at_stops", RiskAtStopsGuard),
    ("currency_exposure", CurrencyExposureGuard),
    ("order_rate", OrderRateGuard),
    ("repeated_orders", RepeatedOrdersGuard),
    ("losing_streak", LosingStreakGuard),
    ("trades_a_day", TradesADayGuard),
    ("spread", SpreadGuard),
    ("sessions", SessionsGuard),
    ("profit_target", ProfitTargetGuard),
)


def build(settings: GuardSettings) -> tuple[Guard[Any], ...]:
    """Every guard that the profile names. Raises ValueError with the key of one that cannot be built.

    Also when two have one name: an operator unlocks a guard by its name.
    """
    guards: dict[str, tuple[str, Guard[Any]]] = {}
    for key, make in _wanted(settings):
        try:
            guard = make()
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        if guard.name == DRAWDOWN:
            raise ValueError(f"{key}: {DRAWDOWN!r} is the name of the drawdown guard; give it another name")
        if guard.name in guards:
            other = guards[guard.name][0]
            raise ValueError(f"{key}: a guard named {guard.name!r} is there already ({other}); names must differ")
        guards[guard.name] = (key, guard)
    return tuple(guard for _, guard in guards.values())


def _wanted(settings: GuardSettings) -> Iterator[tuple[str, Callable[[], Guard[Any]]]]:
    """The key of each guard's settings, and what makes it."""
    for number, name in enumerate(settings.presets):
        for rule in preset_rules(name, settings.preset_act_at):
            yield f"guards.presets[{number}] {name}", partial(LossLimit, rule)
    for number, rule in enumerate(settings.loss):
        yield f"guards.loss[{number}] {rule.name!r}", partial(LossLimit, rule)
    for key, make in _TABLES:
        table = getattr(settings, key)
        if table is not None:
            yield f"guards.{key}", partial(make, table)
