"""Asks the engine first: one that can still close does it best, since it knows what it has sent.

In: a control address. Out: whether it has taken the flatten, and then how that ended. An engine that does not answer
for two seconds counts as none.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from engine.clock import Clock
from engine.control.client import ControlClient, ControlError, EngineUnreachable
from engine.control.messages import Flatten, FlattenView

ASK_SECONDS = 2.0
_POLL_SECONDS = 0.2

Tell = Callable[[str], None]


class NotAllowed(Exception):
    """The engine is there and this operator may not flatten: in its words."""


class UnknownToken(Exception):
    """The engine is there and does not know the token that was shown: in its words."""


async def ask(client: ControlClient, reason: str, tell: Tell) -> bool:
    """Ask for a flatten; whether the engine has taken it. Raises NotAllowed or UnknownToken."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            result = await client.send(Flatten(), reason)
    except TimeoutError:
        tell(f"the engine has not answered for {ASK_SECONDS:g} s")
        return False
    except EngineUnreachable as error:
        tell(str(error))
        return False
    except ControlError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            raise NotAllowed(str(error)) from error
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise UnknownToken(str(error)) from error
        tell(f"the engine cannot do it: {error}")
        return False
    tell(result.message if result.accepted else f"the engine refused: {result.message}")
    return result.accepted


async def follow(client: ControlClient, clock: Clock, tell: Tell) -> FlattenView | None:
    """The flatten once it has ended; None when the engine no longer answers, or another one that knows of none."""
    said = ""
    answered_at = clock.monotonic()
    while clock.monotonic() - answered_at < ASK_SECONDS:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                shown = (await client.snapshot()).flatten
        except (TimeoutError, EngineUnreachable, ControlError):
            shown = None
        else:
            answered_at = clock.monotonic()
            if shown is None:
                tell("the engine that took it is gone, and the one that answers closes nothing")
                return None
        if shown is not None and shown.state in ("FLAT", "CANCELLED"):
            return shown
        if shown is not None and (now := "; ".join(shown.remaining)) != said:
            said = now
            tell(f"the engine closes: {shown.positions_closed} closed; {said or 'nothing seen open, confirming'}")
        await asyncio.sleep(_POLL_SECONDS)
    tell(f"the engine has not answered for {ASK_SECONDS:g} s while it closed")
    return None
