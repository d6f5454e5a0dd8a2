"""A store in the emulator's table, behind a proxy."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from server.backends.dynamodb import DynamoBackend, open_dynamodb
from server.backends.dynamodb.items import Item, Key, decode_item, encode_item
from server.model import Accepted, InboundMessage, Lease, WhenBusy
from tests.fakes.faulty_dynamodb import Proxy, faulty_dynamodb
from tests.ministack import Cloud

LEASE_SECONDS = 30
MOST_WAITING = 200


class Clock:
    """Seconds since 1970, in the test's hand."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Scene:
    """`another` opens a store of another process; it goes past the proxy."""

    store: DynamoBackend
    proxy: Proxy
    cloud: Cloud
    clock: Clock
    another: Callable[[], AbstractAsyncContextManager[DynamoBackend]]

    async def begin(self, person: str = "anna") -> str:
        return (await self.store.create(person, "websocket", "a")).id

    async def say(self, conversation_id: str, message_id: str, when_busy: WhenBusy = "enqueue") -> Accepted:
        message = InboundMessage("anna", conversation_id, message_id, "hello", when_busy)
        return await self.store.accept(message)

    async def text(self, conversation_id: str, message_id: str) -> Accepted:
        """It waits for three seconds of silence."""
        return await self.store.accept(InboundMessage("anna", conversation_id, message_id, "hello", quiet=3))

    async def asked(self, *message_ids: str) -> str:
        conversation_id = await self.begin()
        for message_id in message_ids:
            await self.say(conversation_id, message_id)
        return conversation_id

    async def take(self, conversation_id: str) -> Lease:
        lease = await self.store.take(conversation_id, "worker")
        assert lease is not None
        return lease

    def calls(self) -> dict[str, int]:
        """Since the last time."""
        made = dict(self.proxy.calls)
        self.proxy.calls = Counter()
        return made

    def item(self, key: Key) -> Item:
        found = self.cloud.client("dynamodb").get_item(
            TableName=self.cloud.settings["TABLE_NAME"], Key=encode_item(key._asdict())
        )
        return decode_item(found["Item"])

    def count(self, index: str | None = None) -> int:
        """How many items the table holds, or the index."""
        where = {"IndexName": index} if index else {}
        pages = self.cloud.client("dynamodb").get_paginator("scan")
        table = self.cloud.settings["TABLE_NAME"]
        return sum(page["Count"] for page in pages.paginate(TableName=table, Select="COUNT", **where))


@asynccontextmanager
async def open_scene(cloud: Cloud) -> AsyncIterator[Scene]:
    """The environment holds the cloud's credentials."""
    cloud.empty_table()
    clock = Clock()

    def opened(url: str) -> AbstractAsyncContextManager[DynamoBackend]:
        return open_dynamodb(
            cloud.settings["TABLE_NAME"],
            endpoint_url=url,
            lease_seconds=LEASE_SECONDS,
            most_waiting=MOST_WAITING,
            clock=clock,
        )

    async with faulty_dynamodb(cloud.emulator.url) as proxy, opened(proxy.url) as store:
        scene = Scene(store, proxy, cloud, clock, lambda: opened(cloud.emulator.url))
        scene.calls()
        yield scene
