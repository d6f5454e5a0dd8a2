"""DynamoDB: one table, which `keys` describes.

Calls, however long the conversation is:

| what | calls |
|---|---|
| accept | 2: the claims and the head together, then one transaction |
| take | 2: the lease, then what was asked; 1 where there is nothing to take |
| renew, fail, hand back, bind, note | 1 each |
| answer | 2: the head, then one transaction; 1 more where a question follows, 2 more where steps were noted |
| steps, current, recent | 2 each |
| find, a new conversation | 1 each |
| a page of the log | 1 for each megabyte of it |
| take a reply to send | 2; 1 more where it was taken before |
| note a part, postpone, sent | 1 each; sent 2 more where a reply follows |

A turn without tools makes 7, of which 1 reads what the model is shown: 2 or 3 where more than 50 entries fit; and 1
for each renewal. Among many processes it makes 3 more, to find the person's sockets when the message is accepted, begun
and answered, and 1 for each further 10 seconds of words; each process asks once a second at most which others live.
There is 1 more for each text that is too large for one item, for each 25 steps over 25, and 2 for each time that
another process changed the same conversation in between, or where the outbox has no room. A look for what waits makes
16, and one for what is unsent 16 more.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.backends.dynamodb import keys
from server.backends.dynamodb.backend import DynamoBackend
from server.backends.dynamodb.client import open_client
from server.backends.dynamodb.table import Table
from server.model import MOST_UNSENT

__all__ = ["DynamoBackend", "open_dynamodb"]


@asynccontextmanager
async def open_dynamodb(
    table: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    lease_seconds: float,
    most_waiting: int,
    most_unsent: int = MOST_UNSENT,
    page_bytes: int = 256 * 1024,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[DynamoBackend]:
    """Raises `ConfigError` where there is no such table, or no right to it."""
    async with open_client(region, endpoint_url) as client:
        opened = Table(client, table)
        await opened.check(keys.assistant("assistant"))
        yield DynamoBackend(
            opened,
            clock=clock,
            lease_seconds=lease_seconds,
            most_waiting=most_waiting,
            most_unsent=most_unsent,
            page_bytes=page_bytes,
        )
