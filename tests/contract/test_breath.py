"""The ports Log and Leases, for people who say one thing in several messages."""

from __future__ import annotations

import asyncio
import random

import pytest

from server.errors import Conflict, LeaseLost, TooMany
from server.model import Accepted, Begun, Draft, InboundMessage, Lease, Reply, WhenBusy
from tests.contract.conftest import LEASE_SECONDS, MOST_WAITING, Clock, Opener, Store
from tests.contract.test_leases import take
from tests.contract.test_log import answer, begin

QUIET = 3.0
FINE = Draft("fine", "stop")
SORRY = Draft("sorry", "error", code="timeout")


async def text(
    store: Store, conversation_id: str, message_id: str, quiet: float = QUIET, when_busy: WhenBusy = "enqueue"
) -> Accepted:
    message = InboundMessage("anna", conversation_id, message_id, f"text of {message_id}", when_busy, quiet=quiet)
    return await store.accept(message)


async def texts(store: Store, *message_ids: str) -> str:
    conversation_id = await begin(store)
    for message_id in message_ids:
        await text(store, conversation_id, message_id)
    return conversation_id


async def due(store: Store, conversation_id: str) -> bool:
    """Whether the sweep finds it, and then it is lent; else neither."""
    found = list(await store.waiting(10)) == [conversation_id]
    if not found:
        assert await store.take(conversation_id, "worker") is None
    return found


def asked(lease: Lease | None) -> list[int]:
    assert lease is not None
    return [one.offset for one in lease.questions]


