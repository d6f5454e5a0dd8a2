"""SQLite, MySQL or PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.backends.sql.backend import SqlBackend
from server.backends.sql.database import Database
from server.backends.sql.migrate import upgrade
from server.backends.sql.sole import SoleBackend
from server.model import MOST_UNSENT

__all__ = ["SqlBackend", "open_sql"]


@asynccontextmanager
async def open_sql(
    url: str,
    *,
    sole: bool,
    lease_seconds: float,
    most_waiting: int,
    most_unsent: int = MOST_UNSENT,
    page_bytes: int = 256 * 1024,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[SqlBackend]:
    """Upgrade the schema and open the store. `sole`: no other server has it, so leases found in it are void."""
    async with Database(url, clock=clock) as database:
        await asyncio.to_thread(upgrade, database.engine)
        kind = SoleBackend if sole else SqlBackend
        store = kind(
            database,
            clock=clock,
            lease_seconds=lease_seconds,
            most_waiting=most_waiting,
            most_unsent=most_unsent,
            page_bytes=page_bytes,
        )
        if sole:
            await store.void_leases()
        yield store
