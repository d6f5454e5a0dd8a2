"""The poller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    first: float = 0.75
    factor: float = 1.15
    cap: float = 4.0
    late_cap: float = 10.0


@dataclass(frozen=True, slots=True)
class TokenBucket:
    per_second: float


@dataclass(frozen=True, slots=True)
class Poll(Generic[T]):
    status: str
    retry_after: float | None
    value: T


class Poller:
    def __init__(self, schedule: Backoff, bucket: TokenBucket) -> None:
        self._schedule = schedule

    async def wait(self, look: Callable[[], Awaitable[Poll[T]]], *, kind: str) -> T:
        pause = self._schedule.first
        while True:
            await asyncio.sleep(pause)
            poll = await look()
            if poll.status not in {"queued", "in_progress", "cancelling"}:
                return poll.value
            pause = min(pause * self._schedule.factor, self._schedule.cap)
