"""The port Leases."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import LeaseLost
from server.model import Draft, Lease, Reply
from tests.contract.conftest import LEASE_SECONDS, Clock, Opener, Store
from tests.contract.test_log import begin, offsets, say

FINE = Draft("fine", "stop")


async def asked(store: Store, *message_ids: str) -> str:
    conversation_id = await begin(store)
    for message_id in message_ids:
        await say(store, conversation_id, message_id)
    return conversation_id


async def take(store: Store, conversation_id: str) -> Lease:
    lease = await store.take(conversation_id, "worker")
    assert lease is not None
    return lease


async def test_a_lease_is_for_the_oldest_question(store: Store) -> None:
    conversation_id = await asked(store, "m1", "m2")
    lease = await take(store, conversation_id)
    assert lease.question.message_id == "m1"
    assert (lease.person, lease.attempt, lease.tries, lease.failures) == ("anna", 1, 1, 0)


async def test_nothing_is_leased_where_nothing_waits(store: Store) -> None:
    assert await store.take(await begin(store), "worker") is None
    assert await store.take("c_nothing", "worker") is None


async def test_one_lease_of_a_conversation_holds_at_a_time(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    leases = await asyncio.gather(*(store.take(conversation_id, f"worker{number}") for number in range(8)))
    assert sum(lease is not None for lease in leases) == 1


async def test_conversations_are_leased_side_by_side(store: Store) -> None:
    first, second = await asked(store, "m1"), await asked(store, "m2")
    assert (await take(store, first)).question.message_id == "m1"
    assert (await take(store, second)).question.message_id == "m2"


async def test_an_answer_is_logged_and_the_lease_goes_on_to_the_next_question(store: Store) -> None:
    conversation_id = await asked(store, "m1", "m2")
    first = await take(store, conversation_id)
    settled = await store.answer(first, FINE)
    assert (settled.reply.offset, settled.reply.question, settled.reply.message_id) == (3, 1, "m1")
    assert settled.next is not None
    assert settled.next.question.message_id == "m2"
    assert (settled.next.attempt, settled.next.tries) == (first.attempt, 1)
    last = await store.answer(settled.next, FINE)
    assert (last.reply.offset, last.next) == (4, None)
    assert await store.take(conversation_id, "worker") is None
    assert (await store.find("anna", conversation_id)).answered == 2


async def test_a_question_that_comes_during_a_turn_is_next(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    lease = await take(store, conversation_id)
    await say(store, conversation_id, "m2")
    settled = await store.answer(lease, FINE)
    assert settled.next is not None
    assert settled.next.question.offset == 2


async def test_an_answer_is_given_once_however_often_it_is_asked_for(store: Store) -> None:
    conversation_id = await asked(store, "m1", "m2")
    lease = await take(store, conversation_id)
    settled = await store.answer(lease, FINE)
    assert await store.answer(lease, Draft("another", "stop")) == settled
    assert offsets(await store.after(conversation_id, 0, 10)) == [1, 2, 3]


async def test_a_lease_that_ran_out_is_given_to_another(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1")
    first = await take(store, conversation_id)
    clock.now += LEASE_SECONDS - 1
    assert await store.take(conversation_id, "other") is None
    clock.now += 2
    assert list(await store.waiting(10)) == [conversation_id]
    second = await take(store, conversation_id)
    assert (second.attempt, second.tries, second.failures) == (first.attempt + 1, 2, 0)


async def test_a_renewed_lease_holds_longer(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1")
    lease = await take(store, conversation_id)
    clock.now += LEASE_SECONDS - 1
    await store.renew(lease)
    clock.now += LEASE_SECONDS - 1
    assert await store.take(conversation_id, "other") is None


async def test_a_lower_attempt_can_do_nothing(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1")
    old = await take(store, conversation_id)
    clock.now += LEASE_SECONDS + 1
    new = await take(store, conversation_id)
    for write in (
        store.renew(old),
        store.answer(old, Draft("from the grave", "stop")),
        store.fail(old, 1),
        store.hand_back(old),
    ):
        with pytest.raises(LeaseLost):
            await write
    assert (await store.answer(new, FINE)).reply.draft == FINE
    assert offsets(await store.after(conversation_id, 0, 10)) == [1, 2]


async def test_a_lease_that_was_let_go_can_do_nothing(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    lease = await take(store, conversation_id)
    await store.hand_back(lease)
    for write in (store.renew(lease), store.answer(lease, FINE), store.fail(lease, 1), store.hand_back(lease)):
        with pytest.raises(LeaseLost):
            await write
    assert list(await store.waiting(10)) == [conversation_id]


async def test_after_the_answer_the_lease_on_its_question_is_over(store: Store) -> None:
    conversation_id = await asked(store, "m1", "m2")
    lease = await take(store, conversation_id)
    await store.answer(lease, FINE)
    for write in (store.fail(lease, 1), store.hand_back(lease)):
        with pytest.raises(LeaseLost):
            await write


async def test_a_failed_question_keeps_its_place_and_waits_its_time(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1", "m2")
    await store.fail(await take(store, conversation_id), 2)
    assert await store.take(conversation_id, "worker") is None
    assert list(await store.waiting(10)) == []
    clock.now += 2
    assert list(await store.waiting(10)) == [conversation_id]
    lease = await take(store, conversation_id)
    assert (lease.question.message_id, lease.tries, lease.failures) == ("m1", 2, 1)


async def test_a_hand_back_is_a_try_but_no_failure(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    await store.hand_back(await take(store, conversation_id))
    lease = await take(store, conversation_id)
    assert (lease.tries, lease.failures) == (2, 0)


async def test_the_next_question_begins_with_a_clean_slate(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1", "m2")
    await store.fail(await take(store, conversation_id), 1)
    clock.now += 1
    settled = await store.answer(await take(store, conversation_id), FINE)
    assert settled.next is not None
    assert (settled.next.tries, settled.next.failures) == (1, 0)
    await store.hand_back(settled.next)
    again = await take(store, conversation_id)
    assert (again.question.message_id, again.tries, again.failures) == ("m2", 2, 0)


async def test_an_error_is_an_entry_like_any_other(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    draft = Draft("It did not work.", "error", code="provider_busy", retryable=True)
    settled = await store.answer(await take(store, conversation_id), draft)
    [_, entry] = (await store.after(conversation_id, 0, 10)).entries
    assert entry == settled.reply == Reply(2, 1, "m1", draft, entry.created_at)


async def test_a_lease_outlives_the_process_that_took_it(open_store: Opener) -> None:
    async with open_store() as before:
        conversation_id = await asked(before, "m1")
        await take(before, conversation_id)
    async with open_store() as after:
        assert await after.take(conversation_id, "other") is None
