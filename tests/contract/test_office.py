"""The ports SignOuts and DeadLetters."""

from __future__ import annotations

import pytest

from server.errors import NotFound
from server.model import DeadLetter, Draft, Question, SignOut
from tests.contract.conftest import Clock, Opener, Store
from tests.contract.test_leases import asked, take
from tests.contract.test_log import answer, say

SORRY = Draft("sorry", "error", code="timeout")


async def test_a_sign_out_is_told_to_those_who_ask_from_before_it(store: Store, clock: Clock) -> None:
    before = int(clock.now * 1000) - 1
    await store.sign_out("anna")
    at = int(clock.now * 1000)
    assert list(await store.signed_out_since(before)) == [SignOut("anna", at)]
    assert list(await store.signed_out_since(at)) == []


async def test_a_person_signed_out_again_is_told_once_with_the_later_time(store: Store, clock: Clock) -> None:
    await store.sign_out("anna")
    clock.now += 5
    await store.sign_out("anna")
    assert list(await store.signed_out_since(0)) == [SignOut("anna", int(clock.now * 1000))]


async def test_errors_become_dead_letters_the_newest_first(store: Store, clock: Clock) -> None:
    conversation_id = await asked(store, "m1", "m2", "m3")
    for draft in (SORRY, Draft("fine", "stop"), SORRY):
        await answer(store, conversation_id, draft)
        clock.now += 1
    letters = await store.dead_letters(10)
    assert [letter.question.message_id for letter in letters] == ["m3", "m1"]
    assert letters[1] == DeadLetter(
        conversation_id, "anna", Question(1, "m1", "hello", 1_790_000_000_000), "timeout", 1, 1_790_000_000_000
    )
    assert await store.dead_letter(conversation_id, 1) == letters[1]
    assert len(await store.dead_letters(1)) == 1


async def test_there_is_no_letter_of_what_went_well(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    await answer(store, conversation_id)
    with pytest.raises(NotFound):
        await store.dead_letter(conversation_id, 1)


async def test_a_requeued_letter_is_asked_once_more_at_the_end_of_its_conversation(store: Store) -> None:
    conversation_id = await asked(store, "m1")
    await answer(store, conversation_id, SORRY)
    await say(store, conversation_id, "m2")
    letter = await store.dead_letter(conversation_id, 1)
    accepted = await store.requeue(letter)
    assert (accepted.offset, accepted.text, accepted.duplicate) == (4, "hello", False)
    assert await store.dead_letters(10) == []
    assert (await store.requeue(letter)).duplicate
    await answer(store, conversation_id)
    assert (await take(store, conversation_id)).question.offset == 4


async def test_letters_and_sign_outs_outlive_the_process(open_store: Opener) -> None:
    async with open_store() as before:
        conversation_id = await asked(before, "m1")
        await answer(before, conversation_id, SORRY)
        await before.sign_out("anna")
    async with open_store() as after:
        assert len(await after.dead_letters(10)) == 1
        assert len(await after.signed_out_since(0)) == 1
