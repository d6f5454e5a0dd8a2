"""Which sockets there are."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase
from server.model import Place


class SqlConnections(SqlBase):
    """Implements the port Registry."""

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

    async def beat(self, node: str, seconds: float) -> bool:
        return await self._database.write(lambda connection: self._beat(connection, node, seconds))

    def _beat(self, connection: Connection, node: str, seconds: float) -> bool:
        now = self._now()
        known = connection.execute(sql.ALIVE, {"node": node, "now": now}).first() is not None
        connection.execute(sql.DIE, {"node": node, "now": now})
        connection.execute(sql.LIVE, {"url": node, "alive_until": now + int(seconds * 1000)})
        connection.execute(sql.FORGET_CONNECTIONS, {"now": now})
        return known
