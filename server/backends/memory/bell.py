"""The bell of one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryRing:
    conversation_id: str

    async def done(self) -> None:
        """Nobody else listens."""


class SilentBell:
    """For a process that runs no turns, where no queue tells the others: they look for work themselves."""

    async def ring(self, conversation_id: str, delay: float = 0) -> None: ...

    async def rings(self) -> AsyncGenerator[MemoryRing]:
        await asyncio.Event().wait()
        yield MemoryRing("")


class MemoryBell:
    """Rings within this process. A conversation that already waits to be heard is not rung twice."""

    def __init__(self) -> None:
        self._due: dict[str, None] = {}
        self._rung = asyncio.Event()

    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        if delay > 0:
            asyncio.get_running_loop().call_later(delay, self._ring, conversation_id)
        else:
            self._ring(conversation_id)

    def _ring(self, conversation_id: str) -> None:
        self._due[conversation_id] = None
        self._rung.set()

    async def rings(self) -> AsyncGenerator[MemoryRing]:
        while True:
            await self._rung.wait()
            while self._due:
                conversation_id = next(iter(self._due))
                del self._due[conversation_id]
                yield MemoryRing(conversation_id)
            self._rung.clear()
