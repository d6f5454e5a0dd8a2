"""The port Log."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import Conflict, NotFound, TooMany
from server.model import INTERRUPTS, Accepted, Draft, InboundMessage, Page, Question, Reply, Usage, WhenBusy
from tests.contract.conftest import MOST_WAITING, PAGE_BYTES, Clock, Opener, Store

DAY = 86_400


async def begin(store: Store, person: str = "anna") -> str:
    return (await store.create(person, "websocket", "a")).id


async def say(
    store: Store, conversation_id: str, message_id: str, text: str = "hello", person: str = "anna"
) -> Accepted:
    return await store.accept(InboundMessage(person, conversation_id, message_id, text))


async def answer(store: Store, conversation_id: str, draft: Draft | None = None) -> Reply:
    lease = await store.take(conversation_id, "worker")
    assert lease is not None
    settled = await store.answer(lease, draft or Draft("fine", "stop"))
    if settled.next is not None:
        await store.hand_back(settled.next)
    return settled.reply


def offsets(page: Page) -> list[int]:
    return [entry.offset for entry in page.entries]


async def test_messages_get_offsets_from_one_without_gaps(store: Store) -> None:
    conversation_id = await begin(store)
    accepted = [await say(store, conversation_id, f"m{number}") for number in range(3)]
    assert [one.offset for one in accepted] == [1, 2, 3]
    assert (await store.find("anna", conversation_id)).offset == 3


async def test_messages_sent_at_once_are_accepted_in_the_order_of_the_calls(store: Store) -> None:
    one, other = await begin(store), await begin(store)
    sent = [say(store, (one, other)[number % 2], f"m{number}") for number in range(10)]
    accepted = await asyncio.gather(*sent)
    assert [each.offset for each in accepted] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


async def test_the_same_message_id_is_accepted_once(store: Store) -> None:
    conversation_id = await begin(store)
    first = await say(store, conversation_id, "m1", "hello")
    again = await say(store, conversation_id, "m1", "hello")
    assert not first.duplicate
    assert again == Accepted(conversation_id, "m1", first.offset, "hello", first.created_at, duplicate=True)
    assert len((await store.after(conversation_id, 0, 10)).entries) == 1


async def test_the_same_message_id_at_once_is_accepted_once(store: Store) -> None:
    conversation_id = await begin(store)
    accepted = await asyncio.gather(*(say(store, conversation_id, "m1") for _ in range(8)))
    assert sorted(one.duplicate for one in accepted) == [False] + [True] * 7
    assert {one.offset for one in accepted} == {1}


async def test_a_duplicate_is_known_in_whichever_conversation_it_comes(store: Store) -> None:
    first, second = await begin(store), await begin(store)
    await say(store, first, "m1")
    again = await say(store, second, "m1")
    assert (again.conversation_id, again.duplicate) == (first, True)


async def test_the_same_message_id_with_another_text_is_a_conflict(store: Store) -> None:
    conversation_id = await begin(store)
    await say(store, conversation_id, "m1", "hello")
    with pytest.raises(Conflict) as refused:
        await say(store, conversation_id, "m1", "hello!")
    assert refused.value.code == "id_conflict"
    assert offsets(await store.after(conversation_id, 0, 10)) == [1]


async def test_message_ids_differ_by_case_and_belong_to_a_person(store: Store) -> None:
    mine, theirs = await begin(store), await begin(store, "ben")
    accepted = [
        await say(store, mine, "m1"),
        await say(store, mine, "M1"),
        await say(store, theirs, "m1", person="ben"),
    ]
    assert [one.duplicate for one in accepted] == [False, False, False]


async def test_a_message_id_is_remembered_for_seven_days(store: Store, clock: Clock) -> None:
    conversation_id = await begin(store)
    await say(store, conversation_id, "m1")
    clock.now += 7 * DAY - 1
    assert (await say(store, conversation_id, "m1")).duplicate


async def test_another_persons_conversation_is_not_found(store: Store) -> None:
    conversation_id = await begin(store)
    with pytest.raises(NotFound):
        await say(store, conversation_id, "m1", person="ben")
    with pytest.raises(NotFound):
        await say(store, "c_nothing", "m1")
    assert not (await say(store, conversation_id, "m1")).duplicate


async def test_a_refusal_among_messages_at_once_harms_no_other(store: Store) -> None:
    conversation_id = await begin(store)
    results = await asyncio.gather(
        say(store, conversation_id, "m1"),
        say(store, "c_nothing", "m2"),
        say(store, conversation_id, "m3"),
        return_exceptions=True,
    )
    assert isinstance(results[1], NotFound)
    assert offsets(await store.after(conversation_id, 0, 10)) == [1, 2]


async def test_only_so_many_messages_may_wait(store: Store) -> None:
    conversation_id = await begin(store)
    for number in range(MOST_WAITING):
        await say(store, conversation_id, f"m{number}")
    with pytest.raises(TooMany) as refused:
        await say(store, conversation_id, "late")
    assert refused.value.code == "too_many_waiting"
    assert (await say(store, conversation_id, "m0")).duplicate
    await answer(store, conversation_id)
    assert (await say(store, conversation_id, "late")).offset == MOST_WAITING + 2


async def test_what_interrupts_finds_room_a_few_times_more(store: Store) -> None:
    conversation_id = await begin(store)
    for number in range(MOST_WAITING):
        await say(store, conversation_id, f"m{number}")
    for number in range(INTERRUPTS):
        await store.accept(InboundMessage("anna", conversation_id, f"stop{number}", "stop", "interrupt"))
    manners: tuple[WhenBusy, ...] = ("enqueue", "interrupt")
    for when_busy in manners:
        with pytest.raises(TooMany) as refused:
            await store.accept(InboundMessage("anna", conversation_id, "late", "late", when_busy))
        assert refused.value.code == "too_many_waiting"
    for number in range(MOST_WAITING + INTERRUPTS):
        lease = await store.take(conversation_id, "worker")
        assert lease is not None
        assert lease.cancelled == (number < MOST_WAITING + INTERRUPTS - 1)
        await store.hand_back(lease)
        await answer(store, conversation_id)


async def test_the_log_is_read_back_as_it_was_written(store: Store, clock: Clock) -> None:
    conversation_id = await begin(store)
    text = 'Grüße 👩‍👩‍👧 "quoted" \\ \n\t ﷽ ' + "x" * 100
    await say(store, conversation_id, "m1", text)
    clock.now += 1.5
    draft = Draft(text[::-1], "length", Usage(12, 34))
    await answer(store, conversation_id, draft)
    asked_at = 1_790_000_000_000
    assert (await store.after(conversation_id, 0, 10)).entries == (
        Question(1, "m1", text, asked_at),
        Reply(2, 1, "m1", draft, asked_at + 1_500),
    )


async def test_pages_follow_each_other_in_both_directions(store: Store) -> None:
    conversation_id = await begin(store)
    for number in range(5):
        await say(store, conversation_id, f"m{number}")
    assert offsets(await store.after(conversation_id, 0, 2)) == [1, 2]
    assert offsets(await store.after(conversation_id, 2, 2)) == [3, 4]
    assert offsets(await store.before(conversation_id, None, 2)) == [4, 5]
    assert offsets(await store.before(conversation_id, 4, 2)) == [2, 3]
    assert (await store.after(conversation_id, 2, 2)).more
    assert not (await store.after(conversation_id, 3, 2)).more
    assert not (await store.before(conversation_id, 3, 2)).more
    assert (await store.after(conversation_id, 5, 2)).entries == ()


async def test_a_page_ends_early_when_its_entries_are_large(store: Store) -> None:
    conversation_id = await begin(store)
    for number in range(4):
        await say(store, conversation_id, f"m{number}", "ä" * (PAGE_BYTES // 5))
    page = await store.after(conversation_id, 0, 10)
    assert (offsets(page), page.more) == ([1, 2], True)
    page = await store.before(conversation_id, None, 10)
    assert (offsets(page), page.more) == ([3, 4], True)


async def test_an_entry_larger_than_a_page_is_a_page_of_its_own(store: Store) -> None:
    conversation_id = await begin(store)
    for number in range(2):
        await say(store, conversation_id, f"m{number}", "x" * (PAGE_BYTES * 3))
    assert offsets(await store.after(conversation_id, 0, 10)) == [1]


async def test_waiting_names_conversations_with_a_question_and_no_worker(store: Store) -> None:
    asked, leased, answered = [await begin(store) for _ in range(3)]
    await begin(store)
    for number, conversation_id in enumerate((asked, leased, answered)):
        await say(store, conversation_id, f"m{number}")
    assert await store.take(leased, "worker") is not None
    await answer(store, answered)
    assert list(await store.waiting(10)) == [asked]


async def test_waiting_names_no_more_than_asked(store: Store) -> None:
    for number in range(3):
        await say(store, await begin(store), f"m{number}")
    assert len(await store.waiting(2)) == 2


async def test_what_was_accepted_is_there_after_opening_again(open_store: Opener) -> None:
    async with open_store() as before:
        conversation_id = await begin(before)
        await say(before, conversation_id, "m1")
    async with open_store() as after:
        assert offsets(await after.after(conversation_id, 0, 10)) == [1]
        assert list(await after.waiting(10)) == [conversation_id]
        assert (await say(after, conversation_id, "m1")).duplicate
