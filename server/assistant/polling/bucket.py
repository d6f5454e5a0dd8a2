"""One allowance for the looks of the whole process, so that many runs stretch their intervals and collect no 429s."""

from __future__ import annotations

import asyncio
import heapq
import math

from server.assistant.polling.clock import Clock


class TokenBucket:
    """`per_second` tokens in the long run, and up to `burst` at once after a quiet time.

    Each token has its moment, and they are given out in the order of asking, so that nobody starves. The moment of one
    who gave up goes to the next who asks.
    """

    def __init__(self, per_second: float, clock: Clock, *, burst: int = 1) -> None:
        self._spacing = 1 / per_second
        self._saved = (burst - 1) * self._spacing
        self._clock = clock
        self._next = -math.inf
        self._returned: list[float] = []

    async def take(self, longest: float) -> bool:
        """True once a token is had. False, after `longest` seconds, if none is to be had until then."""
        now = self._clock.time()
        moment = self._reserve(now, now + longest)
        if moment is None:
            await self._clock.sleep(longest)
            return False
        if moment > now:
            await self._sleep_until(moment, now)
        return True

    async def _sleep_until(self, moment: float, now: float) -> None:
        try:
            await self._clock.sleep(moment - now)
        except asyncio.CancelledError:
            heapq.heappush(self._returned, moment)
            raise

    def _reserve(self, now: float, latest: float) -> float | None:
        oldest = now - self._saved
        while self._returned and self._returned[0] < oldest:
            heapq.heappop(self._returned)
        if self._returned:
            return heapq.heappop(self._returned) if self._returned[0] <= latest else None
        moment = max(self._next, oldest)
        if moment > latest:
            return None
        self._next = moment + self._spacing
        return moment
