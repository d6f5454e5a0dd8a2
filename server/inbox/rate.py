"""How fast one person may speak."""

from __future__ import annotations

import math
from collections.abc import Callable

from server.errors import TooMany

MOST_PEOPLE = 10_000


class Rate:
    """Up to `per_minute` at once, and as many a minute in the long run. 0 is off."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._spacing = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._free_at: dict[str, float] = {}

    def spend(self, person: str) -> None:
        """Raises `TooMany`, which says when the next one is welcome."""
        if not self._spacing:
            return
        now = self._clock()
        free_at = max(self._free_at.get(person, -math.inf), now - 60 + self._spacing)
        if free_at > now:
            raise TooMany("Too many messages; wait a moment.", code="too_many_messages", retry_after=free_at - now)
        if len(self._free_at) >= MOST_PEOPLE:
            self._forget(now)
        self._free_at[person] = free_at + self._spacing

    def _forget(self, now: float) -> None:
        self._free_at = {who: at for who, at in self._free_at.items() if at > now - 60 + self._spacing}
