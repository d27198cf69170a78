from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.broker.base import Tick
from engine.cycle import Quote
from engine.markettime import ClockStep, MarketClock, OffsetChange
from engine.paper.brokerclock import BrokerClock

HOUR = 3600
SUMMER, WINTER = 3 * HOUR, 2 * HOUR
START = datetime(2026, 7, 1, 12, tzinfo=UTC)


@dataclass
class FakeClock:
    """The machine: `utc` can be set, and `monotonic` stands still while it sleeps."""

    now: float = 1_000.0
    time: datetime = START

    def monotonic(self) -> float:
        return self.now

    def utc(self) -> datetime:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.time += timedelta(seconds=seconds)


@dataclass
class World:
    """A broker whose clock is `ahead` of the true UTC, and an engine that reads its quotes, one a second."""

    ahead: int = SUMMER
    clock: FakeClock = field(default_factory=FakeClock)
    true: datetime = START
    quotes: dict[str, Quote] = field(default_factory=dict)
    heard: list[OffsetChange | ClockStep] = field(default_factory=list)
    market: MarketClock = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self, offset: int | None = None) -> None:
        self.quotes.clear()
        self.market = MarketClock(self.clock, offset=offset)

    def pass_(self, seconds: float) -> None:
        self.clock.pass_(seconds)
        self.true += timedelta(seconds=seconds)

    def quote(self, symbol: str = "EURUSD", late: float = 0.1) -> None:
        shown = self.true - timedelta(seconds=late) + timedelta(seconds=self.ahead)
        tick = Tick(symbol, 1.1, 1.1001, int(shown.timestamp() * 1000))
        if symbol not in self.quotes or self.quotes[symbol].tick != tick:
            self.quotes[symbol] = Quote(tick, self.clock.now)

    def read(self) -> None:
        self.heard += self.market.see(self.quotes)

    def run(self, seconds: int, late: float = 0.1) -> None:
        for _ in range(seconds):
            self.pass_(1.0)
            self.quote(late=late)
            self.read()

    def closed(self, seconds: float, every: float = 60.0) -> None:
        while seconds > 0:
            self.pass_(min(every, seconds))
            self.read()
            seconds -= every


def test_fresh_quotes_tell_the_brokers_clock() -> None:
    world = World()
    assert not world.market.known
    world.run(20)
    assert world.heard == [OffsetChange(None, SUMMER)]
    moment = world.market.moment()
    assert (moment.utc, moment.broker, moment.monotonic) == (
        world.true,
        datetime(2026, 7, 1, 15, 0, 20),  # noqa: DTZ001
        world.clock.now,
    )
    assert world.market.known


def test_until_then_the_brokers_clock_is_given_as_utc_and_not_known() -> None:
    world = World()
    world.run(3)
    assert not world.market.known
    assert world.market.moment().broker == world.true.replace(tzinfo=None)


def test_two_quotes_or_less_than_ten_seconds_are_not_believed() -> None:
    world = World()
    world.run(10)
    assert not world.market.known
    sparse = World()
    sparse.quote()
    sparse.read()
    for _ in range(2):
        sparse.pass_(30.0)
        sparse.quote()
        sparse.read()
    assert not sparse.market.known
    sparse.pass_(30.0)
    sparse.quote()
    sparse.read()
    assert sparse.market.offset == SUMMER


def test_a_quote_that_is_there_at_the_start_says_nothing_however_it_looks() -> None:
    world = World()
    world.quote()
    for _ in range(100):
        world.read()
        world.pass_(0.1)
    assert not world.market.known


def test_a_closed_market_keeps_the_offset_for_days() -> None:
    world = World()
    world.run(20)
    world.closed(49 * HOUR)
    assert world.market.offset == SUMMER
    assert world.market.moment().broker == (world.true + timedelta(hours=3)).replace(tzinfo=None)
    assert len(world.heard) == 1


def test_a_restart_over_a_weekend_takes_up_the_offset_that_was_kept() -> None:
    world = World()
    world.run(20)
    kept = world.market.offset
    world.quote()
    world.closed(10 * HOUR)
    world.start(kept)
    world.closed(10 * HOUR)
    assert world.market.known
    assert world.market.moment().broker == (world.true + timedelta(hours=3)).replace(tzinfo=None)


@pytest.mark.parametrize("hours", [13.0, 48.0, 2.0 + 1 / 60])
def test_quotes_that_are_old_when_they_come_do_not_move_it(hours: float) -> None:
    # A terminal that has just connected shows the last quotes of Friday, one symbol after another.
    world = World()
    world.run(20)
    for number in range(50):
        world.pass_(1.0)
        world.quote(late=hours * HOUR + 7.0 * number)
        world.quote(f"S{number % 5}", late=hours * HOUR + 0.3 * number)
        world.read()
    assert world.market.offset == SUMMER


def test_the_newest_of_several_symbols_counts() -> None:
    world = World()
    for _ in range(30):
        world.pass_(1.0)
        world.quote()
        world.quote("DELAYED", late=900.0)
        world.read()
    assert world.heard == [OffsetChange(None, SUMMER)]


