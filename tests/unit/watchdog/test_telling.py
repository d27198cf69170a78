"""A watchdog's alerts reach everybody, in order, however often that has to be tried; in virtual time."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from engine.watchdog.judge import Alert
from engine.watchdog.telling import MOST_OWED, Telling
from tests.simulation.virtual import run_virtual

CRITICAL = Alert("critical", "no further guard cycle")
WELL = Alert("warning", "guard cycles are completed again")


class Services:
    """Targets that are down until a time. `has` is what each has, `tried` when each was tried."""

    def __init__(self, **down_until: float) -> None:
        self.down_until = down_until
        self.has: dict[str, list[str]] = {name: [] for name in down_until}
        self.tried: dict[str, list[float]] = defaultdict(list)
        self.said: list[str] = []
        self.telling = Telling(tuple(down_until), self.deliver, self.said.append)

    async def deliver(self, alert: Alert, targets: Sequence[str]) -> list[str]:
        now = asyncio.get_running_loop().time()
        for name in targets:
            self.tried[name].append(now)
        up = [name for name in targets if now >= self.down_until[name]]
        for name in up:
            self.has[name].append(alert.text)
        return up


def during(services: Services, what: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        running = asyncio.create_task(services.telling.run())
        await what()
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtual(main())


def test_each_is_told_once_and_whom_it_does_not_reach_is_tried_again_after_growing_pauses() -> None:
    services = Services(phone=0.0, mail=200.0)

    async def an_hour() -> None:
        services.telling.tell(CRITICAL)
        await asyncio.sleep(3600)

    during(services, an_hour)
    assert services.has == {"phone": [CRITICAL.text], "mail": [CRITICAL.text]}
    assert services.tried["phone"] == [0.0]
    assert services.tried["mail"] == [0.0, 5.0, 15.0, 35.0, 75.0, 135.0, 195.0, 255.0]


def test_they_arrive_in_order_and_a_new_one_waits_for_no_pause() -> None:
    services = Services(phone=100.0)

    async def a_while() -> None:
        services.telling.tell(CRITICAL)
        await asyncio.sleep(90)
        services.telling.tell(WELL)
        await asyncio.sleep(1)
        assert services.tried["phone"][-1] == 90.0
        await asyncio.sleep(300)

    during(services, a_while)
    assert services.has["phone"] == [CRITICAL.text, WELL.text]


def test_a_way_that_raises_is_said_and_tried_again() -> None:
    services = Services(phone=0.0)
    honest, failures = services.deliver, [OSError("no network")]

    async def deliver(alert: Alert, targets: Sequence[str]) -> list[str]:
        if failures:
            raise failures.pop()
        return await honest(alert, targets)

    services.telling = Telling(["phone"], deliver, services.said.append)

    async def a_while() -> None:
        services.telling.tell(CRITICAL)
        await asyncio.sleep(10)

    during(services, a_while)
    assert services.has["phone"] == [CRITICAL.text]
    assert services.said == [f"the alert could not be delivered (OSError: no network): {CRITICAL.text}"]


def test_what_is_still_owed_at_the_end_is_said() -> None:
    services = Services(phone=0.0, mail=1000.0)

    async def a_while() -> None:
        services.telling.tell(CRITICAL)
        await asyncio.sleep(10)

    during(services, a_while)
    assert services.said == [f"not tried again, it has not reached mail: {CRITICAL.text}"]


def test_what_is_owed_does_not_grow_without_end() -> None:
    services = Services(phone=1000.0)

    async def a_while() -> None:
        for number in range(MOST_OWED + 3):
            services.telling.tell(Alert("warning", f"alert {number}"))
            await asyncio.sleep(1)
        await asyncio.sleep(1000)

    during(services, a_while)
    assert services.has["phone"] == [f"alert {number}" for number in range(3, MOST_OWED + 3)]
    assert services.said[0] == "given up, it has never reached phone: alert 0"
    assert len(services.said) == 3