async def test_a_turn_begins_when_the_person_has_been_quiet(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1")
    clock.now += QUIET - 0.01
    assert not await due(store, conversation_id)
    clock.now += 0.01
    assert await due(store, conversation_id)
    lease = await take(store, conversation_id)
    assert (lease.question.message_id, lease.more, lease.tries) == ("m1", (), 1)


async def test_what_is_said_meanwhile_puts_it_off_and_is_answered_with_it(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1")
    for message_id in ("m2", "m3"):
        clock.now += QUIET - 1
        await text(store, conversation_id, message_id)
    clock.now += QUIET - 1
    assert not await due(store, conversation_id)
    clock.now += 1
    assert await due(store, conversation_id)
    lease = await take(store, conversation_id)
    assert [one.message_id for one in lease.questions] == ["m1", "m2", "m3"]
    assert lease.asked.text == "text of m1\ntext of m2\ntext of m3"
    page = await store.after(conversation_id, 0, 10)
    assert page.entries == lease.questions


async def test_a_message_joins_what_waits_for_the_same_turn(store: Store, clock: Clock) -> None:
    conversation_id = await begin(store)
    joins = [(await text(store, conversation_id, message_id)).joins for message_id in ("m1", "m2")]
    clock.now += QUIET
    lease = await take(store, conversation_id)
    joins += [(await text(store, conversation_id, message_id)).joins for message_id in ("m3", "m4", "m4")]
    assert joins == [False, True, False, True, False]
    settled = await store.answer(lease, FINE)
    assert settled.next is None
    assert (await text(store, conversation_id, "m5")).joins


async def test_what_is_answered_alone_joins_nothing(store: Store) -> None:
    conversation_id = await texts(store, "m1")
    assert not (await text(store, conversation_id, "m2", quiet=0)).joins
    assert not (await text(store, conversation_id, "m3")).joins
    assert not (await text(store, conversation_id, "m4", when_busy="interrupt")).joins


async def test_nobody_waits_for_ever_for_one_who_goes_on_and_on(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1")
    for number in range(2, 6):
        clock.now += QUIET - 0.01
        assert not await due(store, conversation_id)
        await text(store, conversation_id, f"m{number}")
    clock.now += 5 * QUIET - 4 * (QUIET - 0.01)
    assert await due(store, conversation_id)
    assert asked(await take(store, conversation_id)) == [1, 2, 3, 4, 5]


async def test_one_reply_answers_them_all(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1", "m2", "m3")
    clock.now += QUIET
    lease = await take(store, conversation_id)
    settled = await store.answer(lease, FINE)
    assert settled.next is None
    reply = settled.reply
    assert reply == Reply(4, 1, "m1", FINE, reply.created_at, ("m1", "m2", "m3"), 3)
    assert (await store.after(conversation_id, 3, 10)).entries == (reply,)
    assert (await store.find("anna", conversation_id)).answered == 3
    assert await store.answer(lease, Draft("another", "stop")) == settled
    clock.now += 100
    assert not await due(store, conversation_id)
    with pytest.raises(LeaseLost):
        await store.renew(lease)


async def test_a_question_that_is_answered_alone_has_a_reply_that_names_no_others(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1")
    clock.now += QUIET
    reply = (await store.answer(await take(store, conversation_id), FINE)).reply
    assert reply == Reply(2, 1, "m1", FINE, reply.created_at)
    assert (await store.after(conversation_id, 1, 10)).entries == (reply,)


async def test_what_is_said_during_a_turn_waits_for_the_next(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1", "m2")
    clock.now += QUIET
    lease = await take(store, conversation_id)
    await text(store, conversation_id, "m3")
    clock.now += 1
    await text(store, conversation_id, "m4")
    assert (await store.renew(lease)).more == lease.more
    settled = await store.answer(lease, FINE)
    assert (settled.reply.question, settled.reply.through, settled.next) == (1, 2, None)
    assert not await due(store, conversation_id)
    clock.now += QUIET - 0.5
    await text(store, conversation_id, "m5")
    clock.now += QUIET
    assert await due(store, conversation_id)
    second = await take(store, conversation_id)
    assert (asked(second), second.tries, second.attempt) == ([3, 4, 6], 1, lease.attempt + 1)
    reply = (await store.answer(second, FINE)).reply
    assert (reply.offset, reply.question, reply.through) == (7, 3, 6)


async def test_who_was_quiet_long_enough_during_a_turn_is_answered_at_once_after_it(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1")
    clock.now += QUIET
    first = await take(store, conversation_id)
    for message_id in ("m2", "m3"):
        await text(store, conversation_id, message_id)
    clock.now += QUIET
    settled = await store.answer(first, FINE)
    assert (asked(settled.next), await store.answer(first, FINE)) == ([2, 3], settled)
    assert settled.next is not None
    assert (settled.next.tries, settled.next.attempt) == (1, first.attempt)
    await text(store, conversation_id, "m4")
    await store.hand_back(settled.next)
    clock.now += QUIET
    again = await take(store, conversation_id)
    assert (asked(again), again.tries) == ([2, 3], 2)
    assert asked((await store.answer(again, FINE)).next) == [5]


@pytest.mark.parametrize("end", ["fail", "hand_back", "crash"])
async def test_every_attempt_has_the_questions_of_the_first(open_store: Opener, clock: Clock, end: str) -> None:
    async with open_store() as store:
        conversation_id = await texts(store, "m1", "m2")
        clock.now += QUIET
        first = await take(store, conversation_id)
        await store.note(first, Begun("run_1", "a@1"))
        await text(store, conversation_id, "m3")
        match end:
            case "fail":
                await store.fail(first, 1)
            case "hand_back":
                await store.hand_back(first)
    clock.now += LEASE_SECONDS + 1
    async with open_store() as store:
        await text(store, conversation_id, "m4")
        assert await due(store, conversation_id)
        again = await take(store, conversation_id)
        assert (again.questions, again.tries, again.steps) == (first.questions, 2, 1)
        assert asked((await store.answer(again, FINE)).next) == [3, 4]


async def test_a_message_does_not_bring_forward_the_next_try(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1")
    clock.now += QUIET
    await store.fail(await take(store, conversation_id), 3_600)
    await text(store, conversation_id, "m2")
    clock.now += 100
    assert not await due(store, conversation_id)
    clock.now += 3_600
    assert asked(await take(store, conversation_id)) == [1]


async def test_of_two_processes_one_gets_the_turn_and_what_comes_meanwhile_is_in_it_or_in_the_next(
    open_store: Opener, clock: Clock
) -> None:
    async with open_store() as store, open_store() as another:
        conversation_id = await texts(store, "m1", "m2")
        clock.now += QUIET
        takers = (each.take(conversation_id, "w") for _ in range(3) for each in (store, another))
        late, *found = await asyncio.gather(text(store, conversation_id, "m3"), *takers)
        assert isinstance(late, Accepted)
        turns = [asked(lease) for lease in found if isinstance(lease, Lease)]
        assert turns in ([], [[1, 2]])
        for lease in found:
            if isinstance(lease, Lease):
                assert (await another.answer(lease, FINE)).next is None
        clock.now += QUIET
        assert asked(await take(another, conversation_id)) == ([3] if turns else [1, 2, 3])


async def test_what_two_processes_accept_in_one_breath_is_one_turn(open_store: Opener, clock: Clock) -> None:
    async with open_store() as store, open_store() as another:
        conversation_id = await begin(store)
        sent = [text((store, another)[number % 2], conversation_id, f"m{number}") for number in range(MOST_WAITING)]
        accepted = await asyncio.gather(*sent)
        assert sorted(one.offset for one in accepted) == [1, 2, 3, 4, 5]
        assert not await due(another, conversation_id)
        clock.now += QUIET
        assert await due(store, conversation_id)
        assert asked(await take(another, conversation_id)) == [1, 2, 3, 4, 5]


async def test_copies_that_two_processes_accept_at_once_are_one(open_store: Opener) -> None:
    async with open_store() as store, open_store() as another:
        conversation_id = await begin(store)
        sent = [
            send(each, conversation_id, f"m{number}{place}", "a1")
            for number in range(3)
            for place, each in enumerate((store, another))
        ]
        accepted = await asyncio.gather(*sent)
        assert sorted(one.duplicate for one in accepted) == [False] + [True] * 5
        assert len({one.message_id for one in accepted}) == 1


async def test_what_waits_for_no_quiet_is_answered_alone_in_its_place(store: Store, clock: Clock) -> None:
    conversation_id = await begin(store)
    for message_id, quiet in (("m1", QUIET), ("m2", QUIET), ("m3", 0), ("m4", 0), ("m5", QUIET)):
        await text(store, conversation_id, message_id, quiet)
    clock.now += QUIET
    lease: Lease | None = await take(store, conversation_id)
    turns = []
    while lease is not None:
        turns.append(asked(lease))
        lease = (await store.answer(lease, FINE)).next
    assert turns == [[1, 2], [3], [4], [5]]


async def test_the_whole_turn_is_cancelled_with_one_of_its_questions(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1", "m2")
    clock.now += QUIET
    lease = await take(store, conversation_id)
    await text(store, conversation_id, "m3")
    await store.cancel("anna", conversation_id, "m2")
    assert (await store.renew(lease)).cancelled
    await store.hand_back(lease)
    again = await take(store, conversation_id)
    assert (asked(again), again.cancelled) == ([1, 2], True)
    await store.answer(again, Draft("", "cancelled"))
    clock.now += QUIET
    third = await take(store, conversation_id)
    assert (asked(third), third.cancelled) == ([3], False)


async def test_what_is_cancelled_waits_no_longer_and_takes_nothing_with_it_that_is_said_later(
    store: Store, clock: Clock
) -> None:
    conversation_id = await texts(store, "m1", "m2")
    await store.cancel("anna", conversation_id, None)
    assert await due(store, conversation_id)
    await text(store, conversation_id, "m3")
    assert await due(store, conversation_id)
    lease = await take(store, conversation_id)
    assert (asked(lease), lease.cancelled) == ([1, 2], True)
    assert (await store.answer(lease, Draft("", "cancelled"))).next is None
    assert not await due(store, conversation_id)
    clock.now += QUIET
    lease = await take(store, conversation_id)
    assert (asked(lease), lease.cancelled) == ([3], False)


async def test_what_is_cancelled_behind_a_breath_does_not_cut_that_short(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1")
    await text(store, conversation_id, "m2", quiet=0)
    await store.cancel("anna", conversation_id, "m2")
    assert await store.take(conversation_id, "worker") is None
    assert not await due(store, conversation_id)
    clock.now += QUIET
    assert await due(store, conversation_id)
    lease = await take(store, conversation_id)
    assert (asked(lease), lease.cancelled) == ([1], False)
    second = (await store.answer(lease, FINE)).next
    assert second is not None
    assert (asked(second), second.cancelled) == ([2], True)


async def test_a_message_that_interrupts_is_not_answered_with_those_that_it_cancels(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1", "m2")
    await text(store, conversation_id, "m3", when_busy="interrupt")
    assert await due(store, conversation_id)
    lease = await take(store, conversation_id)
    assert (asked(lease), lease.cancelled) == ([1, 2], True)
    assert (await store.answer(lease, Draft("", "cancelled"))).next is None
    clock.now += QUIET
    lease = await take(store, conversation_id)
    assert (asked(lease), lease.cancelled) == ([3], False)


async def test_a_letter_has_the_texts_of_all_and_is_asked_again_as_one(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1", "m2")
    clock.now += QUIET
    await answer(store, conversation_id, SORRY)
    letter = await store.dead_letter(conversation_id, 1)
    assert (letter.question.offset, letter.question.message_id) == (1, "m1")
    assert letter.question.text == "text of m1\ntext of m2"
    assert list(await store.dead_letters(10)) == [letter]
    accepted = await store.requeue(letter)
    assert (accepted.offset, accepted.text) == (4, letter.question.text)
    assert await store.dead_letters(10) == []
    lease = await take(store, conversation_id)
    assert (lease.question.text, lease.more) == (letter.question.text, ())


async def test_those_that_wait_for_quiet_count_as_waiting(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, *(f"m{number}" for number in range(MOST_WAITING)))
    with pytest.raises(TooMany):
        await text(store, conversation_id, "late")
    clock.now += QUIET
    await answer(store, conversation_id)
    assert (await text(store, conversation_id, "late")).offset == MOST_WAITING + 2


async def test_a_conversation_is_deleted_while_the_person_may_go_on_speaking(store: Store, clock: Clock) -> None:
    conversation_id = await texts(store, "m1", "m2")
    await store.delete("anna", conversation_id)
    clock.now += QUIET
    assert not await due(store, conversation_id)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_each_question_is_in_one_turn_and_turns_keep_the_order(
    store: Store, clock: Clock, seed: int
) -> None:
    chance = random.Random(seed)
    conversation_id = await begin(store)
    lease: Lease | None = None
    leased: dict[int, tuple[int, ...]] = {}
    turns: list[tuple[int, ...]] = []
    sent = 0
    for _ in range(40):
        clock.now += chance.choice([0, 0.5, QUIET / 2, QUIET, 4 * QUIET])
        match chance.choice(["say", "say", "say", "take", "take", "answer", "fail", "hand_back", "renew"]):
            case "say" if sent - sum(map(len, turns)) < MOST_WAITING:
                sent += 1
                await text(store, conversation_id, f"m{sent}", chance.choice([0, QUIET, QUIET, QUIET]))
            case "take" if lease is None:
                lease = await store.take(conversation_id, "worker")
            case "answer" if lease is not None:
                turns.append(tuple(asked(lease)))
                lease = (await store.answer(lease, FINE)).next
            case "fail" if lease is not None:
                await store.fail(lease, chance.choice([0, QUIET]))
                lease = None
            case "hand_back" if lease is not None:
                await store.hand_back(lease)
                lease = None
            case "renew" if lease is not None:
                lease = await store.renew(lease)
        if lease is not None:
            assert leased.setdefault(lease.question.offset, tuple(asked(lease))) == tuple(asked(lease))
            lease = await store.renew(lease)
    for _ in range(2 * MOST_WAITING):
        clock.now += 5 * QUIET + LEASE_SECONDS
        lease = lease or await store.take(conversation_id, "worker")
        if lease is not None:
            turns.append(tuple(asked(lease)))
            lease = (await store.answer(lease, FINE)).next
    entries = (await store.before(conversation_id, None, 1_000)).entries
    while entries[0].offset > 1:
        entries = ((await store.before(conversation_id, entries[0].offset, 1_000)).entries) + entries
    questions = [entry.offset for entry in entries if not isinstance(entry, Reply)]
    assert [offset for turn in turns for offset in turn] == questions
    assert [(entry.question, entry.last) for entry in entries if isinstance(entry, Reply)] == [
        (turn[0], turn[-1]) for turn in turns
    ]


# --- ids under which a message comes again ------------------------------------------------------------------------


async def send(store: Store, conversation_id: str, message_id: str, *aliases: str, text: str = "hello") -> Accepted:
    return await store.accept(InboundMessage("anna", conversation_id, message_id, text, aliases=aliases))


async def test_a_message_that_comes_again_under_any_of_its_ids_is_accepted_once(store: Store) -> None:
    conversation_id = await begin(store)
    first = await send(store, conversation_id, "m1", "a1", "a2")
    assert not first.duplicate
    for again in (
        await send(store, conversation_id, "m1"),
        await send(store, conversation_id, "m2", "a2"),
        await send(store, conversation_id, "m3", "m1"),
        await send(store, conversation_id, "a1"),
        await send(store, conversation_id, "m4", "b1", "a1", "a2"),
    ):
        assert again == Accepted(conversation_id, "m1", 1, "hello", first.created_at, duplicate=True)
    assert (await send(store, conversation_id, "m2", "b1")).offset == 2


async def test_under_another_id_the_text_may_differ_and_under_its_own_it_may_not(store: Store) -> None:
    conversation_id = await begin(store)
    first = await send(store, conversation_id, "m1", "a1")
    again = await send(store, conversation_id, "m2", "a1", text="hello again")
    assert (again.message_id, again.text, again.offset, again.duplicate) == ("m1", "hello", 1, True)
    assert (await send(store, conversation_id, "a1", text="hello again")).offset == first.offset
    with pytest.raises(Conflict):
        await send(store, conversation_id, "m1", "a1", text="hello again")


async def test_copies_under_one_alias_at_once_are_accepted_once(store: Store) -> None:
    conversation_id = await begin(store)
    accepted = await asyncio.gather(*(send(store, conversation_id, f"m{number}", "a1") for number in range(6)))
    assert sorted(one.duplicate for one in accepted) == [False] + [True] * 5
    assert len({one.message_id for one in accepted}) == 1
    assert len((await store.after(conversation_id, 0, 10)).entries) == 1


async def test_a_copy_is_known_in_another_conversation_too_until_the_first_one_is_deleted(store: Store) -> None:
    first, second = await begin(store), await begin(store)
    await send(store, first, "m1", "a1")
    again = await send(store, second, "m2", "a1")
    assert (again.conversation_id, again.duplicate) == (first, True)
    await store.delete("anna", first)
    assert not (await send(store, second, "m2", "a1")).duplicate


async def test_a_message_that_is_refused_uses_none_of_its_ids(store: Store) -> None:
    conversation_id = await begin(store)
    for number in range(MOST_WAITING):
        await send(store, conversation_id, f"m{number}")
    with pytest.raises(TooMany):
        await send(store, conversation_id, "late", "a1")
    await answer(store, conversation_id)
    assert not (await send(store, conversation_id, "later", "a1")).duplicate


async def test_aliases_are_remembered_for_seven_days_and_after_opening_again(open_store: Opener, clock: Clock) -> None:
    async with open_store() as before:
        conversation_id = await begin(before)
        await send(before, conversation_id, "m1", "a1")
    clock.now += 7 * 86_400 - 1
    async with open_store() as after:
        assert (await send(after, conversation_id, "m2", "a1")).duplicate


# --- pictures -----------------------------------------------------------------------------------------------------


async def test_the_pictures_of_a_reply_are_kept_with_it_in_their_order(store: Store) -> None:
    conversation_id = await begin(store)
    await send(store, conversation_id, "m1")
    draft = Draft("Look:", "stop", images=("images/b.png", "images/a-ü.png"))
    settled = await store.answer(await take(store, conversation_id), draft)
    assert settled.reply.draft == draft
    assert (await store.after(conversation_id, 1, 10)).entries == (settled.reply,)
