"""The port Outbox, and how replies get into it."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import LeaseLost
from server.model import Draft, Outgoing, Part, Reply, person_of
from tests.contract.conftest import LEASE_SECONDS, MOST_UNSENT, Clock, Opener, Store
from tests.contract.test_log import say

ANNA = person_of("+4915112345678")
FINE = Draft("fine", "stop")


async def begin(store: Store) -> str:
    return (await store.create(ANNA, "sms", "a")).id


async def answer(store: Store, conversation_id: str, draft: Draft = FINE, *, post: bool = True) -> Reply:
    lease = await store.take(conversation_id, "worker")
    assert lease is not None
    settled = await store.answer(lease, draft, post=post)
    assert settled.next is None
    return settled.reply


async def posted(store: Store, *texts: str) -> str:
    """A conversation with these replies to send."""
    conversation_id = await begin(store)
    for number, text in enumerate(texts):
        await say(store, conversation_id, f"{conversation_id}-{number}", person=ANNA)
        await answer(store, conversation_id, Draft(text, "stop"))
    return conversation_id


async def take(store: Store, conversation_id: str, sender: str = "sender") -> Outgoing:
    outgoing = await store.take_outgoing(conversation_id, sender)
    assert outgoing is not None
    return outgoing


async def is_lost(store: Store, outgoing: Outgoing) -> bool:
    part = Part(0, "failed", 1)
    for write in (store.note_part(outgoing, part), store.postpone(outgoing, 0), store.sent(outgoing)):
        with pytest.raises(LeaseLost):
            await write
    return True


async def test_a_posted_reply_is_taken_as_it_was_logged(store: Store, clock: Clock) -> None:
    conversation_id = await begin(store)
    asked = await say(store, conversation_id, "m1", person=ANNA)
    clock.now += 3
    reply = await answer(store, conversation_id, Draft("é😀", "stop", images=("k1", "k2")))
    [_, logged] = (await store.after(conversation_id, 0, 10)).entries
    assert isinstance(logged, Reply)
    assert list(await store.unsent(10)) == [conversation_id]
    outgoing = await take(store, conversation_id)
    assert (outgoing.conversation_id, outgoing.person, outgoing.channel) == (conversation_id, ANNA, "sms")
    assert (outgoing.offset, outgoing.text, outgoing.images) == (reply.offset, "é😀", logged.draft.images)
    assert (outgoing.asked_at, outgoing.tries, outgoing.parts) == (asked.created_at, 1, ())


async def test_only_what_is_posted_and_says_something_is_to_be_sent(store: Store) -> None:
    conversation_id = await begin(store)
    for number, (text, images, post) in enumerate(
        [("fine", (), False), ("", (), True), ("", ("k1",), True), ("sorry", (), True)], start=1
    ):
        await say(store, conversation_id, f"m{number}", person=ANNA)
        await answer(store, conversation_id, Draft(text, "stop", images=images), post=post)
    outgoing = await take(store, conversation_id)
    assert (outgoing.offset, outgoing.text) == (6, "")
    following = await store.sent(outgoing)
    assert following is not None
    assert (following.offset, following.text) == (8, "sorry")
    assert await store.sent(following) is None


async def test_an_error_is_sent_like_any_other_reply(store: Store) -> None:
    conversation_id = await begin(store)
    await say(store, conversation_id, "m1", person=ANNA)
    await answer(store, conversation_id, Draft("It did not work.", "error", code="internal"))
    assert (await take(store, conversation_id)).text == "It did not work."


async def test_a_reply_is_posted_once_however_often_it_is_stored(store: Store) -> None:
    conversation_id = await begin(store)
    await say(store, conversation_id, "m1", person=ANNA)
    lease = await store.take(conversation_id, "worker")
    assert lease is not None
    for _ in range(3):
        await store.answer(lease, FINE, post=True)
    assert await store.sent(await take(store, conversation_id)) is None


async def test_a_reply_that_was_not_stored_is_not_posted(store: Store, clock: Clock) -> None:
    conversation_id = await begin(store)
    await say(store, conversation_id, "m1", person=ANNA)
    old = await store.take(conversation_id, "worker")
    assert old is not None
    clock.now += LEASE_SECONDS + 1
    assert await store.take(conversation_id, "other") is not None
    with pytest.raises(LeaseLost):
        await store.answer(old, FINE, post=True)
    assert list(await store.unsent(10)) == []
    assert await store.take_outgoing(conversation_id, "sender") is None


async def test_a_reply_for_which_there_is_no_room_is_kept_as_one_that_was_not_sent(store: Store) -> None:
    texts = [f"reply {number}" for number in range(MOST_UNSENT)]
    conversation_id = await posted(store, *texts)
    await say(store, conversation_id, "m1", person=ANNA)
    lease = await store.take(conversation_id, "worker")
    assert lease is not None
    settled = await store.answer(lease, Draft("too many", "stop"), post=True)
    assert (settled.reply.draft.text, settled.next, settled.unposted) == ("too many", None, True)
    known = [Part(0, "failed", settled.reply.created_at, None, "outbox_full")]
    assert list(await store.parts_of(conversation_id, settled.reply.offset)) == known
    assert (await store.answer(lease, FINE, post=True)).reply == settled.reply
    following = await store.sent(await take(store, conversation_id))
    assert following is not None
    await say(store, conversation_id, "m2", person=ANNA)
    assert (await answer(store, conversation_id, Draft("room again", "stop"))).draft.code is None
    sent = []
    while following is not None:
        sent.append(following.text)
        following = await store.sent(following)
    assert sent == [*texts[1:], "room again"]


async def test_nothing_is_taken_where_nothing_is_to_be_sent(store: Store) -> None:
    assert await store.take_outgoing(await begin(store), "sender") is None
    assert await store.take_outgoing("c_nothing", "sender") is None
    assert list(await store.unsent(10)) == []


async def test_of_two_senders_one_takes_it(store: Store) -> None:
    conversation_id = await posted(store, "one", "two")
    taken = await asyncio.gather(*(store.take_outgoing(conversation_id, f"s{number}") for number in range(8)))
    [outgoing] = [one for one in taken if one is not None]
    assert outgoing.text == "one"
    assert list(await store.unsent(10)) == []


async def test_of_two_processes_one_takes_each_reply_while_others_come(open_store: Opener) -> None:
    async with open_store() as one, open_store() as other:
        conversations = [await posted(one, "one") for _ in range(3)]
        takes = [(store, conversation_id) for conversation_id in conversations for store in (one, other)]
        answering = asyncio.gather(*(later(one, conversation_id) for conversation_id in conversations))
        taken = await asyncio.gather(*(store.take_outgoing(conversation_id, "s") for store, conversation_id in takes))
        await answering
        for first, second in zip(taken[::2], taken[1::2], strict=True):
            [outgoing] = [each for each in (first, second) if each is not None]
            following = await other.sent(outgoing)
            assert following is not None
            assert (outgoing.text, following.text) == ("one", "two")


async def later(store: Store, conversation_id: str) -> None:
    await say(store, conversation_id, f"{conversation_id}-later", person=ANNA)
    await answer(store, conversation_id, Draft("two", "stop"))


async def test_replies_of_a_conversation_are_sent_in_the_order_of_its_log(store: Store) -> None:
    conversation_id = await posted(store, "one", "two", "three")
    outgoing: Outgoing | None = await take(store, conversation_id)
    sent = []
    while outgoing is not None:
        assert await store.take_outgoing(conversation_id, "another") is None
        sent.append(outgoing.text)
        outgoing = await store.sent(outgoing)
    assert sent == ["one", "two", "three"]
    assert list(await store.unsent(10)) == []


async def test_the_next_reply_is_lent_to_the_same_sender_with_a_clean_slate(store: Store) -> None:
    conversation_id = await posted(store, "one", "two")
    first = await take(store, conversation_id)
    await store.postpone(first, 0)
    first = await take(store, conversation_id)
    assert first.tries == 2
    second = await store.sent(await store.note_part(first, Part(0, "sent", 5, "id0")))
    assert second is not None
    assert (second.text, second.tries, second.parts) == ("two", 1, ())
    assert await is_lost(store, first)
    await store.postpone(second, 0)
    assert (await take(store, conversation_id)).tries == 2


async def test_conversations_are_sent_side_by_side_and_found_up_to_a_limit(store: Store) -> None:
    conversations = [await posted(store, "fine") for _ in range(5)]
    assert sorted(await store.unsent(10)) == sorted(conversations)
    assert len(await store.unsent(3)) == 3
    await take(store, conversations[0])
    assert sorted(await store.unsent(10)) == sorted(conversations[1:])


async def test_a_reply_that_comes_while_one_is_sent_waits_its_turn(store: Store) -> None:
    conversation_id = await posted(store, "one")
    first = await take(store, conversation_id)
    await say(store, conversation_id, "m2", person=ANNA)
    await answer(store, conversation_id, Draft("two", "stop"))
    assert list(await store.unsent(10)) == []
    await store.postpone(first, 60)
    assert list(await store.unsent(10)) == []
    assert await store.take_outgoing(conversation_id, "another") is None


async def test_what_is_postponed_waits_its_time(store: Store, clock: Clock) -> None:
    conversation_id = await posted(store, "fine")
    first = await take(store, conversation_id)
    await store.postpone(first, 2)
    assert await store.take_outgoing(conversation_id, "sender") is None
    assert list(await store.unsent(10)) == []
    clock.now += 2
    assert list(await store.unsent(10)) == [conversation_id]
    again = await take(store, conversation_id)
    assert again.tries == 2
    assert await is_lost(store, first)


async def test_what_a_dead_sender_held_is_given_to_another(store: Store, clock: Clock) -> None:
    conversation_id = await posted(store, "one", "two")
    old = await store.note_part(await take(store, conversation_id), Part(0, "sending", 7))
    clock.now += LEASE_SECONDS - 1
    assert await store.take_outgoing(conversation_id, "another") is None
    clock.now += 2
    assert list(await store.unsent(10)) == [conversation_id]
    new = await take(store, conversation_id, "another")
    assert (new.text, new.tries, new.parts) == ("one", 2, (Part(0, "sending", 7),))
    assert await is_lost(store, old)
    assert list(await store.parts_of(conversation_id, new.offset)) == [Part(0, "sending", 7)]
    following = await store.sent(new)
    assert following is not None
    assert following.text == "two"


async def test_what_is_let_go_can_be_changed_by_nobody(store: Store) -> None:
    conversation_id = await posted(store, "fine")
    outgoing = await take(store, conversation_id)
    await store.postpone(outgoing, 0)
    assert await is_lost(store, outgoing)
    outgoing = await take(store, conversation_id)
    await store.sent(outgoing)
    assert await is_lost(store, outgoing)


async def test_what_is_known_of_a_part_takes_the_place_of_what_was(store: Store) -> None:
    conversation_id = await posted(store, "fine")
    outgoing = await take(store, conversation_id)
    for part in (Part(1, "sending", 8), Part(0, "sent", 5, "id0"), Part(1, "failed", 8, None, "30003")):
        outgoing = await store.note_part(outgoing, part)
    known = (Part(0, "sent", 5, "id0"), Part(1, "failed", 8, None, "30003"))
    assert outgoing.parts == known
    await store.postpone(outgoing, 0)
    assert (await take(store, conversation_id)).parts == known
    assert await store.parts_of("c_nothing", 2) == await store.parts_of(conversation_id, 1)


async def test_parts_are_known_when_the_reply_is_over(store: Store) -> None:
    conversation_id = await posted(store, "one", "two")
    first = await take(store, conversation_id)
    first = await store.note_part(first, Part(0, "sent", 5, "id0"))
    second = await store.sent(first)
    assert second is not None
    await store.note_part(second, Part(0, "sent", 6, "id1"))
    assert list(await store.parts_of(conversation_id, first.offset)) == [Part(0, "sent", 5, "id0")]
    assert list(await store.parts_of(conversation_id, second.offset)) == [Part(0, "sent", 6, "id1")]


async def test_a_noted_part_holds_the_loan_longer(store: Store, clock: Clock) -> None:
    conversation_id = await posted(store, "fine")
    outgoing = await take(store, conversation_id)
    clock.now += LEASE_SECONDS - 1
    await store.note_part(outgoing, Part(0, "sending", 7))
    clock.now += LEASE_SECONDS - 1
    assert await store.take_outgoing(conversation_id, "another") is None
    assert list(await store.unsent(10)) == []


async def test_what_is_to_be_sent_goes_with_its_conversation(store: Store) -> None:
    gone, kept = await posted(store, "one", "two"), await posted(store, "fine")
    outgoing = await store.note_part(await take(store, gone), Part(0, "sent", 5, "id0"))
    await store.delete(ANNA, gone)
    assert await is_lost(store, outgoing)
    assert list(await store.unsent(10)) == [kept]
    assert await store.take_outgoing(gone, "sender") is None
    assert list(await store.parts_of(gone, outgoing.offset)) == []


async def test_a_long_reply_is_taken_whole(store: Store) -> None:
    conversation_id = await begin(store)
    await say(store, conversation_id, "m1", person=ANNA)
    text = "é😀" * 200_000
    await answer(store, conversation_id, Draft(text, "stop"))
    assert (await take(store, conversation_id)).text == text


async def test_replies_wait_through_a_restart(open_store: Opener, clock: Clock) -> None:
    async with open_store() as before:
        conversation_id = await posted(before, "one", "two")
        outgoing = await take(before, conversation_id)
        await before.note_part(outgoing, Part(0, "sending", 5))
    clock.now += LEASE_SECONDS + 1
    async with open_store() as after:
        assert list(await after.unsent(10)) == [conversation_id]
        again = await take(after, conversation_id)
        assert (again.text, again.parts) == ("one", (Part(0, "sending", 5),))


async def test_a_conversation_goes_on_while_its_replies_wait(store: Store) -> None:
    conversation_id = await posted(store, "one")
    await take(store, conversation_id)
    assert list(await store.waiting(10)) == []
    await say(store, conversation_id, "m2", person=ANNA)
    assert list(await store.waiting(10)) == [conversation_id]
