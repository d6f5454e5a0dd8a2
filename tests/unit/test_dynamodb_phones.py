"""What DynamoDB alone makes difficult with phones: the number of calls, one index for two things, lost answers."""

from __future__ import annotations

import asyncio

import pytest

from server.backends.dynamodb import keys
from server.backends.dynamodb.items import encode_item
from server.errors import Unavailable
from server.model import Draft, Outgoing, Part
from tests.fakes.faulty_dynamodb import Fault
from tests.unit.dynamodb_scene import LEASE_SECONDS, Scene

FINE = Draft("fine", "stop")
TRIES = 3


async def posted(scene: Scene, conversation_id: str, message_id: str = "m1") -> None:
    await scene.say(conversation_id, message_id)
    await scene.store.answer(await scene.take(conversation_id), FINE, post=True)


async def taken(scene: Scene, conversation_id: str) -> Outgoing:
    outgoing = await scene.store.take_outgoing(conversation_id, "sender")
    assert outgoing is not None
    return outgoing


async def test_a_posted_reply_costs_no_call_more_and_to_send_it_five(scene: Scene) -> None:
    conversation_id = await scene.begin()
    await scene.say(conversation_id, "m1")
    lease = await scene.take(conversation_id)
    scene.calls()
    await scene.store.answer(lease, FINE, post=True)
    assert scene.calls() == {"GetItem": 1, "TransactWriteItems": 1}
    outgoing = await taken(scene, conversation_id)
    assert scene.calls() == {"UpdateItem": 1, "BatchGetItem": 1}
    for part in (Part(0, "sending", 1), Part(0, "sent", 1, "SM1")):
        outgoing = await scene.store.note_part(outgoing, part)
    assert scene.calls() == {"TransactWriteItems": 2}
    assert await scene.store.sent(outgoing) is None
    assert scene.calls() == {"UpdateItem": 1}


async def test_a_look_for_what_is_unsent_asks_each_shard_once_and_finds_nothing_else(scene: Scene) -> None:
    sending, waiting = await scene.begin(), await scene.asked("m2")
    await posted(scene, sending)
    scene.calls()
    assert list(await scene.store.unsent(1_000)) == [sending]
    assert scene.calls() == {"Query": keys.SHARDS}
    assert list(await scene.store.waiting(1_000)) == [waiting]


async def test_what_was_sent_is_no_longer_in_the_sparse_index(scene: Scene) -> None:
    conversation_id = await scene.begin()
    await posted(scene, conversation_id)
    await scene.store.sent(await taken(scene, conversation_id))
    scene.clock.now += 10 * LEASE_SECONDS
    assert list(await scene.store.unsent(10)) == []
    await posted(scene, conversation_id, "m2")
    assert list(await scene.store.unsent(10)) == [conversation_id]


@pytest.mark.parametrize("unheard", ["UpdateItem", "BatchGetItem"])
async def test_a_loan_that_was_given_unheard_is_asked_for_again(scene: Scene, unheard: str) -> None:
    conversation_id = await scene.begin()
    await posted(scene, conversation_id)
    scene.proxy.spoil(unheard, *[Fault.UNHEARD] * TRIES)
    outgoing = await taken(scene, conversation_id)
    assert (outgoing.attempt, outgoing.tries) == (1, 1)


async def test_a_loan_is_had_and_ended_although_the_first_answer_was_lost(scene: Scene) -> None:
    conversation_id = await scene.begin()
    await posted(scene, conversation_id, "m1")
    await posted(scene, conversation_id, "m2")
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    first = await taken(scene, conversation_id)
    assert (first.attempt, first.tries) == (1, 1)
    scene.proxy.spoil("TransactWriteItems", Fault.UNHEARD)
    first = await scene.store.note_part(first, Part(0, "sent", 1, "SM1"))
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    await scene.store.postpone(first, 0)
    first = await taken(scene, conversation_id)
    scene.proxy.spoil("UpdateItem", Fault.BROKEN, Fault.UNHEARD)
    second = await scene.store.sent(first)
    assert second is not None
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    assert await scene.store.sent(second) is None
    assert list(await scene.store.parts_of(conversation_id, first.offset)) == [Part(0, "sent", 1, "SM1")]


