"""Decisions that need two operators: the first one asks, another one of another name carries it out.

In: a decision by its key, and who asks for it. Out: both names once the second has asked, or Refused: it waits. Held in
memory only: a restart forgets what was asked, and nothing is carried out by it. What lowers risk never comes here.
"""

from dataclasses import dataclass

from engine.approvals import Refused
from engine.control.messages import Reset
from engine.control.settings import ControlSettings
from engine.control.target import Operator
from engine.events import EventType
from engine.recorder import Recorder
from engine.signals import Signal, SignalState
from engine.state import AccountState, EngineMode

VALID_SECONDS = 600.0
_NOISE = 1e-9


@dataclass(frozen=True, slots=True)
class _Asked:
    what: str
    first: Operator
    until: float


class FourEyes:
    """What has been asked by one operator and waits for another."""

    def __init__(self, recorder: Recorder, settings: ControlSettings) -> None:
        self._recorder = recorder
        self._settings = settings
        self._asked: dict[str, _Asked] = {}

    async def approve(self, signal: Signal, operator: Operator) -> dict[str, str]:
        """What the journal says of who approves this signal as it stands. Raises Refused while it waits."""
        least = self._settings.four_eyes_lots
        if least is None or signal.volume < least - _NOISE:
            return operator.who()
        return await self._decide(_key_of(signal), f"approving {signal.id}", operator)

    async def reset(self, state: AccountState, action: Reset, operator: Operator) -> dict[str, str]:
        """What the journal says of who lifts this halt, in this way. Raises Refused while it waits."""
        if not self._settings.four_eyes_reset:
            return operator.who()
        # The epoch is another one at each halt: what was asked for an earlier one counts for nothing.
        return await self._decide(f"reset {state.epoch} {action.model_dump_json()}", "the reset", operator)

    def notices(self, signals: list[Signal], state: AccountState) -> list[str]:
        """What waits for a second operator, as far as it can still be carried out."""
        can = {_key_of(signal) for signal in signals if signal.state is SignalState.PENDING}
        halt = f"reset {state.epoch} " if state.mode is EngineMode.HALTED else None
        return [
            f"A SECOND OPERATOR IS WANTED for {asked.what}: {asked.first.name} asked, {self._left(asked):.0f} s left"
            for key, asked in self._standing().items()
            if key in can or (halt is not None and key.startswith(halt))
        ]

    def waiting(self, signal: Signal) -> str:
        """Who has approved this signal and waits for a second operator; "" when nobody has."""
        asked = self._standing().get(_key_of(signal))
        return f"approved by {asked.first.name}: waits for a second operator" if asked else ""

    async def _decide(self, key: str, what: str, operator: Operator) -> dict[str, str]:
        asked = self._standing().get(key)
        if asked is not None and asked.first.name != operator.name:
            # Taken out at once: what was asked for once is carried out once.
            del self._asked[key]
            return {**operator.who(), "first_operator": asked.first.name, "first_origin": asked.first.origin}
        if asked is None:
            until = self._recorder.clock.monotonic() + VALID_SECONDS
            asked = _Asked(what, operator, until)
            # Half of what raises risk: it waits for its record as the whole does.
            await self._recorder.record(
                EventType.SECOND_OPERATOR_WANTED, what=what, seconds=VALID_SECONDS, **operator.who()
            )
            self._asked[key] = asked
        raise Refused(
            f"{what} waits for a second operator: somebody of another name than {asked.first.name} must ask for the"
            f" same within {self._left(asked):.0f} s"
        )

    def _standing(self) -> dict[str, _Asked]:
        now = self._recorder.clock.monotonic()
        self._asked = {key: asked for key, asked in self._asked.items() if asked.until > now}
        return self._asked

    def _left(self, asked: _Asked) -> float:
        return asked.until - self._recorder.clock.monotonic()


def _key_of(signal: Signal) -> str:
    return f"approve {signal.id}@{signal.version}"
