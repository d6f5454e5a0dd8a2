"""The connection to DynamoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig

from server.backends.dynamodb.errors import dynamodb_errors, wrong_settings

# Three tries of at most 5 s each end long before a lease does.
CONNECT_SECONDS = 2
READ_SECONDS = 3
TRIES = 3
# As many calls at once; a turn makes one call at a time.
CONNECTIONS = 100


@asynccontextmanager
async def open_client(region: str | None, endpoint_url: str | None) -> AsyncIterator[Any]:
    """Open until the block ends: making one costs as much as sixty calls."""
    config = AioConfig(
        retries={"mode": "standard", "total_max_attempts": TRIES},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
    )
    async with AsyncExitStack() as stack:
        with wrong_settings(), dynamodb_errors():
            session = aioboto3.Session(region_name=region or None)
            made = session.client("dynamodb", endpoint_url=endpoint_url or None, config=config)
            client = await stack.enter_async_context(made)
        yield client
