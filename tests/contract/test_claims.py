"""The port Claims."""

from __future__ import annotations

import pytest

from server.model import Accepted, InboundMessage
from tests.contract.conftest import Clock, Opener, Store
from tests.contract.test_log import DAY, begin


async def say(store: Store, message_id: str = "m1", *aliases: str, person: str = "anna") -> str:
    conversation_id = await begin(store, person)
    await store.accept(InboundMessage(person, conversation_id, message_id, "hello", aliases=aliases))
    return conversation_id


async def test_nothing_is_known_before_it_was_accepted(store: Store) -> None:
    assert not await store.knows("anna", ("m1", "token"))


@pytest.mark.parametrize("message_id", ["m1", "token", "hash"])
async def test_a_message_is_known_by_each_of_its_ids(store: Store, message_id: str) -> None:
    await say(store, "m1", "token", "hash")
    assert await store.knows("anna", ("another", message_id))
    assert not await store.knows("anna", ("another", "yet-another"))


async def test_ids_are_each_persons_own(store: Store) -> None:
    await say(store)
    assert not await store.knows("otto", ("m1",))


async def test_it_is_known_to_a_server_that_was_started_again(open_store: Opener) -> None:
    async with open_store() as store:
        await say(store, "m1", "token")
    async with open_store() as store:
        assert await store.knows("anna", ("token",))


async def test_it_is_known_for_a_week_and_no_longer(store: Store, clock: Clock) -> None:
    await say(store, "m1", "token")
    clock.now += 7 * DAY - 1
    assert await store.knows("anna", ("m1",))
    clock.now += 1
    assert not await store.knows("anna", ("m1", "token"))


async def test_what_was_used_a_week_ago_may_be_used_again_and_counts_a_week_again(store: Store, clock: Clock) -> None:
    await say(store, "m1", "token")
    clock.now += 7 * DAY - 1
    conversation_id = await begin(store)
    again = InboundMessage("anna", conversation_id, "m1", "hello", aliases=("token",))
    assert (await store.accept(again)).duplicate
    clock.now += 1
    new = InboundMessage("anna", conversation_id, "m1", "another", aliases=("token",))
    accepted = await store.accept(new)
    assert (accepted.conversation_id, accepted.offset, accepted.duplicate) == (conversation_id, 1, False)
    clock.now += 7 * DAY - 1
    assert (await store.accept(new)).duplicate
    assert await store.knows("anna", ("token",))


async def test_what_came_from_a_phone_is_known_also_when_its_conversation_was_deleted(
    open_store: Opener, clock: Clock
) -> None:
    async with open_store() as store:
        conversation_id = (await store.current("anna", "sms", "a")).id
        message = InboundMessage("anna", conversation_id, "m1", "hello", aliases=("token",))
        await store.accept(message)
        clock.now += 60
        await store.delete("anna", conversation_id)
    async with open_store() as store:
        for one in ("m1", "token"):
            assert await store.knows("anna", (one,))
        new = (await store.current("anna", "sms", "a")).id
        for text in ("hello", "another"):
            again = await store.accept(InboundMessage("anna", new, "m1", text))
            assert again == Accepted(conversation_id, "m1", 1, text, again.created_at, duplicate=True)
        again = await store.accept(InboundMessage("anna", new, "m2", "hello", aliases=("token",)))
        assert (again.message_id, again.duplicate) == ("m2", True)
        assert (await store.current("anna", "sms", "a")).offset == 0
        await store.delete("anna", new)
        clock.now += 7 * DAY - 120
        assert await store.knows("anna", ("m1",))


async def test_it_is_forgotten_with_its_conversation(store: Store) -> None:
    conversation_id = await say(store)
    await store.delete("anna", conversation_id)
    assert not await store.knows("anna", ("m1",))
