"""DynamoDB: one table, which `keys` describes.

Calls, however long the conversation is:

| what | calls |
|---|---|
| accept | 2: the claim and the head together, then one transaction |
| take | 2: the lease, then the question; 1 where there is nothing to take |
| renew, fail, hand back, bind, note | 1 each |
| answer | 2: the head, then one transaction; 1 more where a question follows, 2 more where steps were noted |
| steps, current, recent | 2 each |
| find, a new conversation | 1 each |
| a page of the log | 1 for each megabyte of it |

A turn without tools makes 6, and 1 for each renewal. There is 1 more for each text that is too large for one item, for
each 25 steps over 25, and 2 for each time that another process changed the same conversation in between. A look for
what waits makes 16.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.backends.dynamodb import keys
from server.backends.dynamodb.backend import DynamoBackend
from server.backends.dynamodb.client import open_client
from server.backends.dynamodb.table import Table

__all__ = ["DynamoBackend", "open_dynamodb"]


@asynccontextmanager
async def open_dynamodb(
    table: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    lease_seconds: float,
    most_waiting: int,
    page_bytes: int = 256 * 1024,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[DynamoBackend]:
    """Raises `ConfigError` where there is no such table, or no right to it."""
    async with open_client(region, endpoint_url) as client:
        opened = Table(client, table)
        await opened.get(keys.assistant("assistant"))
        yield DynamoBackend(
            opened, clock=clock, lease_seconds=lease_seconds, most_waiting=most_waiting, page_bytes=page_bytes
        )
