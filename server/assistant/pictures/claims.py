"""Which of all processes makes something: the one that goes on adding to a row of files of its name.

Who puts the first file of a row has the claim, and adds the next ones while the work lasts. A row to which nothing was
added for a while is that of a process that died: who is the first to add to it has the claim from then on. So no claim
is taken out of the hands of one that lives, and no clock is compared with another's.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from server.errors import ServerError
from server.model import File
from server.ports import Files

logger = structlog.get_logger()

# So many may fail in a row before others take it for dead.
BEATS = 5


class Claims:
    """`seconds`: how long a process may be silent before it is taken for dead."""

    def __init__(self, files: Files, *, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._seconds = seconds
        self._clock = clock

    def claim(self, name: str) -> Claim:
        """For one attempt, which no other has a part in, whoever makes it."""
        return Claim(self._files, name, self._seconds, self._clock)


class Claim:
    """Of one attempt. What it knows of the row is how long it was when last looked at, and since when."""

    def __init__(self, files: Files, name: str, seconds: float, clock: Callable[[], float]) -> None:
        self._files = files
        self._name = name
        self._seconds = seconds
        self._clock = clock
        self._mark = File(secrets.token_hex(16).encode(), "text/plain")
        self._length = 0
        self._since = clock()

    async def take(self) -> bool:
        """False while another has it: to be asked again and again, for only so a death is seen."""
        length = await self._look()
        if length != self._length:
            self._length, self._since = length, self._clock()
        if length and self._clock() - self._since < self._seconds:
            return False
        return await self._add()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Once it is taken: for as long as this lasts, and no longer."""
        beating = asyncio.create_task(self._beat(), name="claim")
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait([beating])
            with suppress(ServerError):
                await self._drop()

    async def _look(self) -> int:
        """How long the row is."""
        length = self._length
        if length and not await self._files.holds(self._key(length - 1)):
            length = 0
        while await self._files.holds(self._key(length)):
            length += 1
        return length

    async def _add(self) -> bool:
        """False if another did. An addition of ours of which nobody knew counts."""
        key = self._key(self._length)
        if not await self._files.put(key, self._mark) and await self._files.get(key) != self._mark:
            return False
        self._length += 1
        return True

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / BEATS)
            try:
                if not await self._add():
                    logger.warning("claim_lost")
                    return
            except ServerError as error:
                logger.warning("claim_not_renewed", code=error.code)

    async def _drop(self) -> None:
        """From its end, so that nobody begins another row beside what is left of it. One that was lost is another's."""
        if await self._add():
            for number in reversed(range(self._length)):
                await self._files.delete(self._key(number))

    def _key(self, number: int) -> str:
        return f"claims/{self._name}/{number}"
