"""What is made at the provider while its turn is cancelled: nobody would know of it, so it is ended there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from server.errors import ServerError

# For the creation and the end of it; a process that is being stopped waits for both.
END_SECONDS = 3.0

T = TypeVar("T")


async def made(creation: Coroutine[Any, Any, T], end: Callable[[T], Awaitable[None]]) -> T:
    """What `creation` makes. A cancel does not tear it: it is awaited, as far as the provider can be reached, and what
    it made is ended.
    """
    task = asyncio.create_task(creation)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        with suppress(ServerError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await end(await task)
        raise
    return await task
