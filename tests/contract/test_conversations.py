"""The port Conversations."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import LeaseLost, NotFound
from server.model import Begun, Conversation, Draft, InboundMessage
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


async def test_called_at_once_in_two_processes_one_conversation_is_made(open_store: Opener) -> None:
    async with open_store() as store, open_store() as another:
        for person in (f"p{number}" for number in range(20)):
            calls = [each.current(person, "websocket", "a") for _ in range(3) for each in (store, another)]
            assert len({one.id for one in await asyncio.gather(*calls)}) == 1
            assert len(await store.recent(person, 10)) == 1


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


def milliseconds(clock: Clock) -> int:
    return int(clock.now * 1000)


async def begun(store: Store, message_id: str = "m1") -> Conversation:
    """By what was said in it."""
    conversation_id = (await store.current("anna", "sms", "a")).id
    await store.accept(InboundMessage("anna", conversation_id, message_id, "hi"))
    return await store.current("anna", "sms", "a")


async def test_one_that_was_begun_too_long_ago_gives_way_to_another(store: Store, clock: Clock) -> None:
    old = await begun(store)
    other = await store.current("anna", "websocket", "a")
    assert await store.current("anna", "sms", "a", since=old.created_at) == old
    clock.now += 60
    new = await store.current("anna", "sms", "a", since=milliseconds(clock))
    assert (new.id != old.id, new.offset, new.created_at) == (True, 0, milliseconds(clock))
    for since in (0, milliseconds(clock)):
        assert await store.current("anna", "sms", "a", since=since) == new
    assert await store.current("anna", "websocket", "a") == other
    assert await store.find("anna", old.id) == old


async def test_one_begins_with_what_is_first_said_in_it(store: Store, clock: Clock) -> None:
    made = await store.current("anna", "sms", "a")
    for _ in range(2):
        clock.now += 60
        assert await store.current("anna", "sms", "a", since=milliseconds(clock)) == made
    first = await begun(store)
    assert (first.id, first.created_at) == (made.id, milliseconds(clock))
    clock.now += 60
    since = first.created_at
    assert (await store.current("anna", "sms", "a", since=since)) == first
    assert (await begun(store, "m2")).created_at == first.created_at
    assert (await store.current("anna", "sms", "a", since=since + 1)).id != made.id
    assert (await store.find("anna", made.id)).created_at == first.created_at


async def test_one_in_which_nothing_was_said_can_end_too(store: Store) -> None:
    made = await store.current("anna", "sms", "a")
    assert (await store.current("anna", "sms", "a", ended=made.id)).id != made.id


async def test_one_that_has_ended_gives_way_to_another_once(open_store: Opener) -> None:
    async with open_store() as store, open_store() as another:
        for _ in range(3):
            before = await store.current("anna", "sms", "a")
            calls = [each.current("anna", "sms", "a", ended=before.id) for _ in range(4) for each in (store, another)]
            [made] = {one.id for one in await asyncio.gather(*calls)}
            assert made != before.id
        assert (await another.current("anna", "sms", "a", ended=before.id)).id == made
        assert (await store.current("anna", "sms", "a")).id == made
        assert len(await store.recent("anna", 10)) == 4


async def test_of_calls_at_once_one_makes_the_conversation_that_takes_the_place(
    open_store: Opener, clock: Clock
) -> None:
    async with open_store() as store, open_store() as another:
        for number in range(3):
            before = await begun(store, f"m{number}")
            clock.now += 60
            since = milliseconds(clock)
            calls = [each.current("anna", "sms", "a", since=since) for _ in range(4) for each in (store, another)]
            made = {one.id for one in await asyncio.gather(*calls)}
            assert len(made) == 1
            assert made.isdisjoint({before.id})
        assert len(await store.recent("anna", 10)) == 4


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
