"""What wakes the workers."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack

from server.backends.memory import MemoryBell, SilentBell
from server.ports import Bell
from server.settings import Settings


async def open_bell(settings: Settings, stack: AsyncExitStack, *, turns: bool) -> Bell:
    """`turns`: they are run here. Raises `ConfigError` where QUEUE_URL names no FIFO queue of ours."""
    if not settings.queue_url:
        return MemoryBell() if turns else SilentBell()
    # AWS's libraries take their time to load: only who uses them waits for them.
    from server.backends.sqs import open_sqs_bell

    bell = open_sqs_bell(
        settings.queue_url,
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        # Without its lease, nobody is helped by keeping others from hearing of a conversation.
        hold_seconds=math.ceil(settings.lease_seconds),
    )
    return await stack.enter_async_context(bell)
