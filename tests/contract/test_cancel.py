"""Cancelling: a durable mark on a question, which its turn sees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.errors import NotFound, TooMany
from server.model import Accepted, Draft, InboundMessage, WhenBusy
from tests.contract.conftest import Clock, Opener, Store
from tests.contract.test_leases import asked, take
from tests.contract.test_log import begin, say

CANCELLED = Draft("so far", "cancelled")


async def send(store: Store, conversation_id: str, message_id: str, when_busy: WhenBusy) -> Accepted:
    return await store.accept(InboundMessage("anna", conversation_id, message_id, "hello", when_busy))


async def test_the_oldest_question_is_cancelled_if_none_is_named(store: Store) -> None:
    conversation_id = await asked(store, "m1", "m2")
    await store.cancel("anna", conversation_id, None)
    first = await take(store, conversation_id)
    assert first.cancelled
    settled = await store.answer(first, CANCELLED)
    assert settled.next is not None
    assert not settled.next.cancelled


async def test_a_question_that_waits_behind_others_is_cancelled_in_its_place(store: Store) -> None:
    conversation_id = await asked(store, "m1", "m2", "m3")
    await store.cancel("anna", conversation_id, "m2")
    first = await take(store, conversation_id)
    assert not first.cancelled
    second = (await store.answer(first, CANCELLED)).next
    assert second is not None
    assert (second.question.message_id, second.cancelled) == ("m2", True)


async def test_the_worker_on_it_sees_the_mark_when_it_renews(store: Store) -> None:
    conversation_id = await asked(store, "m1", "m2")
    lease = await take(store, conversation_id)
    assert await store.renew(lease) == lease
    await store.cancel("anna", conversation_id, "m2")
    assert await store.renew(lease) == lease
    await store.cancel("anna", conversation_id, "m1")
    assert await store.renew(lease) == replace(lease, cancelled=True)


async def test_a_cancelled_question_does_not_wait_for_its_next_try(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    await store.fail(await take(store, conversation_id), 3_600)
    await store.cancel("anna", conversation_id, None)
    assert list(await store.waiting(10)) == [conversation_id]
    assert (await take(store, conversation_id)).cancelled


async def test_what_does_not_wait_cannot_be_cancelled(store: Store) -> None:
    conversation_id = await begin(store)
    with pytest.raises(NotFound) as refused:
        await store.cancel("anna", conversation_id, None)
    assert refused.value.code == "nothing_to_cancel"
    await say(store, conversation_id, "m1")
    await store.answer(await take(store, conversation_id), CANCELLED)
    await say(store, conversation_id, "m2")
    for message_id in ("m1", "m7"):
        with pytest.raises(NotFound):
            await store.cancel("anna", conversation_id, message_id)
    assert not (await take(store, conversation_id)).cancelled


async def test_nobody_cancels_for_another(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    with pytest.raises(NotFound) as refused:
        await store.cancel("ben", conversation_id, None)
    assert refused.value.code == "unknown_conversation"
    assert not (await take(store, conversation_id)).cancelled


async def test_a_mark_outlives_the_process_that_made_it(open_store: Opener) -> None:
    async with open_store() as before:
        conversation_id = await asked(before, "m1")
        await before.cancel("anna", conversation_id, None)
    async with open_store() as after:
        assert (await take(after, conversation_id)).cancelled


async def test_a_message_that_interrupts_cancels_all_that_wait(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1", "m2")
    lease = await take(store, conversation_id)
    accepted = await send(store, conversation_id, "m3", "interrupt")
    assert accepted.offset == 3
    assert (await store.renew(lease)).cancelled
    second = (await store.answer(lease, CANCELLED)).next
    assert second is not None
    assert second.cancelled
    third = (await store.answer(second, CANCELLED)).next
    assert third is not None
    assert (third.question.message_id, third.cancelled) == ("m3", False)


async def test_a_message_that_interrupts_nothing_is_like_any_other(store: Store) -> None:
    conversation_id = await begin(store)
    await send(store, conversation_id, "m1", "interrupt")
    assert not (await take(store, conversation_id)).cancelled


async def test_a_message_that_is_not_to_wait_comes_in_only_when_nothing_does(store: Store) -> None:
    conversation_id = await begin(store)
    await send(store, conversation_id, "m1", "reject")
    with pytest.raises(TooMany) as refused:
        await send(store, conversation_id, "m2", "reject")
    assert refused.value.code == "busy"
    assert (await send(store, conversation_id, "m1", "reject")).duplicate
    await store.answer(await take(store, conversation_id), CANCELLED)
    assert (await send(store, conversation_id, "m2", "reject")).offset == 3
