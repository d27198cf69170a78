"""What a profile says of its guards: the tables under `[guards]` in its TOML file.

Money is in the account's currency, percent from 0 to 100, volumes in lots, times of day as "HH:MM". A table that is
left out is a guard that is not there; the drawdown guard has its own section and is always there.
"""

from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from engine.guards.base import Action

BROKER = "broker"
"""In place of a zone: the broker server's own clock."""

Money = Annotated[float, Field(gt=0)]
Percent = Annotated[float, Field(gt=0, le=100)]
Lots = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Count = Annotated[int, Field(ge=1, le=1_000)]
"""Of positions, orders or trades. Bounded: every start rehearses them one by one."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")]


def _time_of_day(value: Any) -> Any:
    """A time of day as "23:59" or "23:59:59"; pydantic alone would take a number for seconds."""
    if isinstance(value, str) and ":" in value:
        value = time.fromisoformat(value)
    if isinstance(value, time) and value.tzinfo is None:
        return value
    raise ValueError(f'{value!r} is not a time of day: say it as "23:59", and its zone apart')


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


def _known_zone(value: str) -> str:
    if value != BROKER:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is no zone: say {BROKER!r} or an IANA name as 'Europe/Prague'") from error
    return value


class Rule(BaseModel):
    """Base of every guard's table: exact and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reset(Rule):
    """When a day of a limit ends: a time of day in a zone, or by the broker's clock."""

    zone: str = BROKER
    time: TimeOfDay = time(0)

    _zone = field_validator("zone")(_known_zone)


LossBasis = Literal[
    "initial",
    "day-start balance",
    "day-start equity",
    "day-start higher",
    "highest day-end balance",
    "highest equity",
]
"""`day-start higher`: the higher of balance and equity at the start of the day. `highest day-end balance`: of all days'
ends since the account began, the initial balance included."""

Lock = Literal["reset", "operator"] | Seconds
"""How long a breach keeps entries blocked after it is over: until its day's reset, until an operator lifts it, or for
so many seconds."""


