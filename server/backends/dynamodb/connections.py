"""Which sockets there are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from server.backends.dynamodb import keys
from server.backends.dynamodb.base import DynamoBase
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import Item
from server.backends.dynamodb.table import delete, put
from server.errors import Unavailable
from server.model import Place

# DynamoDB deletes by its own clock: what it deletes must be over by ours.
LATE_SECONDS = 3_600


class DynamoConnections(DynamoBase):
    """Implements the port Registry. What is over is deleted when it is found, or by its `ttl`."""

    async def register(self, place: Place, expires_at_seconds: float) -> None:
        item = {
            **keys.connection(place.person, place.connection_id)._asdict(),
            "connectionId": place.connection_id,
            "node": place.node,
            "expiresAt": int(expires_at_seconds * 1000),
            "ttl": int(expires_at_seconds) + LATE_SECONDS,
        }
        await contend(lambda: self._table.transact(put(item)))

    async def unregister(self, place: Place) -> None:
        key = keys.connection(place.person, place.connection_id)
        await contend(lambda: self._table.transact(delete(key)))

    async def places(self, person: str) -> Sequence[Place]:
        items = await self._table.query(
            "#pk = :pk AND begins_with(#sk, :connections)", pk=keys.user(person), connections="connection#"
        )
        there = await self._there(items)
        if over := [keys.connection(person, item["connectionId"]) for item in items if item not in there]:
            with suppress(Unavailable):
                await self._table.delete_many(over)
        return [Place(person, item["connectionId"], item["node"]) for item in there]

    async def _there(self, items: Sequence[Item]) -> list[Item]:
        now = self._now()
        found = await self._table.get_many(list({keys.node(item["node"]) for item in items}))
        alive = {key.sk for key, item in found.items() if item["aliveUntil"] > now}
        return [item for item in items if item["expiresAt"] > now and item["node"] in alive]

    async def beat(self, node: str, seconds: float) -> bool:
        now, key = self._now(), keys.node(node)
        until = now + int(seconds * 1000)
        item = {**key._asdict(), "aliveUntil": until, "ttl": until // 1000 + LATE_SECONDS}
        try:
            await contend(lambda: self._table.transact(put(item, "#aliveUntil > :now", now=now)))
        except ConditionFailed:
            await contend(lambda: self._table.transact(put(item)))
            return False
        return True
