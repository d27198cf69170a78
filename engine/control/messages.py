"""The words of the control API: what an engine tells its consoles and what they may ask of it.

Everything that crosses the control socket is one of these models. Unknown fields and non-finite numbers are
refused on both sides. Money is in the account's currency, prices in the symbol's, volumes in lots, times in UTC,
ages in seconds, percent from 0 to 100.
"""

from engine.control.alerts import Acknowledge as Acknowledge
from engine.control.alerts import AlertView as AlertView
from engine.control.alerts import TestAlert as TestAlert
from engine.control.commands import Action as Action
from engine.control.commands import AddSignal as AddSignal
from engine.control.commands import AllScope as AllScope
from engine.control.commands import Approve as Approve
from engine.control.commands import Cancel as Cancel
from engine.control.commands import CancelClose as CancelClose
from engine.control.commands import Close as Close
from engine.control.commands import CloseScope as CloseScope
from engine.control.commands import Command as Command
from engine.control.commands import CommandResult as CommandResult
from engine.control.commands import Flatten as Flatten
from engine.control.commands import LosersScope as LosersScope
from engine.control.commands import Pause as Pause
from engine.control.commands import PositionScope as PositionScope
from engine.control.commands import Reject as Reject
from engine.control.commands import Resume as Resume
from engine.control.commands import SourceScope as SourceScope
from engine.control.commands import Stop as Stop
from engine.control.commands import Symbol as Symbol
from engine.control.commands import SymbolScope as SymbolScope
from engine.control.commands import WinnersScope as WinnersScope
from engine.control.risk import FundsView as FundsView
from engine.control.risk import GuardView as GuardView
from engine.control.risk import LockView as LockView
from engine.control.risk import Reset as Reset
from engine.control.risk import RiskView as RiskView
from engine.control.risk import SetBases as SetBases
from engine.control.risk import SettleFunds as SettleFunds
from engine.control.risk import TripView as TripView
from engine.control.risk import Unlock as Unlock
from engine.control.views import API_VERSION as API_VERSION
from engine.control.views import AccountView as AccountView
from engine.control.views import AttachedView as AttachedView
from engine.control.views import ClosingView as ClosingView
from engine.control.views import DrawdownView as DrawdownView
from engine.control.views import EngineView as EngineView
from engine.control.views import Environment as Environment
from engine.control.views import EquityCurve as EquityCurve
from engine.control.views import EquityPoint as EquityPoint
from engine.control.views import EventMatches as EventMatches
from engine.control.views import EventsPage as EventsPage
from engine.control.views import EventView as EventView
from engine.control.views import FlattenView as FlattenView
from engine.control.views import GatewayView as GatewayView
from engine.control.views import HeartbeatView as HeartbeatView
from engine.control.views import MarketView as MarketView
from engine.control.views import OrderView as OrderView
from engine.control.views import Owner as Owner
from engine.control.views import PositionView as PositionView
from engine.control.views import ReadingView as ReadingView
from engine.control.views import SignalView as SignalView
from engine.control.views import Snapshot as Snapshot
from engine.control.views import Validity as Validity
from engine.control.wire import OrderType as OrderType
from engine.control.wire import Reason as Reason
from engine.control.wire import Role as Role
from engine.control.wire import Wire as Wire


class Problem(Wire):
    """The body of every HTTP error: what was wrong and what is right."""

    error: str


class StreamMessage(Wire):
    """One message of the WebSocket stream: a snapshot (latest wins) or events (none lost, ascending)."""

    snapshot: Snapshot | None = None
    events: list[EventView] | None = None
