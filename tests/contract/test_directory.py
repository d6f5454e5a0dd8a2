"""What an administrator finds, over every store."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from server.errors import NotFound
from server.model import person_of
from tests.contract.conftest import Clock, Store

ANNA, BEN, CARL = (person_of(number) for number in ("+15005550006", "+15005550007", "+445005550006"))
CHANNEL = "azure_sms"


async def callers(store: Store, channel: str = CHANNEL, after: str = "", limit: int = 10) -> Sequence[str]:
    return await store.callers(channel, after, limit)


async def test_people_are_listed_by_the_channel_they_talk_on(store: Store) -> None:
    for person in (CARL, ANNA, BEN):
        await store.current(person, CHANNEL, "a")
    await store.current(ANNA, "sms", "a")
    await store.current("demo", "websocket", "a")
    assert await callers(store) == [ANNA, BEN, CARL]
    assert await callers(store, "sms") == [ANNA]
    assert await callers(store, "whatsapp") == []


async def test_they_are_listed_page_by_page(store: Store) -> None:
    people = [person_of(f"+1500555{number:04}") for number in range(25)]
    for person in reversed(people):
        await store.current(person, CHANNEL, "a")
    found: list[str] = []
    while page := await callers(store, after=found[-1] if found else "", limit=10):
        assert len(page) <= 10
        found += page
    assert found == people


async def test_a_person_with_several_conversations_is_listed_once(store: Store, clock: Clock) -> None:
    for _ in range(3):
        await store.create(ANNA, CHANNEL, "a")
        clock.now += 1
    assert await callers(store) == [ANNA]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
async def test_a_person_is_listed_until_the_last_conversation_is_gone(
    store: Store, clock: Clock, order: Sequence[int]
) -> None:
    made = []
    for _ in range(3):
        made.append(await store.create(ANNA, CHANNEL, "a"))
        clock.now += 1
    elsewhere = await store.create(ANNA, "sms", "a")
    for index in order:
        assert await callers(store) == [ANNA]
        await store.delete(ANNA, made[index].id)
    assert await callers(store) == []
    assert await callers(store, "sms") == [ANNA]
    await store.delete(ANNA, elsewhere.id)
    assert await callers(store, "sms") == []
    await store.current(ANNA, CHANNEL, "a")
    assert await callers(store) == [ANNA]


async def test_a_conversation_is_found_whosever_it_is(store: Store) -> None:
    for person, channel in ((ANNA, CHANNEL), ("demo", "websocket")):
        made = await store.current(person, channel, "a")
        assert await store.look_up(made.id) == made
        await store.delete(person, made.id)
        with pytest.raises(NotFound) as raised:
            await store.look_up(made.id)
        assert raised.value.code == "unknown_conversation"