async def test_a_charge_is_one_plain_call_however_many_make_it_at_once(scene: Scene) -> None:
    charges = (scene.store.charge("day", 3, 10, int(scene.clock.now * 1000)) for _ in range(20))
    assert sum(await asyncio.gather(*charges)) == 3
    assert scene.calls() == {"UpdateItem": 20}


@pytest.mark.parametrize(("most", "before"), [(3, 0), (10, 0), (10, 2)])
async def test_a_charge_whose_first_answer_was_lost_is_made_once(scene: Scene, most: int, before: int) -> None:
    if before:
        await scene.store.charge("day", before, most, int(scene.clock.now * 1000))
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    assert await scene.store.charge("day", 3, most, int(scene.clock.now * 1000))
    assert await scene.store.charged("day") == before + 3


async def test_what_a_phone_sent_counts_while_its_conversation_is_being_deleted_and_leaves_no_words(
    scene: Scene,
) -> None:
    conversation_id = (await scene.store.create("anna", "sms", "a")).id
    await scene.say(conversation_id, "m1")
    scene.proxy.spoil("BatchWriteItem", *[Fault.BROKEN] * TRIES)
    with pytest.raises(Unavailable):
        await scene.store.delete("anna", conversation_id)
    new = (await scene.store.create("anna", "sms", "a")).id
    for gone in (conversation_id, new):
        assert await scene.store.knows("anna", ("m1",))
        assert (await scene.say(new, "m1")).duplicate
        await scene.store.delete("anna", gone)
    assert set(scene.item(keys.claim("anna", "m1"))) == {
        *("pk", "sk", "conversationId", "offset", "createdAt", "lasts", "ttl")
    }
    assert scene.count() == 1


async def test_a_receipt_whose_first_answer_was_lost_is_news(scene: Scene) -> None:
    scene.proxy.spoil("TransactWriteItems", Fault.UNHEARD)
    assert await scene.store.keep_receipt("sms", "SM1", "sent", None)
    scene.proxy.spoil("TransactWriteItems", *[Fault.BROKEN] * TRIES)
    with pytest.raises(Unavailable):
        await scene.store.keep_receipt("sms", "SM1", "delivered", None)
    assert await scene.store.keep_receipt("sms", "SM1", "delivered", None)


async def test_a_word_whose_first_answer_was_lost_is_kept(scene: Scene) -> None:
    scene.proxy.spoil("TransactWriteItems", Fault.UNHEARD)
    await scene.store.opt_out("anna", "sms", 1)
    scene.proxy.spoil("TransactWriteItems", Fault.UNHEARD)
    assert await scene.store.opt_in("anna", "sms", 2, "t2")
    assert not await scene.store.opted_out("anna", "sms")


async def test_an_item_with_a_time_only_is_an_opt_out(scene: Scene) -> None:
    item = {**keys.opt_out("anna", "sms")._asdict(), "at": 5}
    scene.cloud.client("dynamodb").put_item(TableName=scene.cloud.settings["TABLE_NAME"], Item=encode_item(item))
    assert await scene.store.opted_out("anna", "sms")
    assert not await scene.store.opt_in("anna", "sms", 4, "t4")
    assert await scene.store.opt_in("anna", "sms", 6, "t6")
    assert not await scene.store.opted_out("anna", "sms")


async def test_what_a_deletion_that_was_broken_off_leaves_is_sent_by_nobody(scene: Scene) -> None:
    conversation_id = await scene.begin()
    await posted(scene, conversation_id)
    scene.proxy.spoil("BatchWriteItem", *[Fault.BROKEN] * TRIES)
    with pytest.raises(Unavailable):
        await scene.store.delete("anna", conversation_id)
    assert await scene.store.take_outgoing(conversation_id, "sender") is None
    await scene.store.delete("anna", conversation_id)
    assert scene.count() == 0
    assert list(await scene.store.unsent(10)) == []


async def test_no_phone_is_scanned_for(scene: Scene) -> None:
    conversation_id = await scene.begin()
    await posted(scene, conversation_id)
    outgoing = await taken(scene, conversation_id)
    await scene.store.note_part(outgoing, Part(0, "failed", 1, None, "30003"))
    for looked in (scene.store.unsent(9), scene.store.parts_of(conversation_id, outgoing.offset)):
        await looked
    for asked in (scene.store.opted_out("anna", "sms"), scene.store.opt_in("anna", "sms", 1, "t1")):
        await asked
    await scene.store.delete("anna", conversation_id)
    assert "Scan" not in scene.calls()
