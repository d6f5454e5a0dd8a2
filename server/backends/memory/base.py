"""What every part of the store works with: the clock."""

from __future__ import annotations

from collections.abc import Callable


class MemoryBase:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def _now(self) -> int:
        return int(self._clock() * 1000)
