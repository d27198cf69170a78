"""The engine as its control API sees it: snapshots, events, equity and commands of one running account."""

from datetime import UTC, datetime

from engine.account import AccountEngine
from engine.broker.connection import Lane
from engine.broker.gateway import Gateways
from engine.commands import carry_out
from engine.control import messages as wire
from engine.control.health import Health
from engine.control.target import Operator, Visitor
from engine.events import Event
from engine.snapshot import snapshot

_MATCHES = 100_000
_HEALTHY_SECONDS = 5.0


class EngineTarget:
    """A ControlTarget over one account's engine."""

    def __init__(self, engine: AccountEngine, gateways: Gateways, *, profile: str, started_at: datetime) -> None:
        self._engine = engine
        self._gateways = gateways
        self._profile = profile
        self._started_at = started_at

    def snapshot(self) -> wire.Snapshot:
        """Everything as it stands now."""
        sweep = self._engine.cycle.sweep
        linked = sweep is not None and sweep.terminal is not None and sweep.terminal.connected
        gateway = wire.GatewayView(
            connected=self._gateways.connected and linked,
            restarts=self._gateways.restarts,
            orders=self._gateways.state(Lane.ORDERS),
            reads=self._gateways.state(Lane.READS),
        )
        return snapshot(self._engine, profile=self._profile, started_at=self._started_at, gateway=gateway)

    async def events(self, after: int, limit: int) -> wire.EventsPage:
        """A window of the journal's events."""
        events = await self._engine.journal.events(after, limit)
        return wire.EventsPage(events=[_view(event) for event in events], last_seq=self._engine.journal.last_seq)

    async def matches(self, contains: str) -> wire.EventMatches:
        """Where a text occurs in the journal."""
        seqs = await self._engine.journal.matches(contains, _MATCHES)
        return wire.EventMatches(seqs=seqs, last_seq=self._engine.journal.last_seq)

    async def equity(self, start: datetime | None, end: datetime | None, points: int) -> wire.EquityCurve:
        """The account's equity, thinned."""
        engine = self._engine
        found = await engine.journal.equity(
            engine.key,
            int(start.timestamp()) if start else None,
            int(end.timestamp()) if end else None,
            points,
        )
        state = engine.cycle.guard.state
        return wire.EquityCurve(
            account=engine.key,
            points=[
                wire.EquityPoint(
                    start=datetime.fromtimestamp(point.start, UTC),
                    seconds=point.seconds,
                    low=point.low,
                    high=point.high,
                    last=point.last,
                )
                for point in found
            ],
            resolution_seconds=found[0].seconds if found else 1,
            peak=engine.cycle.committed_peak,
            floor=state.floor,
        )

    async def execute(self, command: wire.Command, operator: Operator) -> wire.CommandResult:
        """Carry out one command."""
        return await carry_out(self._engine, command, operator)

    def arrived(self, visitor: Visitor) -> None:
        """A stream has been opened."""
        self._engine.attendance.arrive(visitor)

    def left(self, visitor: Visitor) -> None:
        """A stream has ended."""
        self._engine.attendance.leave(visitor)

    def health(self) -> Health:
        """Whether guard cycles are being completed."""
        engine, cycle = self._engine, self._engine.cycle
        healthy, message = False, "no guard cycle has been completed yet"
        if cycle.completed_at is not None:
            age = engine.clock.monotonic() - cycle.completed_at
            healthy, message = age <= _HEALTHY_SECONDS, f"the last guard cycle was completed {age:.1f} s ago"
        return Health(healthy=healthy, message=message, loop_id=engine.recorder.loop_id, cycles=cycle.completed)

    def metrics(self) -> str:
        """Gauges and counters in Prometheus' text format."""
        engine, cycle = self._engine, self._engine.cycle
        state = cycle.guard.state
        values = {
            "quarterdeck_equity": state.equity,
            "quarterdeck_peak_equity": cycle.committed_peak,
            "quarterdeck_drawdown_percent": state.percent,
            "quarterdeck_drawdown_limit_percent": state.limit_percent,
            "quarterdeck_positions_open": len(cycle.last_valid.positions or ()),
            "quarterdeck_reading_age_seconds": engine.clock.monotonic() - cycle.last_valid_at,
            "quarterdeck_loop_lag_milliseconds": cycle.loop_lag_ms,
            "quarterdeck_gateway_restarts_total": self._gateways.restarts,
            "quarterdeck_signals_processed_total": engine.loop.signals_processed,
            "quarterdeck_trades_executed_total": engine.loop.trades_executed,
            "quarterdeck_errors_total": engine.loop.error_count,
            "quarterdeck_journal_seq": engine.journal.last_seq,
        }
        lines = [
            f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}\n{name} {value}"
            for name, value in values.items()
        ]
        lines.append(f'# TYPE quarterdeck_mode gauge\nquarterdeck_mode{{mode="{engine.modes.mode}"}} 1')
        return "\n".join(lines) + "\n"


def _view(event: Event) -> wire.EventView:
    return wire.EventView(
        seq=event.seq,
        event_type=event.event_type,
        timestamp=event.timestamp,
        loop_id=event.loop_id,
        account=event.account,
        metadata=dict(event.metadata),
    )
