"""Runs at a provider are asked after: when, how often, and until when. No test takes any time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random

import pytest
from structlog.testing import capture_logs

from server.assistant.polling.bucket import TokenBucket
from server.assistant.polling.clock import MonotonicClock
from server.assistant.polling.hints import poll_after
from server.assistant.polling.pacing import Backoff, Exponential, Pacing
from server.assistant.polling.poller import DeadlinePassed, Faults, Poll, Poller, Watch
from server.errors import ProviderFailed, Unavailable
from tests.fakes.clock import VirtualClock

BUSY = Unavailable("busy")


class Scene:
    """A poller whose jitter is off, and a run: what each look finds, the last one again and again."""

    def __init__(self, *, jitter: float = 0.0, per_second: float = math.inf, pacing: Pacing | None = None) -> None:
        self.clock = VirtualClock()
        self.looked_at: list[float] = []
        self.watched: list[Watch] = []
        self.bucket = TokenBucket(per_second, self.clock)
        self.poller = Poller(
            pacing or Exponential(Backoff()),
            self.bucket,
            self.clock,
            Random(1),
            jitter=jitter,
            report=self.watched.append,
        )

    def wait(self, *found: Poll[str] | Exception, begun_at: float = 0.0, deadline: float | None = None) -> str:
        look = self.looks(found)
        return self.clock.run(self.poller.wait(look, kind="a", begun_at=begun_at, deadline=deadline))

    def looks(self, found: Sequence[Poll[str] | Exception]) -> Callable[[], Awaitable[Poll[str]]]:
        left = list(found)

        async def look() -> Poll[str]:
            self.looked_at.append(self.clock.time())
            one = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(one, Exception):
                raise one
            return one

        return look

    def intervals(self) -> list[float]:
        return [later - earlier for earlier, later in zip([0.0, *self.looked_at], self.looked_at, strict=False)]


def in_state(status: str, retry_after: float | None = None) -> Poll[str]:
    return Poll(status, f"run {status}", retry_after)


UNDERWAY, DONE = in_state("in_progress"), in_state("completed")


def test_intervals_grow_from_the_first_up_to_the_cap() -> None:
    scene = Scene()
    assert scene.wait(*[UNDERWAY] * 20, DONE) == "run completed"
    assert scene.intervals() == pytest.approx([min(4.0, 0.75 * 1.15**n) for n in range(21)])


def test_the_cap_is_higher_after_two_minutes() -> None:
    scene = Scene()
    scene.wait(*[UNDERWAY] * 60, DONE)
    young = [gap for at, gap in zip(scene.looked_at, scene.intervals(), strict=True) if at - gap < 120]
    assert max(young) == pytest.approx(4)
    assert scene.intervals()[len(young) :] == pytest.approx([10.0] * (61 - len(young)))


def test_every_number_of_the_schedule_is_a_setting() -> None:
    scene = Scene(pacing=Exponential(Backoff(1.0, 2.0, 3.0, 7.0, late_after_seconds=8.0)))
    scene.wait(*[UNDERWAY] * 5, DONE)
    assert scene.intervals() == [1, 2, 3, 3, 7, 7]


def test_how_long_looks_take_does_not_widen_the_intervals() -> None:
    clock = VirtualClock()
    poller, found = Poller(Exponential(Backoff()), TokenBucket(9, clock), clock, Random(1), jitter=0), [0.0]

    async def look() -> Poll[str]:
        found.append(clock.time() - found[-1])
        await clock.sleep(3)
        found[-1] = clock.time()
        gaps.append(found[-1] - found[-2] - 3)
        return UNDERWAY if len(found) < 4 else DONE

    gaps: list[float] = []
    clock.run(poller.wait(look, kind="a"))
    assert gaps == pytest.approx([0.75, 0.75 * 1.15, 0.75 * 1.15**2])


def test_jitter_is_a_tenth_both_ways() -> None:
    scene = Scene(jitter=0.1, pacing=Exponential(Backoff(factor=1.0)))
    scene.wait(*[UNDERWAY] * 500, DONE)
    early = [gap / 0.75 for at, gap in zip(scene.looked_at, scene.intervals(), strict=True) if at < 100]
    assert 0.9 <= min(early) < 0.91
    assert 1.09 < max(early) <= 1.1


def test_a_run_found_again_is_looked_at_at_once_and_then_at_the_pace_of_its_age() -> None:
    scene = Scene()
    scene.clock.run(scene.clock.sleep(30))
    scene.wait(UNDERWAY, DONE)
    assert scene.looked_at == [30, 34]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete", "requires_action"])
def test_what_is_over_is_returned_at_once(status: str) -> None:
    scene = Scene()
    assert scene.wait(in_state("queued"), in_state(status), DONE) == f"run {status}"
    assert len(scene.looked_at) == 2


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelling", "contemplating"])
def test_what_is_underway_is_polled_on(status: str) -> None:
    assert Scene().wait(*[in_state(status)] * 5, DONE) == "run completed"


def test_an_unknown_status_is_logged_once() -> None:
    scene = Scene()
    with capture_logs() as logs:
        scene.wait(*[in_state("contemplating")] * 5, in_state("cancelling"), DONE)
        scene.wait(in_state("contemplating"), DONE)
    assert [line["status"] for line in logs] == ["contemplating"]


def test_a_provider_that_invents_statuses_does_not_fill_the_memory() -> None:
    scene = Scene()
    with capture_logs() as logs:
        scene.wait(*[in_state(f"s{number}") for number in range(1000)], DONE)
    assert len(logs) == 100


@pytest.mark.parametrize(("hint", "gap"), [(20.0, 20.0), (0.1, 0.8625)])
def test_the_providers_hint_is_a_lower_bound(hint: float, gap: float) -> None:
    scene = Scene()
    scene.wait(in_state("queued", retry_after=hint), DONE)
    assert scene.intervals() == pytest.approx([0.75, gap])


def test_jitter_does_not_undercut_a_hint() -> None:
    scene = Scene(jitter=0.1)
    scene.wait(*[in_state("queued", retry_after=5.0)] * 50, DONE, deadline=1_000)
    assert min(scene.intervals()[1:]) == pytest.approx(5)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"openai-poll-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "2"}, 2.0),
        ({"openai-poll-after-ms": "1500", "retry-after-ms": "2500", "retry-after": "2"}, 2.5),
        ({"openai-poll-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:00 GMT"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_hints_are_read_from_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert poll_after(headers) == seconds


def test_errors_are_backed_off_apart_from_the_schedule() -> None:
    scene = Scene()
    assert scene.wait(UNDERWAY, BUSY, BUSY, BUSY, UNDERWAY, BUSY, DONE) == "run completed"
    first, second, one, two, three, resumed, again = scene.intervals()
    assert (first, second) == pytest.approx((0.75, 0.8625))
    for gap, whole in ((one, 1), (two, 2), (three, 4), (again, 1)):
        assert whole / 2 <= gap <= whole
    assert resumed == pytest.approx(0.75 + 0.15 * sum((first, second, one, two, three)))


def test_an_errors_own_hint_is_a_lower_bound() -> None:
    scene = Scene()
    scene.wait(Unavailable("busy", retry_after=17.0), DONE)
    assert scene.intervals()[1] == 17


def test_so_many_errors_in_a_row_are_raised() -> None:
    scene = Scene()
    with pytest.raises(Unavailable):
        scene.wait(BUSY)
    assert len(scene.looked_at) == 1 + Faults().most
    assert max(scene.intervals()) <= Faults().cap_seconds
    assert (scene.watched[0].polls, scene.watched[0].faults, scene.watched[0].lag) == (9, 9, None)


def test_errors_with_answers_between_them_are_never_too_many() -> None:
    found: list[Poll[str] | Exception] = [BUSY, UNDERWAY]
    assert Scene().wait(*found * 30, DONE) == "run completed"


def test_a_final_no_such_as_a_spent_quota_is_never_retried() -> None:
    scene = Scene()
    with pytest.raises(ProviderFailed):
        scene.wait(UNDERWAY, ProviderFailed("out of budget", code="provider_quota"), DONE)
    assert len(scene.looked_at) == 2


def test_at_its_deadline_a_run_is_looked_at_once_more() -> None:
    scene = Scene()
    assert scene.wait(UNDERWAY, UNDERWAY, DONE, deadline=2.0) == "run completed"
    assert scene.looked_at[-1] == 2


@pytest.mark.parametrize("last", [UNDERWAY, BUSY, in_state("queued", retry_after=60)])
def test_after_its_deadline_a_run_is_given_up(last: Poll[str] | Exception) -> None:
    scene = Scene()
    with pytest.raises(DeadlinePassed):
        scene.wait(UNDERWAY, UNDERWAY, last, deadline=10.0)
    assert scene.clock.time() == 10
    assert scene.watched[0].lag is None


def test_a_hint_that_lasts_beyond_the_deadline_is_honoured() -> None:
    scene = Scene()
    with pytest.raises(DeadlinePassed):
        scene.wait(in_state("queued", retry_after=60), DONE, deadline=10.0)
    assert scene.looked_at == [0.75]


def test_a_run_whose_deadline_has_passed_before_it_was_found_again_is_looked_at_once() -> None:
    scene = Scene()
    scene.clock.run(scene.clock.sleep(30))
    assert scene.wait(DONE, deadline=10.0) == "run completed"


def test_the_watch_tells_polls_and_half_of_the_last_gap() -> None:
    scene = Scene()
    scene.wait(UNDERWAY, BUSY, UNDERWAY, DONE)
    (watch,) = scene.watched
    assert (watch.kind, watch.polls, watch.faults) == ("a", 4, 1)
    assert watch.lag == pytest.approx(scene.intervals()[-1] / 2)


class Fleet:
    """Many runs at once that share a bucket."""

    def __init__(self, runs: int, per_second: float, burst: int = 1) -> None:
        self.clock = VirtualClock()
        self.looks: dict[int, list[float]] = {number: [] for number in range(runs)}
        bucket = TokenBucket(per_second, self.clock, burst=burst)
        self.poller = Poller(Exponential(Backoff()), bucket, self.clock, Random(1))

    def run(self, seconds: float) -> None:
        self.clock.run_all([self._wait(number, seconds) for number in self.looks])

    async def _wait(self, number: int, ends_at: float) -> str:
        async def look() -> Poll[str]:
            self.looks[number].append(self.clock.time())
            return DONE if self.clock.time() >= ends_at else UNDERWAY

        return await self.poller.wait(look, kind="a")


def most_in_a_second(moments: Iterable[float]) -> int:
    found = sorted(moments)
    return max(sum(at <= other < at + 0.999 for other in found[place : place + 200]) for place, at in enumerate(found))


def test_a_thousand_runs_share_the_bucket_and_none_starves() -> None:
    fleet = Fleet(runs=1000, per_second=100)
    fleet.run(seconds=60)
    assert most_in_a_second(at for looks in fleet.looks.values() for at in looks) <= 100
    # Each takes its turn of ten seconds, and its own interval.
    gaps = [
        later - earlier for looks in fleet.looks.values() for earlier, later in zip([0.0, *looks], looks, strict=False)
    ]
    assert max(gaps) < 10 + 4.4
    assert min(map(len, fleet.looks.values())) >= 5


def test_a_bucket_that_was_left_alone_gives_a_burst() -> None:
    fleet = Fleet(runs=100, per_second=10, burst=50)
    fleet.run(seconds=0)
    moments = sorted(at for (at,) in fleet.looks.values())
    assert sum(at <= 0.75 * 1.1 for at in moments) == pytest.approx(55, abs=5)
    assert moments[-1] == pytest.approx(5.5, abs=0.5)


def test_who_finds_no_token_before_the_deadline_gives_up_then() -> None:
    scene = Scene(per_second=0.01)
    with pytest.raises(DeadlinePassed):
        scene.wait(UNDERWAY, deadline=5.0)
    assert (len(scene.looked_at), scene.clock.time()) == (1, 5.0)


async def test_the_token_of_one_who_gave_up_goes_to_the_next() -> None:
    bucket = TokenBucket(20, MonotonicClock())
    await bucket.take(math.inf)
    waiting = [asyncio.create_task(bucket.take(math.inf)) for _ in range(100)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await bucket.take(longest=1.0)


async def in_its_interval(poller: Poller, _bucket: TokenBucket) -> None:
    await poller.wait(forever, kind="a")


async def waiting_for_a_token(poller: Poller, bucket: TokenBucket) -> None:
    await bucket.take(1)
    await poller.wait(forever, kind="a", begun_at=-1e9)


async def in_its_look(poller: Poller, _bucket: TokenBucket) -> None:
    await poller.wait(forever, kind="a", begun_at=-1e9)


async def forever() -> Poll[str]:
    await asyncio.Event().wait()
    return DONE


@pytest.mark.parametrize("place", [in_its_interval, waiting_for_a_token, in_its_look])
async def test_a_watch_is_cancelled_wherever_it_is(
    place: Callable[[Poller, TokenBucket], Awaitable[None]],
) -> None:
    clock, watched = MonotonicClock(), list[Watch]()
    bucket = TokenBucket(0.001, clock)
    poller = Poller(Exponential(Backoff()), bucket, clock, Random(1), report=watched.append)
    task = asyncio.ensure_future(place(poller, bucket))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watched[0].polls == (place is in_its_look)
