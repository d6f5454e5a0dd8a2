"""The steps of turns under way."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from server.backends.sql import rows
from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase
from server.model import Lease, Step


class SqlRuns(SqlBase):
    """Implements the port Runs."""

    async def note(self, lease: Lease, step: Step) -> None:
        await self._database.write(lambda connection: self._note(connection, lease, step))

    def _note(self, connection: Connection, lease: Lease, step: Step) -> None:
        row = self._held(connection, lease)
        connection.execute(sql.NOTE, rows.step_row(row.id, row.steps + 1, step))
        connection.execute(sql.NOTED, {"key": row.id, "steps": row.steps + 1})

    async def steps(self, lease: Lease) -> Sequence[Step]:
        return await self._database.write(lambda connection: self._steps(connection, lease))

    def _steps(self, connection: Connection, lease: Lease) -> Sequence[Step]:
        row = self._held(connection, lease)
        return [rows.step(one) for one in connection.execute(sql.STEPS, {"key": row.id}).all()]

    async def bind(self, lease: Lease, thread: str) -> None:
        await self._database.write(lambda connection: self._bind(connection, lease, thread))

    def _bind(self, connection: Connection, lease: Lease, thread: str) -> None:
        row = self._held(connection, lease)
        connection.execute(sql.BOUND, {"key": row.id, "thread": thread})
