"""Alerts in a campaign: a courier that delivers, fails or never answers, and a judge of what nobody was told."""

import random
from collections.abc import Iterable, Sequence

from engine.alerts.delivery import Report, Result
from engine.alerts.letter import Message
from engine.alerts.rules import Raised, Rules
from engine.events import Event, EventType

TOLD = (EventType.GUARD_TRIPPED, EventType.TRADE_UNKNOWN, EventType.STOP_MISSING, EventType.FLATTEN_FINISHED)
"""What is told whatever happens next; a blindness that has ended before anybody could be told of it is not."""
SETTINGS = {"targets": ["phone"], "escalation": ["boss"], "repeat_seconds": 30}


class Careless:
    """Takes messages away, and does with each what is drawn for it."""

    def __init__(self, draws: random.Random) -> None:
        self._draws = draws

    def send(self, messages: Sequence[Message], report: Report) -> None:
        for message in messages:
            drawn = self._draws.random()
            if drawn < 0.9:
                report(Result(message.target, None if drawn < 0.6 else "the service answered 500"))

    async def close(self) -> None:
        """Nothing is under way that could be given up."""


def untold(events: Iterable[Event]) -> list[str]:
    """The events that are alerts, and of which no alert was ever raised, in words."""
    rules, meant, raised = Rules(), dict[str, str](), set[str]()
    for event in events:
        if event.event_type is EventType.ALERT_RAISED:
            raised.add(event.metadata["key"])
        elif event.event_type in TOLD:
            found = rules.finding(event, 0.0)
            assert isinstance(found, Raised)
            meant[found.key] = f"event {event.seq}, {event.event_type}, raised no alert"
    return [said for key, said in meant.items() if key not in raised]
