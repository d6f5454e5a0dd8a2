"""Which sockets there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase
from server.model import Place


class SqlConnections(SqlBase):
    """Implements the port Registry, and a part of Members."""

    async def register(self, place: Place, expires_at_seconds: float) -> None:
        row = {
            "id": place.connection_id,
            "person": place.person,
            "node": place.node,
            "expires_at": int(expires_at_seconds * 1000),
        }
        await self._database.write(lambda connection: self._register(connection, row))

    def _register(self, connection: Connection, row: dict[str, object]) -> None:
        connection.execute(sql.DISCONNECT, {"key": row["id"]})
        connection.execute(sql.CONNECT, row)

    async def unregister(self, place: Place) -> None:
        values = {"key": place.connection_id}
        await self._database.write(lambda connection: connection.execute(sql.DISCONNECT, values))

    async def places(self, person: str) -> Sequence[Place]:
        values = {"person": person, "now": self._now()}
        found = await self._database.read(lambda connection: connection.execute(sql.PLACES, values).all())
        return [Place(person, row.id, row.node) for row in found]

    async def place(self, connection_id: str) -> Place | None:
        values = {"key": connection_id, "now": self._now()}
        row = await self._database.read(lambda connection: connection.execute(sql.PLACE, values).first())
        return None if row is None else Place(row.person, row.id, row.node)

    async def beat(self, node: str, seconds: float) -> bool:
        values = {"node": node, "now": self._now()}
        if not await self._database.read(lambda connection: self._is_alive(connection, values)):
            await self._let_go(sql.CONNECTIONS_OF_NODE, node=node)
        return await self._database.write(lambda connection: self._beat(connection, values, seconds))

    def _is_alive(self, connection: Connection, values: dict[str, Any]) -> bool:
        return connection.execute(sql.ALIVE, values).first() is not None

    def _beat(self, connection: Connection, values: dict[str, Any], seconds: float) -> bool:
        """Only its own rows: those of others may seem to be over because a clock is wrong."""
        known = self._is_alive(connection, values)
        connection.execute(sql.DIE, values)
        connection.execute(sql.LIVE, {"url": values["node"], "alive_until": values["now"] + int(seconds * 1000)})
        if not known:
            connection.execute(sql.DISCONNECT_NODE, values)
        return known