@pytest.mark.parametrize(
    ("before", "after", "when"),
    [(WINTER, SUMMER, datetime(2026, 3, 8, 21, tzinfo=UTC)), (SUMMER, WINTER, datetime(2026, 11, 1, 22, tzinfo=UTC))],
)
def test_daylight_saving_at_the_broker_is_reported_once(before: int, after: int, when: datetime) -> None:
    world = World(ahead=before, clock=FakeClock(time=when - timedelta(hours=48)), true=when - timedelta(hours=48))
    world.run(20)
    world.closed(48 * HOUR - 20)
    world.ahead = after
    world.run(60)
    assert world.heard == [OffsetChange(None, before), OffsetChange(before, after)]
    assert world.market.moment().broker == (when + timedelta(seconds=60 + after)).replace(tzinfo=None)


def test_a_broker_whose_clock_is_put_back_while_it_quotes_is_followed() -> None:
    world = World()
    world.run(20)
    world.ahead = WINTER
    world.run(30)
    assert world.heard == [OffsetChange(None, SUMMER), OffsetChange(SUMMER, WINTER)]


def test_a_quote_of_a_far_future_is_doubted_and_does_not_stop_the_measuring() -> None:
    world = World()
    world.run(20)
    world.quote(late=-400 * 86_400.0)
    world.read()
    assert world.market.doubt
    world.ahead = WINTER
    world.run(30)
    assert (world.market.offset, world.market.doubt) == (WINTER, "")


def test_one_odd_quote_between_good_ones_does_not_count_towards_a_change() -> None:
    world = World()
    world.run(20)
    for _ in range(40):
        world.ahead = SUMMER + HOUR
        world.run(1)
        world.ahead = SUMMER
        world.pass_(HOUR)
        world.run(1)
    assert world.heard == [OffsetChange(None, SUMMER)]


def test_quotes_that_contradict_each_other_change_nothing() -> None:
    world = World()
    world.run(20)
    for number in range(40):
        world.ahead = SUMMER + (HOUR, HOUR // 2)[number % 2]
        world.run(1)
    assert world.heard == [OffsetChange(None, SUMMER)]


@pytest.mark.parametrize(("age", "known"), [(4.9, True), (5.1, False)])
def test_a_quote_is_measured_at_the_moment_it_changed_and_only_while_that_is_fresh(age: float, known: bool) -> None:
    world = World()
    for _ in range(6):
        world.pass_(5.0)
        world.quote(late=57.0)
        world.pass_(age)
        world.read()
    assert world.market.known is known
    assert world.market.doubt == ""


def test_a_machine_whose_clock_is_minutes_off_is_told_and_moves_nothing() -> None:
    world = World()
    world.run(20)
    world.clock.time += timedelta(seconds=200)
    world.run(30)
    assert world.heard[1:] == [ClockStep(200.0)]
    assert world.market.offset == SUMMER
    assert "10600 s ahead" in world.market.doubt
    world.clock.time -= timedelta(seconds=200)
    world.run(30)
    assert world.market.doubt == ""


@pytest.mark.parametrize("off", [-59, 59])
def test_a_machine_whose_clock_is_less_than_a_minute_off_is_no_matter(off: int) -> None:
    world = World()
    world.clock.time += timedelta(seconds=off)
    world.run(20, late=0.0)
    assert world.market.offset == SUMMER


def test_a_machine_whose_clock_is_set_back_an_hour_is_told_and_the_brokers_clock_is_right_again() -> None:
    world = World()
    world.run(20)
    world.clock.time -= timedelta(hours=1)
    world.run(20)
    assert world.heard[1:] == [ClockStep(-3600.0), OffsetChange(SUMMER, SUMMER + HOUR)]
    assert world.market.moment().broker == (world.true + timedelta(hours=3)).replace(tzinfo=None)


@pytest.mark.parametrize("monotonic_goes_on", [True, False])
def test_a_machine_that_slept_for_hours_has_the_time_at_once(monotonic_goes_on: bool) -> None:
    world = World()
    world.run(20)
    asleep = timedelta(hours=9)
    world.true += asleep
    world.clock.time += asleep
    if monotonic_goes_on:
        world.clock.now += asleep.total_seconds()
    world.read()
    assert world.market.moment().broker == (world.true + timedelta(hours=3)).replace(tzinfo=None)
    world.run(30)
    assert world.market.offset == SUMMER
    assert world.heard[1:] == ([] if monotonic_goes_on else [ClockStep(asleep.total_seconds())])


def test_midnight_at_the_broker_is_midnight_to_the_second() -> None:
    world = World()
    world.run(20)
    world.closed((datetime(2026, 7, 1, 20, 59, 59, tzinfo=UTC) - world.true).total_seconds())
    assert world.market.moment().broker == datetime(2026, 7, 1, 23, 59, 59)  # noqa: DTZ001
    world.pass_(1.0)
    assert world.market.moment().broker == datetime(2026, 7, 2)  # noqa: DTZ001
    assert world.market.moment().utc == datetime(2026, 7, 1, 21, tzinfo=UTC)


@pytest.mark.parametrize("ahead", [-13 * HOUR, 15 * HOUR])
def test_an_offset_that_is_nowhere_on_earth_is_not_believed(ahead: int) -> None:
    world = World(ahead=ahead)
    world.run(60)
    assert not world.market.known
    assert world.market.doubt


@pytest.mark.parametrize("offset", [1, 901, 15 * HOUR, -13 * HOUR])
def test_a_stored_offset_that_cannot_be_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="quarters of an hour"):
        MarketClock(FakeClock(), offset=offset)


