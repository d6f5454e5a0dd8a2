"""Asks after a run until it is over, no oftener than is worth it, and no sooner than the provider wants."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

import structlog

from server.assistant.polling.bucket import TokenBucket
from server.assistant.polling.clock import Clock
from server.assistant.polling.pacing import Pacing
from server.errors import Unavailable

T = TypeVar("T")
logger = structlog.get_logger()

UNDERWAY = {"queued", "in_progress", "cancelling"}
# Two of them are not the end for the caller, but only the caller can go on.
OVER = {"completed", "failed", "cancelled", "expired", "incomplete", "requires_action"}
# These ended by somebody's will: how long they took says nothing of the assistant.
CUT_SHORT = {"cancelled", "expired"}
MOST_UNKNOWN_STATUSES = 100


class DeadlinePassed(TimeoutError):
    """The run is not over, and its time is. It goes on at the provider until it is cancelled there."""


@dataclass(frozen=True, slots=True)
class Poll(Generic[T]):
    """What one look found. `status`: in the provider's words. `retry_after`: the next look no sooner; seconds."""

    status: str
    found: T
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """The intervals after looks that failed, and how many may fail in a row.

    Each is shortened by up to half at random, because many runs meet the same fault at the same time.
    """

    first_seconds: float = 1.0
    factor: float = 2.0
    cap_seconds: float = 30.0
    most: int = 8

    def interval(self, in_a_row: int, random: Random) -> float:
        whole = min(self.cap_seconds, self.first_seconds * self.factor ** (in_a_row - 1))
        return random.uniform(whole / 2, whole)


@dataclass(slots=True)
class Watch:
    """One run, as it is watched. Moments are the clock's, in seconds.

    `polls` and `faults`: looks, and those of them that failed. `asking`: seconds spent in looks. `seen_at`: when it was
    last known not to be over. `lag`: seconds from its end to when that was known, estimated; None until then.
    """

    kind: str
    begun_at: float
    deadline: float
    seen_at: float
    polls: int = 0
    faults: int = 0
    faults_in_a_row: int = 0
    asking: float = 0.0
    lag: float | None = None


class Poller:
    """Shared by all runs of the process. `jitter`: the part by which an interval is longer or shorter at random.

    `report` is called once for each run, however its watch ended.
    """

    def __init__(
        self,
        pacing: Pacing,
        bucket: TokenBucket,
        clock: Clock,
        random: Random,
        *,
        jitter: float = 0.1,
        faults: Faults | None = None,
        report: Callable[[Watch], None] = lambda _: None,
    ) -> None:
        self._pacing = pacing
        self._bucket = bucket
        self.clock = clock
        self._random = random
        self._jitter = jitter
        self._faults = faults or Faults()
        self._report = report
        self._unknown: set[str] = set()

    async def wait(
        self,
        look: Callable[[], Awaitable[Poll[T]]],
        *,
        kind: str,
        begun_at: float | None = None,
        deadline: float | None = None,
    ) -> T:
        """What the look found that found the run over: ended, `incomplete`, or in need of an action.

        `kind` is the assistant version. `begun_at` (now, if None) and `deadline` (never) are moments of the clock. The
        run is looked at once more at its deadline; a look is not broken off, so it should have a timeout of its own.

        Raises `DeadlinePassed`; `Unavailable` as `look` does, if it does too often in a row; all else that it raises.
        """
        now = self.clock.time()
        begun_at = now if begun_at is None else begun_at
        watch = Watch(kind, begun_at, math.inf if deadline is None else deadline, seen_at=begun_at)
        try:
            return await self._until_over(watch, look)
        finally:
            self._report(watch)

    async def _until_over(self, watch: Watch, look: Callable[[], Awaitable[Poll[T]]]) -> T:
        pace = self._pacing.begin(watch.kind)
        interval, bound = self._jittered(pace(0, 0)) - (self.clock.time() - watch.begun_at), 0.0
        while True:
            await self._rest(watch, interval, bound)
            try:
                poll = await self._ask(watch, look)
            except Unavailable as error:
                if watch.faults_in_a_row > self._faults.most:
                    raise
                interval, bound = self._faults.interval(watch.faults_in_a_row, self._random), error.retry_after or 0.0
            else:
                if self._is_over(poll.status):
                    self._learn(watch, poll.status)
                    return poll.found
                elapsed = self.clock.time() - watch.begun_at
                interval, bound = self._jittered(pace(elapsed, elapsed - watch.asking)), poll.retry_after or 0.0
            if self.clock.time() >= watch.deadline:
                raise DeadlinePassed

    async def _rest(self, watch: Watch, interval: float, bound: float) -> None:
        """Until a look is due and allowed; at the latest until the deadline, where one is due in any case."""
        left = max(0.0, watch.deadline - self.clock.time())
        await self.clock.sleep(min(max(interval, bound, 0.0), left))
        if bound > left or not await self._bucket.take(max(0.0, watch.deadline - self.clock.time())):
            raise DeadlinePassed

    async def _ask(self, watch: Watch, look: Callable[[], Awaitable[Poll[T]]]) -> Poll[T]:
        asked_at = self.clock.time()
        watch.polls += 1
        try:
            poll = await look()
        except Unavailable:
            watch.faults += 1
            watch.faults_in_a_row += 1
            raise
        finally:
            watch.asking += self.clock.time() - asked_at
        watch.faults_in_a_row = 0
        if not self._is_over(poll.status):
            watch.seen_at = asked_at
        return poll

    def _is_over(self, status: str) -> bool:
        if status in OVER:
            return True
        if status not in UNDERWAY and status not in self._unknown and len(self._unknown) < MOST_UNKNOWN_STATUSES:
            self._unknown.add(status)
            logger.warning("unknown_run_status", status=status)
        return False

    def _learn(self, watch: Watch, status: str) -> None:
        now = self.clock.time()
        gap = now - watch.seen_at
        watch.lag = gap / 2
        if status not in CUT_SHORT:
            self._pacing.learn(watch.kind, now - watch.lag - watch.begun_at, gap)

    def _jittered(self, interval: float) -> float:
        return interval * self._random.uniform(1 - self._jitter, 1 + self._jitter)
