"""What every part of the store works with: the database, the clock, and the row that a change locks first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row

from server.backends.sql import statements as sql
from server.backends.sql.database import Database
from server.errors import LeaseLost
from server.model import Lease


class SqlBase:
    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float],
        lease_seconds: float,
        most_waiting: int,
        page_bytes: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._lease_ms = int(lease_seconds * 1000)
        self._most_waiting = most_waiting
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


def held(row: Row[Any] | None, lease: Lease) -> Row[Any]:
    if row is None or row.attempt != lease.attempt or row.lease_until == 0 or row.answered >= lease.question.offset:
        raise LeaseLost(f"attempt {lease.attempt} no longer holds conversation {lease.conversation_id}")
    return row
