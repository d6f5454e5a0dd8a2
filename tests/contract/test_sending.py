"""The ports of a store under senders: whatever goes wrong, every message arrives once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.delivery.courier import Courier
from server.delivery.outbox import Dispatcher
from server.metrics import Metrics
from server.model import Draft, InboundMessage, person_of
from tests.contract.conftest import Clock, Opener, Store
from tests.unit.phone_scene import Act, Provider

NUMBERS = [f"+4915100000{number:03}" for number in range(4)]
TROUBLES = [act for act in Act if act not in {Act.REFUSES, Act.IS_TOLD_TO_STOP}]


async def posted(store: Store, number: str, *texts: str) -> str:
    conversation = await store.create(person_of(number), "sms", "a")
    for index, text in enumerate(texts):
        await store.accept(InboundMessage(conversation.person, conversation.id, f"m{index}", "hi"))
        lease = await store.take(conversation.id, "w")
        assert lease is not None
        await store.answer(lease, Draft(text, "stop"), post=True)
    return conversation.id


@asynccontextmanager
async def sending(store: Store, provider: Provider, clock: Clock, owner: str) -> AsyncIterator[None]:
    courier = Courier(store, store, {"sms": provider}, lambda key, _at: key, Metrics(), call_seconds=5, clock=clock)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Dispatcher(store, courier, owner=owner, sweep_seconds=0.05).run())
        yield
        running.cancel()


async def test_every_message_arrives_once_and_in_order_from_two_processes(open_store: Opener, clock: Clock) -> None:
    hanging = {Act.HANGS, Act.SENDS_AND_HANGS}
    provider = Provider([act for act in TROUBLES * 2 if act not in hanging], silences=3)
    async with open_store() as one, open_store() as other:
        conversations = [await posted(one, number, "one|two", "three") for number in NUMBERS]
        async with asyncio.timeout(60), sending(one, provider, clock, "s1"), sending(other, provider, clock, "s2"):
            while not all([await are_sent(one, conversation_id) for conversation_id in conversations]):
                clock.now += 1
                await asyncio.sleep(0.05)
        assert [provider.texts(number) for number in NUMBERS] == [["one", "two", "three"]] * len(NUMBERS)
        assert provider.settled


async def are_sent(store: Store, conversation_id: str) -> bool:
    parts = [*await store.parts_of(conversation_id, 2), *await store.parts_of(conversation_id, 4)]
    return [part.state for part in parts] == ["sent"] * 3
