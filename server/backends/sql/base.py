"""What every part of the store works with: the database, the clock, and the row that a change locks first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row

from server.backends.sql import statements as sql
from server.backends.sql.database import Database
from server.errors import LeaseLost
from server.model import Lease

# Rows: few enough that whoever writes next waits for milliseconds.
PIECE = 1_000


class SqlBase:
    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float],
        lease_seconds: float,
        most_waiting: int,
        most_unsent: int,
        page_bytes: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._lease_ms = int(lease_seconds * 1000)
        self._most_waiting = most_waiting
        self._most_unsent = most_unsent
        self._page_bytes = page_bytes

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _lock(self, connection: Connection, conversation_id: str) -> Row[Any] | None:
        return connection.execute(sql.LOCK, {"key": conversation_id}).first()

    def _held(self, connection: Connection, lease: Lease) -> Row[Any]:
        return held(self._lock(connection, lease.conversation_id), lease)

    def _waiting_row(self, connection: Connection, conversation_id: str, answered: int) -> Row[Any]:
        """The oldest question that waits."""
        return connection.execute(sql.OLDEST_WAITING, {"key": conversation_id, "answered": answered}).one()

    async def _let_go(self, gone: sql.Gone, **values: Any) -> None:
        """Of all of it, a piece at a time: others write in between."""
        while await self._database.write(lambda connection: self._let_go_some(connection, gone, values)):
            pass

    def _let_go_some(self, connection: Connection, gone: sql.Gone, values: dict[str, Any]) -> bool:
        """Whether there may be more."""
        found = connection.execute(gone.found, {**values, "most": PIECE}).all()
        if found:
            connection.execute(gone.gone, {**values, "keys": list(map(tuple, found))})
        return len(found) == PIECE


def held(row: Row[Any] | None, lease: Lease) -> Row[Any]:
    if row is None or row.attempt != lease.attempt or row.lease_until == 0 or row.answered >= lease.question.offset:
        raise LeaseLost(f"attempt {lease.attempt} no longer holds conversation {lease.conversation_id}")
    return row
