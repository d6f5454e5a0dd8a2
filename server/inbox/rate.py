"""How fast one person may speak."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from server.errors import TooMany

MOST_PEOPLE = 100_000


class Rate:
    """Up to `per_minute` at once, and as many a minute in the long run. With 0, as many as they like."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._spacing = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def check(self, person: str) -> None:
        """Raises `TooMany`, which says when the next one is welcome."""
        now = self._clock()
        if (free_at := self._next(person, now)) > now:
            raise TooMany("Too many messages; wait a moment.", code="too_many_messages", retry_after=free_at - now)

    def spend(self, person: str) -> None:
        """Raises what `check` raises."""
        if not self._spacing:
            return
        self.check(person)
        now = self._clock()
        free_at = self._next(person, now)
        self._free_at[person] = free_at + self._spacing
        self._free_at.move_to_end(person)
        self._forget(now)

    def _next(self, person: str, now: float) -> float:
        """When the next one is welcome; not later than now, if it is."""
        return max(self._free_at.get(person, -math.inf), now - 60 + self._spacing)

    def _forget(self, now: float) -> None:
        """Who spoke longest ago comes first. A minute later that does not matter any more."""
        while len(self._free_at) > MOST_PEOPLE or next(iter(self._free_at.values())) <= now - 60 + self._spacing:
            self._free_at.popitem(last=False)
