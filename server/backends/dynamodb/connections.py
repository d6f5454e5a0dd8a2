"""Which sockets there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from server.backends.dynamodb import keys
from server.backends.dynamodb.base import DynamoBase
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import Item, key_of
from server.backends.dynamodb.table import Table, delete, update
from server.errors import Unavailable
from server.model import Place

# DynamoDB deletes by its own clock: what it deletes must be over by ours.
LATE_SECONDS = 3_600
# No two processes' clocks differ by so much: what one has written is not over before that for another.
CLOCKS_MS = 600_000
REMEMBERED_MS = 1_000
REGISTERED = (
    "SET #connectionId = :id, #userId = :person, #node = :node, #createdAt = if_not_exists(#createdAt, :now),"
    " #updatedAt = :now, #expiresAt = :until, #ttl = :over"
)
BEATS = "#aliveUntil = :until, #ttl = :over"


@dataclass(frozen=True, slots=True)
class Node:
    """A process that lives since and until then, as was read at this moment; all in ms. An unknown one never did."""

    since: int
    until: int
    read_at: int

    def lives(self, now: int) -> bool:
        return self.until > now

    def is_lost(self, now: int) -> bool:
        """By any clock."""
        return self.until <= now - CLOCKS_MS

    def is_stale(self, now: int) -> bool:
        return now >= self.read_at + REMEMBERED_MS or self.read_at < self.until <= now


class DynamoConnections(DynamoBase):
    """Implements the port Registry, and a part of Members. Its `ttl` or who finds it deletes what is over."""

    def __init__(self, table: Table, **settings: Any) -> None:
        super().__init__(table, **settings)
        self._nodes: dict[str, Node] = {}

    async def register(self, place: Place, expires_at_seconds: float) -> None:
        key, now = keys.connection(place.person, place.connection_id), self._now()
        named = {
            "id": place.connection_id,
            "person": place.person,
            "node": place.node,
            "now": now,
            "until": int(expires_at_seconds * 1000),
            "over": int(expires_at_seconds) + LATE_SECONDS,
        }
        await contend(lambda: self._table.change(update(key, REGISTERED, "", **named)))

    async def unregister(self, place: Place) -> None:
        key = keys.connection(place.person, place.connection_id)
        await contend(lambda: self._table.transact(delete(key)))

    async def places(self, person: str) -> Sequence[Place]:
        items = await self._table.query(
            "#pk = :pk AND begins_with(#sk, :connections)", pk=keys.user(person), connections="connection#"
        )
        nodes = await self._look_at({item["node"] for item in items})
        with suppress(Unavailable):
            await self._let_go(items, nodes)
        return [place_of(item) for item in items if self._is_there(item, nodes)]

    async def place(self, connection_id: str) -> Place | None:
        items = await self._table.query("#connectionId = :id", index="connectionIdIndex", id=connection_id)
        nodes = await self._look_at({item["node"] for item in items})
        return next((place_of(item) for item in items if self._is_there(item, nodes)), None)

    def _is_there(self, item: Item, nodes: Mapping[str, Node]) -> bool:
        """Its process lives, and has done so since it was opened."""
        node, now = nodes[item["node"]], self._now()
        return item["expiresAt"] > now and node.lives(now) and item["createdAt"] >= node.since

    async def _look_at(self, urls: Set[str]) -> Mapping[str, Node]:
        """All ask for the same few items: never more often than they change."""
        now = self._now()
        self._nodes = {url: node for url, node in self._nodes.items() if not node.is_stale(now)}
        known = {url: self._nodes[url] for url in urls if url in self._nodes}
        asked = urls - known.keys()
        found = await self._table.get_many([keys.node(url) for url in asked])
        for url in asked:
            item = found.get(keys.node(url), {"aliveSince": 0, "aliveUntil": 0})
            known[url] = self._nodes[url] = Node(item["aliveSince"], item["aliveUntil"], now)
        return known

    async def _let_go(self, items: Sequence[Item], nodes: Mapping[str, Node]) -> None:
        """Of what is over whatever a clock says."""
        now = self._now()
        lost = {url for url, node in nodes.items() if node.is_lost(now) and await self._give_up(url, node)}
        over = [
            key_of(item)
            for item in items
            if item["expiresAt"] <= now - CLOCKS_MS
            or item["node"] in lost
            or item["createdAt"] < nodes[item["node"]].since
        ]
        if over:
            await self._table.delete_many(over)

    async def _give_up(self, url: str, node: Node) -> bool:
        """False if it lives after all. One that comes to life later hears of it with its next beat."""
        unchanged = "attribute_not_exists(#pk) OR #aliveUntil = :until"
        try:
            await contend(lambda: self._table.transact(delete(keys.node(url), unchanged, until=node.until)))
        except ConditionFailed:
            return False
        return True

    async def beat(self, node: str, seconds: float) -> bool:
        self._nodes.pop(node, None)
        now, key = self._now(), keys.node(node)
        until = now + int(seconds * 1000)
        named = {"until": until, "over": until // 1000 + LATE_SECONDS}
        try:
            await contend(
                lambda: self._table.change(update(key, f"SET {BEATS}", "#aliveUntil > :now", now=now, **named))
            )
        except ConditionFailed:
            await contend(
                lambda: self._table.change(update(key, f"SET {BEATS}, #aliveSince = :now", "", now=now, **named))
            )
            return False
        return True


def place_of(item: Item) -> Place:
    return Place(item["userId"], item["connectionId"], item["node"])
