"""Settings of one profile: a TOML file, the environment above it, nothing secret in either file or repository.

`$QUARTERDECK_HOME/profiles/NAME.toml` (optional), then `QUARTERDECK_SECTION__KEY`. Unknown keys are refused by their
path. QUARTERDECK_HOME moves all configuration and state.
"""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from engine.alerts.addresses import PREFIX as ADDRESS_PREFIX
from engine.alerts.settings import AlertSettings
from engine.control.settings import ControlSettings
from engine.guards.settings import GuardSettings
from engine.watchdog.settings import WatchdogSettings

PROFILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")
PAPER_MODULE = "engine.paper.client"
_PREFIX = "QUARTERDECK_"


class SettingsError(Exception):
    """A profile that cannot be used: says which file or variable, which key, and what is right."""


class Section(BaseModel):
    """Base of every table in a profile: exact and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AccountSettings(Section):
    """The account that this profile may trade. `login` and `server` pin it: another account is never traded."""

    login: int | None = None
    server: str | None = None
    foreign: Literal["watch", "adopt", "ignore"] = "watch"
    """Positions that this engine did not open: watched (shown, counted by guards, closed by a whole-account flatten),
    adopted (treated as its own, and alarmed when without a stop), or ignored."""

    @field_validator("foreign")
    @classmethod
    def _guarded(cls, value: str) -> str:
        if value == "ignore":
            raise ValueError(
                "'ignore' is refused while the drawdown guard measures the account's equity, which foreign positions"
                " move: say 'watch' or 'adopt'"
            )
        return value


class TerminalSettings(Section):
    """The broker module: the paper terminal, or for a live profile `MetaTrader5` and the terminal's path."""

    module: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")] = PAPER_MODULE
    path: str | None = None
    """Path of terminal64.exe for a live profile; the paper terminal has its own."""


class DrawdownSettings(Section):
    """The drawdown guard."""

    limit_percent: Annotated[float, Field(ge=1, le=99)] = 20.0
    """Drawdown from the highest equity at which everything is closed, percent."""
    warn_at: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Share of the limit at which the operator is warned."""


class ReadingSettings(Section):
    """How the account is read."""

    interval_seconds: Annotated[float, Field(ge=0.02, le=5)] = 0.1
    stale_after_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    blind_after_seconds: Annotated[float, Field(gt=0, le=600)] = 5.0
    blind_action: Literal["block", "flatten"] = "block"
    """What happens when no reading has been valid for so long: entries are blocked; or everything is closed too, if
    the broker still answers for this account."""


class GatewaySettings(Section):
    """Deadlines of broker calls, in seconds. A gateway that misses one is replaced."""

    connect_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    read_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    send_seconds: Annotated[float, Field(gt=0, le=120)] = 10.0
    stall_seconds: Annotated[float, Field(gt=0, le=10)] = 0.24
    """A close that would wait longer than this for its gateway goes through the standby, which then has it within a
    quarter of a second."""


class EntrySettings(Section):
    """What an opening must satisfy: asked when it is proposed, when it is approved and before each send."""

    require_stop: bool = True
    """Refuse signals without a stop loss."""
    min_reward_to_risk: Annotated[float, Field(ge=0, le=100)] = 1.5
    """Distance to the target over distance to the stop; 0 lets signals without a target through."""
    min_stop_points: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """The least distance of the stop loss, besides the symbol's own."""
    max_drift_points: Annotated[float, Field(gt=0)] | None = None
    max_drift_of_stop: Annotated[float, Field(gt=0, le=1)] | None = 0.25
    """How far the price may have moved since the proposal: in points, and as a share of the stop distance."""
    max_spread_points: Annotated[float, Field(gt=0)] | None = None
    max_spread_of_stop: Annotated[float, Field(gt=0, le=1)] | None = 0.25
    """How wide the spread may be: in points, and as a share of the stop distance."""
    order_seconds: Annotated[float, Field(ge=1, le=2_592_000)] = 3600.0
    """How long a limit or stop order stands at the broker, unless its signal says otherwise."""
    add_to_position: bool = False
    """On a netting account: let an entry change the size and the stop of a position that is held."""