@pytest.mark.parametrize("time_msc", [0, -1, 10**17])
def test_a_time_that_is_none_is_ignored(time_msc: int) -> None:
    replay = MarketClock(FakeClock(), to_utc_msc=lambda shown: shown)
    replay.see({"EURUSD": Quote(Tick("EURUSD", 1.0, 1.0, time_msc), 1_000.0)})
    assert not replay.known


@settings(max_examples=200, deadline=None)
@given(
    st.integers(-48, 56),
    st.lists(
        st.one_of(
            st.tuples(st.just("quotes"), st.integers(1, 30), st.floats(0, 30)),
            st.tuples(st.just("closed"), st.integers(1, 200_000), st.just(0.0)),
            st.tuples(st.just("old"), st.integers(1, 30), st.floats(60, 200_000)),
            st.tuples(st.just("restart"), st.just(0), st.just(0.0)),
        ),
        max_size=25,
    ),
)
def test_whatever_a_steady_broker_shows_the_offset_is_its_own_or_not_known(
    quarters: int, steps: list[tuple[str, int, float]]
) -> None:
    world = World(ahead=quarters * 900)
    for what, number, late in steps:
        if what == "quotes":
            world.run(number, late)
        elif what == "closed":
            world.closed(float(number), every=3_600.0)
        elif what == "restart":
            world.start(world.market.offset)
        else:
            # Old quotes appear faster than time passes: history that is being caught up with.
            for place in range(number):
                world.pass_(0.5)
                world.quote(late=late * (1 - place / number))
                world.read()
        assert world.market.offset in (None, world.ahead)
        assert world.market.moment().utc == world.true
    world.run(30)
    assert world.market.offset == world.ahead
    assert world.market.moment().broker == (world.true + timedelta(seconds=world.ahead)).replace(tzinfo=None)


# a replay


def _msc(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000)


def test_in_a_replay_the_newest_quote_is_the_time_whatever_the_machines_clock() -> None:
    clock = FakeClock()
    replay = MarketClock(clock, to_utc_msc=BrokerClock().to_utc_msc)
    shown = datetime(2026, 1, 5, 8, 0, 1, 250_000)  # noqa: DTZ001
    quotes = {
        "EURUSD": Quote(Tick("EURUSD", 1.1, 1.1, _msc(shown)), clock.now),
        "USDJPY": Quote(Tick("USDJPY", 150.0, 150.0, _msc(shown) - 700), clock.now),
    }
    assert replay.see(quotes) == ()
    clock.pass_(5_000.0)
    moment = replay.moment()
    assert replay.known
    assert (moment.broker, moment.monotonic) == (shown, clock.now)
    assert moment.utc == datetime(2026, 1, 5, 6, 0, 1, 250_000, tzinfo=UTC)
    assert replay.offset is None


def test_a_replay_that_has_shown_no_quote_has_no_time() -> None:
    replay = MarketClock(FakeClock(), to_utc_msc=lambda shown: shown)
    assert not replay.known
    with pytest.raises(ValueError, match="no time yet"):
        replay.moment()


def test_a_replays_time_does_not_go_back_when_its_terminal_comes_back_a_little_earlier() -> None:
    clock = FakeClock()
    replay = MarketClock(clock, to_utc_msc=lambda shown: shown)
    for time_msc in (2_000, 1_500):
        replay.see({"EURUSD": Quote(Tick("EURUSD", 1.1, 1.1, time_msc), clock.now)})
    assert replay.moment().broker == datetime(1970, 1, 1, 0, 0, 2)  # noqa: DTZ001


@given(st.lists(st.integers(0, 3_600_000), min_size=2, max_size=50), st.sampled_from(["spring", "autumn"]))
def test_over_both_changes_of_daylight_saving_a_replays_time_never_goes_back(steps: list[int], which: str) -> None:
    broker = BrokerClock()
    utc = _msc(datetime(2026, 3, 8, 3) if which == "spring" else datetime(2026, 11, 1, 3))  # noqa: DTZ001
    clock = FakeClock()
    replay = MarketClock(clock, to_utc_msc=broker.to_utc_msc)
    before = None
    for step in steps:
        utc += step
        replay.see({"EURUSD": Quote(Tick("EURUSD", 1.1, 1.1, broker.from_utc_msc(utc)), clock.now)})
        moment = replay.moment()
        if before is not None:
            assert moment.utc >= before.utc
            assert moment.broker >= before.broker
        before = moment
