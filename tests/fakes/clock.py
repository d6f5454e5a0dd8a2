"""Time that passes only where somebody sleeps, and then at once."""

from __future__ import annotations

import heapq
from collections.abc import Coroutine, Generator
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")


class Nap:
    def __init__(self, until: float) -> None:
        self._until = until

    def __await__(self) -> Generator[float]:
        yield self._until


class VirtualClock:
    """Implements `polling.clock.Clock`, and runs what sleeps on it. No event loop is needed, nor allowed."""

    def __init__(self) -> None:
        self._now = 0.0

    def time(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        await Nap(self._now + seconds)

    def run(self, coroutine: Coroutine[Any, None, T]) -> T:
        return self.run_all([coroutine])[0]

    def run_all(self, coroutines: list[Coroutine[Any, None, T]]) -> list[T]:
        """Their results, in their order. The first exception is raised."""
        order, results = count(), dict[int, T]()
        due = [(self._now, next(order), place, one) for place, one in enumerate(coroutines)]
        while due:
            self._now, _, place, one = heapq.heappop(due)
            try:
                until = one.send(None)
            except StopIteration as end:
                results[place] = end.value
            else:
                heapq.heappush(due, (until, next(order), place, one))
        return [results[place] for place in range(len(coroutines))]