class LoopSettings(Section):
    """The trading loop."""

    batch_size: Annotated[int, Field(ge=1, le=1000)] = 10
    heartbeat_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    deviation_points: Annotated[int, Field(ge=0, le=10_000)] = 20
    reconcile_seconds: Annotated[float, Field(ge=0.5, le=300)] = 5.0
    """How often the deals at the broker are held against what the journal knows."""
    settle_seconds: Annotated[float, Field(ge=1, le=3600)] = 90.0
    """How long an unknown outcome must stay unseen at a connected broker before it is presumed absent."""


class FlattenSettings(Section):
    """The flatten of the whole account."""

    hold_seconds: Annotated[float, Field(ge=1, le=600)] = 3.0
    """How long the account must stay empty before it is called flat; what refills meanwhile is closed too."""
    settle_seconds: Annotated[float, Field(ge=1, le=600)] = 10.0
    """How long a close that must not be repeated, and of which the broker shows nothing, keeps the next one waiting.

    Shorter than for an opening, and than for a close of a part: a close that comes late after all turns a netting
    position round, and is closed again; a position that stays open is worse.
    """


def _several(value: Any) -> Any:
    """One path, or a list of them, which the environment holds as JSON."""
    if isinstance(value, str):
        return json.loads(value) if value.startswith("[") else [value]
    return [value] if isinstance(value, Path) else value


class PaperSettings(Section):
    """The paper account and its market; used when the terminal is the paper terminal."""

    balance: Annotated[float, Field(gt=0)] = 10_000.0
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    leverage: Annotated[int, Field(ge=1, le=5000)] = 100
    margin_mode: Literal["hedging", "netting", "exchange"] = "hedging"
    fifo_close: bool = False
    """Whether the oldest position of a symbol must be closed first."""
    limit_orders: Annotated[int, Field(ge=0)] = 0
    """How many pending orders may stand; 0: any."""
    commission_per_lot: Annotated[float, Field(ge=0)] = 0.0
    """Charged per lot and side, in account currency."""
    stop_out_mode: Literal["percent", "money"] = "percent"
    stop_out: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 50.0
    """Margin level in percent, or with the mode money an equity in account currency, at which positions are closed."""
    margin_call: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 100.0
    symbol: str | None = None
    seed: int = 1
    replay: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_several)] = ()
    """Files of ticks or bars to replay, one a symbol, instead of the synthetic market: one path, or a list."""
    broker: Path | None = None
    """A TOML file of the conditions of the broker's symbols and server."""
    faults: Path | None = None
    """A TOML file of what is to go wrong, for rehearsals."""
    speed: Annotated[float, Field(gt=0, le=100_000)] | Literal["max"] = 1.0
    demo_strategy: bool = True
    """Propose signals from a demonstration strategy. Only ever on the paper terminal."""

    @model_validator(mode="after")
    def _warns_before_it_closes(self) -> "PaperSettings":
        if self.stop_out > self.margin_call:
            raise ValueError(
                f"stop_out {self.stop_out:g} is above margin_call {self.margin_call:g}: the call comes first"
            )
        return self


class WhichAccount(BaseSettings):
    """The tables that say which account a profile is for. Precedence as below."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    account: AccountSettings = AccountSettings()
    terminal: TerminalSettings = TerminalSettings()
    paper: PaperSettings = PaperSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment stands above the file, whose content is given as the initial values."""
        return env_settings, init_settings


class Settings(WhichAccount):
    """All settings of a profile. Precedence: command line, environment, TOML file, defaults."""

    drawdown: DrawdownSettings = DrawdownSettings()
    guards: GuardSettings = GuardSettings()
    reading: ReadingSettings = ReadingSettings()
    gateway: GatewaySettings = GatewaySettings()
    loop: LoopSettings = LoopSettings()
    entry: EntrySettings = EntrySettings()
    flatten: FlattenSettings = FlattenSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    alerts: AlertSettings = AlertSettings()
    control: ControlSettings = ControlSettings()

    @property
    def is_paper(self) -> bool:
        """Whether this profile trades on the paper terminal."""
        return self.terminal.module == PAPER_MODULE


