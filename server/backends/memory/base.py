"""What every part of the store works with: the clock, and for how long things are lent."""

from __future__ import annotations

from collections.abc import Callable


class MemoryBase:
    def __init__(self, clock: Callable[[], float], lease_ms: int) -> None:
        self._clock = clock
        self._lease_ms = lease_ms

    def _now(self) -> int:
        return int(self._clock() * 1000)