class LossRule(Rule):
    """One limit on losses. Exactly one of `percent` and `money` says how much may be lost."""

    name: Name
    basis: LossBasis
    percent: Annotated[float, Field(gt=0, lt=100)] | None = None
    of: Literal["basis", "initial"] = "basis"
    """What `percent` is a percentage of: the present basis, or the initial balance."""
    money: Money | None = None
    act_at: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the limit at which it acts: 0.9 keeps a tenth of it as a margin for slippage."""
    warn_at: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """The share of what it acts at from which the operator is warned."""
    reset: Reset = Reset()
    """When its day ends; of no meaning for `initial` and `highest equity` unless it locks until the reset."""
    stops_trailing_at: Literal["initial"] | Money | None = None
    """The floor rises with its basis no higher than this equity."""
    action: Action = Action.FLATTEN
    lock: Lock | None = None
    cash_flows: Literal["adjust", "keep"] = "adjust"
    """Whether the basis follows money that comes and goes without a trade, or the floor stays where it is."""
    begins_again: bool = True
    """Whether an operator's reset may begin it again from the present equity. Never for a firm's own rule."""

    @model_validator(mode="after")
    def _one_amount(self) -> "LossRule":
        if (self.percent is None) == (self.money is None):
            raise ValueError(f"{self.name}: say either percent or money")
        if self.lock is not None and self.action is Action.WARN:
            raise ValueError(f"{self.name}: a warning locks nothing; its action must be block or flatten and lock")
        if self.action is Action.LOCK and self.lock is None:
            raise ValueError(f"{self.name}: '{Action.LOCK.value}' needs to say how long: lock = 'reset' or 'operator'")
        return self


PresetName = Literal["ftmo-2step", "ftmo-1step", "eod-trailing", "equity-trailing", "static"]


class EquityFloorRule(Rule):
    """An equity below which nothing is risked."""

    money: Money
    warn_money: Annotated[float, Field(ge=0)] = 0.0
    """So far above the floor the operator is warned."""
    action: Action = Action.FLATTEN


class MarginLevelRule(Rule):
    """The least margin level, percent. An account that uses no margin has none."""

    percent: Annotated[float, Field(gt=0)]
    warn_percent: Annotated[float, Field(gt=0)] | None = None
    """The level at which the operator is warned; by default a quarter above."""
    action: Action = Action.BLOCK


class OpenPositionsRule(Rule):
    """How many positions and standing orders there may be at once."""

    most: Count


class VolumeRule(Rule):
    """How many lots may be open and ordered, in total and on one symbol (the gross sum of both sides)."""

    most: Lots | None = None
    most_per_symbol: Lots | None = None

    @model_validator(mode="after")
    def _one(self) -> "VolumeRule":
        if self.most is None and self.most_per_symbol is None:
            raise ValueError("say most, most_per_symbol, or both")
        return self


class RiskAtStopsRule(Rule):
    """What may be lost, from the equity now, if every stop is hit; an open position without a stop is unlimited risk.

    Exactly one of `percent` (of the equity) and `money`.
    """

    percent: Percent | None = None
    money: Money | None = None

    @model_validator(mode="after")
    def _one(self) -> "RiskAtStopsRule":
        if (self.percent is None) == (self.money is None):
            raise ValueError("say either percent or money")
        return self


class CurrencyExposureRule(Rule):
    """How much may be held net in one currency, long or short, in account currency: `money`, or percent of the equity.

    The account's own currency is not counted.
    """

    percent: Annotated[float, Field(gt=0)] | None = None
    money: Money | None = None

    @model_validator(mode="after")
    def _one(self) -> "CurrencyExposureRule":
        if (self.percent is None) == (self.money is None):
            raise ValueError("say either percent or money")
        return self


class OrderRateRule(Rule):
    """How many openings may be sent within a minute. Each try counts."""

    most_per_minute: Count


class RepeatedOrdersRule(Rule):
    """The repeated execution throttle of RTS 6 Article 15(3): the same opening (symbol, side, volume) again and again.

    At `most` of them within `window_seconds` entries are blocked until an operator lifts it.
    """

    most: Annotated[int, Field(ge=2, le=1_000)]
    window_seconds: Seconds = 300.0


class LosingStreakRule(Rule):
    """Losing trades in a row after which entries are blocked for `cooldown_seconds`."""

    losses: Count
    cooldown_seconds: Seconds = 3600.0


class TradesADayRule(Rule):
    """How many trades may be opened in a day."""

    most: Count
    reset: Reset = Reset()


class SpreadRule(Rule):
    """The widest spread at which a symbol may be traded, in points; symbols that are not named are not limited."""

    points: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Window(Rule):
    """A stretch of a day in which entries are allowed, on some days of the week; over midnight when it ends first."""

    days: Annotated[str, StringConstraints(pattern=r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(-(Mon|Tue|Wed|Thu|Fri|Sat|Sun))?$")]
    begins: TimeOfDay
    ends: TimeOfDay


class SessionsRule(Rule):
    """When entries are allowed, and when the week is closed.

    Outside of every window entries are blocked. From `friday_close` to the end of the weekend (Sunday 24:00, or
    `week_begins` on Sunday) entries are blocked and what is open is closed, without halting the account.
    """

    zone: str = BROKER
    windows: tuple[Window, ...] = ()
    friday_close: TimeOfDay | None = None
    week_begins: TimeOfDay | None = None
    """The time on Sunday at which the week begins again; Monday 00:00 when it is not given."""

    _zone = field_validator("zone")(_known_zone)

    @model_validator(mode="after")
    def _something(self) -> "SessionsRule":
        if not self.windows and self.friday_close is None:
            raise ValueError("say windows, friday_close, or both")
        return self


class ProfitTargetRule(Rule):
    """The profit at which the day, or the whole challenge, is won and is not to be lost again.

    Exactly one of `percent` (of the basis) and `money`.
    """

    basis: Literal["initial", "day-start balance", "day-start equity"] = "initial"
    percent: Annotated[float, Field(gt=0)] | None = None
    money: Money | None = None
    reset: Reset = Reset()
    action: Literal[Action.WARN, Action.BLOCK, Action.LOCK] = Action.LOCK
    lock: Lock = "operator"

    @model_validator(mode="after")
    def _one(self) -> "ProfitTargetRule":
        if (self.percent is None) == (self.money is None):
            raise ValueError("say either percent or money")
        return self


class GuardSettings(Rule):
    """All guards of a profile beside the drawdown guard."""

    initial_balance: Money | None = None
    """What the account began with, by the firm's books; without it the first reading's balance."""
    presets: tuple[PresetName, ...] = ()
    """Rules of prop firms by name. Where each comes from: `presets.py`."""
    preset_act_at: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The share of a firm's limit at which a preset acts."""
    loss: tuple[LossRule, ...] = ()
    equity_floor: EquityFloorRule | None = None
    margin_level: MarginLevelRule | None = None
    open_positions: OpenPositionsRule | None = None
    volume: VolumeRule | None = None
    risk_at_stops: RiskAtStopsRule | None = None
    currency_exposure: CurrencyExposureRule | None = None
    order_rate: OrderRateRule | None = None
    repeated_orders: RepeatedOrdersRule | None = None
    losing_streak: LosingStreakRule | None = None
    trades_a_day: TradesADayRule | None = None
    spread: SpreadRule | None = None
    sessions: SessionsRule | None = None
    profit_target: ProfitTargetRule | None = None