def home() -> Path:
    """The folder of all configuration and state: QUARTERDECK_HOME, or the user's data folder."""
    named = os.environ.get("QUARTERDECK_HOME")
    return Path(named).absolute() if named else Path(platformdirs.user_data_path("quarterdeck", appauthor=False))


def state_folder(profile: str) -> Path:
    """Where a profile keeps its journal, lock, socket, logs and paper account."""
    return home() / "state" / checked_profile(profile)


def checked_profile(profile: str) -> str:
    """Return the name if a profile may be called so, else raise SettingsError."""
    if not PROFILE_NAME.match(profile):
        raise SettingsError(
            f"profile {profile!r}: a name has 1 to 40 letters, digits, '.', '_' or '-', the first a letter or digit"
        )
    return profile


def load(profile: str, overrides: dict[str, dict[str, Any]] | None = None) -> Settings:
    """Read a profile. `overrides` ({"paper": {"seed": 3}}) come from the command line and stand above all else.

    Raises SettingsError that names the file and the key. A missing file is the defaults.
    """
    path, values = _stored(profile)
    try:
        settings = Settings(**values)
        if overrides:
            merged = settings.model_dump()
            for section, keys in overrides.items():
                merged[section].update(keys)
            checked = {name: type(getattr(settings, name))(**merged[name]) for name in overrides}
            settings = settings.model_copy(update=checked)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
        )
        raise SettingsError(f"profile {profile!r} ({path} and QUARTERDECK_* variables): {problems}") from error
    except UnreadableVariable as error:
        raise SettingsError(f"QUARTERDECK_* variables: {error}: {error.__cause__}") from error
    misspelt = _misspelt_variables()
    if misspelt:
        raise SettingsError(
            f"{', '.join(misspelt)}: no such table; a variable is called QUARTERDECK_SECTION__KEY, its section one of"
            f" {', '.join(Settings.model_fields)}"
        )
    return settings


def _misspelt_variables() -> list[str]:
    """Variables that are meant for a table that is not there: a limit set by one would not hold, and nobody hear."""
    # The address of an alert is no setting, and the name of its target may have what parts a table from its key.
    names = (name for name in os.environ if name.upper().startswith(_PREFIX) and "__" in name)
    return sorted(
        name
        for name in names
        if not name.upper().startswith(ADDRESS_PREFIX)
        and name[len(_PREFIX) :].partition("__")[0].lower() not in Settings.model_fields
    )


def load_to_close(profile: str) -> tuple[Settings | None, str]:
    """Read a profile for closing everything on its account, which no misspelt limit may prevent.

    Returns the settings, and why the profile cannot be used, "" when it can: of one that cannot, the tables that say
    which account it is, and the defaults. None when not even those can be told. Raises SettingsError for a name that
    no profile may have.
    """
    checked_profile(profile)
    try:
        return load(profile), ""
    except SettingsError as error:
        problem = str(error)
    try:
        _, values = _stored(profile)
        # One that is misspelt may be any of those.
        if not set(values) <= set(Settings.model_fields):
            return None, problem
        which = WhichAccount(**{name: values[name] for name in WhichAccount.model_fields if name in values})
    except (SettingsError, UnreadableVariable, ValidationError):
        return None, problem
    return Settings.model_construct(account=which.account, terminal=which.terminal, paper=which.paper), problem


def _stored(profile: str) -> tuple[Path, dict[str, Any]]:
    """A profile's file and what it says."""
    path = home() / "profiles" / f"{checked_profile(profile)}.toml"
    if path.exists():
        try:
            # Windows editors put a byte order mark before the first line.
            return path, tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: {error}") from error
    if profile != "paper":
        raise SettingsError(f"no profile {profile!r}: {path} does not exist (only 'paper' needs no file)")
    return path, {}
