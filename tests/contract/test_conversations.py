"""The port Conversations."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import LeaseLost, NotFound
from server.model import Begun, Draft, InboundMessage
from tests.contract.conftest import Clock, Opener, Store


async def test_the_first_call_makes_a_conversation_and_the_next_finds_it(store: Store) -> None:
    first = await store.current("anna", "websocket", "assistant@1")
    assert (first.person, first.channel, first.assistant) == ("anna", "websocket", "assistant@1")
    assert (first.offset, first.answered) == (0, 0)
    assert await store.current("anna", "websocket", "assistant@2") == first


async def test_called_twice_at_once_one_conversation_is_made(store: Store) -> None:
    found = await asyncio.gather(*(store.current("anna", "websocket", "a") for _ in range(10)))
    assert len({one.id for one in found}) == 1
    assert len(await store.recent("anna", 10)) == 1


async def test_every_person_and_every_channel_has_a_current_one_of_its_own(store: Store) -> None:
    ids = {
        (await store.current(person, channel, "a")).id
        for person in ("anna", "Anna")
        for channel in ("websocket", "sms")
    }
    assert len(ids) == 4


async def test_a_new_conversation_becomes_the_current_one(store: Store) -> None:
    old = await store.current("anna", "websocket", "a")
    new = await store.create("anna", "websocket", "a")
    assert new.id != old.id
    assert new.epoch != old.epoch
    assert (await store.current("anna", "websocket", "a")).id == new.id


async def test_a_conversation_is_found_by_its_person_only(store: Store) -> None:
    mine = await store.current("anna", "websocket", "a")
    assert await store.find("anna", mine.id) == mine
    with pytest.raises(NotFound):
        await store.find("ben", mine.id)
    with pytest.raises(NotFound):
        await store.find("anna", "c_nothing")


async def test_the_one_last_spoken_in_comes_first(store: Store, clock: Clock) -> None:
    from tests.contract.test_log import say

    made = []
    for _ in range(3):
        made.append((await store.create("anna", "websocket", "a")).id)
        clock.now += 1
    await say(store, made[0], "m1")
    assert [one.id for one in await store.recent("anna", 10)] == [made[0], made[2], made[1]]
    assert [one.id for one in await store.recent("anna", 2)] == [made[0], made[2]]
    assert await store.recent("ben", 10) == []


async def test_what_was_made_is_there_after_opening_again(open_store: Opener) -> None:
    async with open_store() as before:
        made = await before.current("anna", "websocket", "a")
    async with open_store() as after:
        assert await after.current("anna", "websocket", "a") == made


async def test_the_current_one_is_shown_as_it_is_after_every_change(store: Store, clock: Clock) -> None:
    from tests.contract.test_log import answer, say

    async def at() -> tuple[int, int]:
        both = await asyncio.gather(*(store.current("anna", "websocket", "a") for _ in range(2)))
        again = await store.current("anna", "websocket", "a")
        assert [*both, again] == [await store.find("anna", again.id)] * 3
        return again.offset, again.answered

    assert await at() == (0, 0)
    conversation_id = (await store.current("anna", "websocket", "a")).id
    clock.now += 1
    await say(store, conversation_id, "m1")
    assert await at() == (1, 0)
    await answer(store, conversation_id, Draft("sorry", "error", code="timeout"))
    assert await at() == (2, 1)
    await store.requeue(await store.dead_letter(conversation_id, 1))
    assert await at() == (3, 1)
    await answer(store, conversation_id)
    assert await at() == (4, 3)
    await say(store, conversation_id, "m1")
    assert await at() == (4, 3)
    assert (await store.create("anna", "websocket", "a")).id != conversation_id
    assert await at() == (0, 0)


async def test_changes_and_looks_at_the_same_time_leave_the_current_one_as_it_is(store: Store) -> None:
    from tests.contract.test_log import say

    opened = await store.current("anna", "websocket", "a")
    for number in range(1, 4):
        await asyncio.gather(
            *(store.current("anna", "websocket", "a") for _ in range(5)),
            say(store, opened.id, f"m{number}"),
            *(store.current("anna", "websocket", "a") for _ in range(5)),
        )
        assert (await store.current("anna", "websocket", "a")).offset == number


async def test_a_deleted_conversation_is_gone_with_all_that_was_said_in_it(store: Store, clock: Clock) -> None:
    old = await store.current("anna", "websocket", "a")
    kept = await store.current("anna", "sms", "a")
    for conversation in (old, kept):
        message = InboundMessage("anna", conversation.id, f"m-{conversation.channel}", "hi")
        await store.accept(message)
    lease = await store.take(old.id, "w")
    assert lease is not None
    await store.bind(lease, "thread_1")
    await store.note(lease, Begun("run_1", "a@1"))
    assert (
        (await store.find("anna", old.id)).thread
        == (await store.current("anna", "websocket", "a")).thread
        == "thread_1"
    )
    await store.delete("anna", old.id)

    with pytest.raises(NotFound):
        await store.find("anna", old.id)
    assert (await store.after(old.id, 0, 10)).entries == ()
    assert [one.id for one in await store.recent("anna", 10)] == [kept.id]
    assert list(await store.waiting(10)) == [kept.id]
    for late in (store.answer(lease, Draft("late", "stop")), store.renew(lease), store.note(lease, Begun("r", "a"))):
        with pytest.raises(LeaseLost):
            await late
    new = await store.current("anna", "websocket", "a")
    assert (new.offset, new.epoch != old.epoch, new.id != old.id) == (0, True, True)
    again = await store.accept(InboundMessage("anna", new.id, "m-websocket", "hi"))
    assert not again.duplicate
    assert (await store.current("anna", "sms", "a")).id == kept.id


async def test_nobody_deletes_what_is_another_persons(store: Store) -> None:
    mine = await store.current("anna", "websocket", "a")
    for person, conversation_id in (("ben", mine.id), ("anna", "c_nothing")):
        with pytest.raises(NotFound):
            await store.delete(person, conversation_id)
    await store.delete("anna", mine.id)
    assert await store.recent("anna", 10) == []
