"""What DynamoDB alone makes difficult: the number of calls, items of 400 KB, and what lies between it and us."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

from server.backends.dynamodb import keys, open_dynamodb
from server.backends.dynamodb.items import encode_item
from server.errors import BadInput, ConfigError, LeaseLost, NotFound, Unavailable
from server.model import Begun, Draft, InboundMessage, Lease, Place, Question, Returned, SignOut, ToolResult
from tests.fakes.faulty_dynamodb import Fault
from tests.unit.dynamodb_scene import LEASE_SECONDS, Scene

FINE = Draft("fine", "stop")
SORRY = Draft("sorry", "error", code="timeout")
DAY = 86_400
TRIES = 3


def noise(size: int) -> str:
    """What no compression makes smaller, but for the two bits that a letter does not use."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(random.Random(size).choices(letters, k=size))


# --- large texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [noise(1_000_000), "ü€😀" * 400_000], ids=["noise", "prose"])
async def test_a_reply_of_a_megabyte_is_kept_as_it_is_and_goes_with_its_conversation(scene: Scene, text: str) -> None:
    conversation_id = await scene.asked("m1")
    settled = await scene.store.answer(await scene.take(conversation_id), Draft(text, "stop"))
    assert settled.reply.draft.text == text
    for page in (
        await scene.store.before(conversation_id, None, 10),
        await scene.store.after(conversation_id, 1, 10),
    ):
        assert page.entries == (settled.reply,)
    await scene.store.delete("anna", conversation_id)
    assert scene.count() == 0


async def test_a_page_ends_before_a_large_entry_that_would_not_fit(scene: Scene) -> None:
    conversation_id = await scene.asked("m1", "m2")
    await scene.store.answer(await scene.take(conversation_id), Draft(noise(1_000_000), "stop"))
    page = await scene.store.after(conversation_id, 0, 10)
    assert ([entry.offset for entry in page.entries], page.more) == ([1, 2], True)
    assert not (await scene.store.after(conversation_id, 2, 10)).more


async def test_a_step_of_a_megabyte_is_kept_as_it_is_and_goes_with_its_turn(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    lease = await scene.take(conversation_id)
    before = scene.count()
    step = Returned(ToolResult("call_1", noise(1_000_000)))
    await scene.store.note(lease, step)
    assert scene.count() > before + 2
    assert list(await scene.store.steps(lease)) == [step]
    await scene.store.answer(lease, FINE)
    assert scene.count() == before + 1


async def test_a_text_that_no_transaction_holds_is_refused_and_changes_nothing(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    lease = await scene.take(conversation_id)
    with pytest.raises(BadInput):
        await scene.store.answer(lease, Draft(noise(6_000_000), "stop"))
    assert (await scene.store.answer(lease, FINE)).reply.offset == 2


# --- faults on the way --------------------------------------------------------------------------------------------

Operation: TypeAlias = Callable[[Scene, Lease], Awaitable[Any]]


async def accept(scene: Scene, lease: Lease) -> Any:
    return await scene.say(lease.conversation_id, "m2")


async def answer(scene: Scene, lease: Lease) -> Any:
    return await scene.store.answer(lease, FINE)


async def note(scene: Scene, lease: Lease) -> Any:
    return await scene.store.note(lease, Begun("run_1", "a@1"))


async def everything(scene: Scene, lease: Lease) -> Any:
    """What the operations above change."""
    conversation = await scene.store.find("anna", lease.conversation_id)
    page = await scene.store.after(lease.conversation_id, 0, 100)
    steps: Any = None
    with suppress(LeaseLost):
        steps = list(await scene.store.steps(lease))
    return conversation.offset, conversation.answered, [entry.offset for entry in page.entries], steps


DONE: dict[Operation, Any] = {
    accept: (2, 0, [1, 2], []),
    answer: (2, 1, [1, 2], None),
    note: (1, 0, [1], [Begun("run_1", "a@1")]),
}
PASSING = (Fault.THROTTLED, Fault.BROKEN, Fault.UNHEARD, Fault.CROWDED_OUT, Fault.STARVED)


@pytest.mark.parametrize("operation", DONE)
@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_is_not_noticed(scene: Scene, operation: Operation, fault: Fault) -> None:
    lease = await scene.take(await scene.asked("m1"))
    scene.proxy.spoil("TransactWriteItems", fault)
    await operation(scene, lease)
    assert await everything(scene, lease) == DONE[operation]


@pytest.mark.parametrize("operation", DONE)
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.BROKEN, Fault.UNHEARD])
async def test_a_fault_that_stays_is_told_and_asking_again_does_nothing_twice(
    scene: Scene, operation: Operation, fault: Fault
) -> None:
    lease = await scene.take(await scene.asked("m1"))
    scene.proxy.spoil("TransactWriteItems", *[fault] * TRIES)
    with pytest.raises(Unavailable):
        await operation(scene, lease)
    await operation(scene, lease)
    assert await everything(scene, lease) == DONE[operation]


async def test_an_accepted_message_whose_answer_was_lost_is_a_duplicate_the_next_time(scene: Scene) -> None:
    conversation_id = await scene.begin()
    scene.proxy.spoil("TransactWriteItems", *[Fault.UNHEARD] * TRIES)
    with pytest.raises(Unavailable):
        await scene.say(conversation_id, "m1")
    again = await scene.say(conversation_id, "m1")
    assert (again.offset, again.duplicate) == (1, True)


async def test_a_lease_is_had_although_the_first_answer_was_lost(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    lease = await scene.take(conversation_id)
    assert (lease.attempt, lease.tries) == (1, 1)
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    await scene.store.fail(lease, 0)
    again = await scene.take(conversation_id)
    assert (again.attempt, again.failures) == (2, 1)
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    await scene.store.hand_back(again)
    assert list(await scene.store.waiting(10)) == [conversation_id]


@pytest.mark.parametrize("unheard", ["UpdateItem", "GetItem"])
async def test_a_lease_that_was_given_unheard_is_asked_for_again(scene: Scene, unheard: str) -> None:
    conversation_id = await scene.asked("m1")
    scene.proxy.spoil(unheard, *[Fault.UNHEARD] * TRIES)
    lease = await scene.take(conversation_id)
    assert (lease.attempt, lease.tries) == (1, 1)


async def test_a_lease_of_which_nobody_heard_runs_out(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    scene.proxy.spoil("UpdateItem", *[Fault.UNHEARD] * TRIES * 2)
    with pytest.raises(Unavailable):
        await scene.store.take(conversation_id, "worker")
    assert await scene.store.take(conversation_id, "worker") is None
    scene.clock.now += LEASE_SECONDS
    assert (await scene.take(conversation_id)).attempt == 2


async def test_what_was_left_of_a_batch_is_asked_for_again(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    scene.proxy.spoil("BatchGetItem", Fault.HALF_DONE, Fault.HALF_DONE)
    assert (await scene.say(conversation_id, "m1")).duplicate
    scene.proxy.spoil("BatchWriteItem", *[Fault.HALF_DONE] * 4)
    await scene.store.delete("anna", conversation_id)
    assert scene.count() == 0


async def test_a_batch_of_which_nothing_is_ever_done_is_told(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    scene.proxy.spoil("BatchGetItem", *[Fault.HALF_DONE] * 20)
    with pytest.raises(Unavailable):
        await scene.say(conversation_id, "m2")


async def test_a_conversation_that_is_always_in_use_is_told(scene: Scene) -> None:
    conversation_id = await scene.begin()
    scene.proxy.spoil("TransactWriteItems", *[Fault.CROWDED_OUT] * 20)
    with pytest.raises(Unavailable):
        await scene.say(conversation_id, "m1")


async def test_a_message_whose_first_answer_was_lost_is_no_duplicate(scene: Scene) -> None:
    conversation_id = await scene.begin()
    scene.proxy.spoil("TransactWriteItems", Fault.UNHEARD)
    assert not (await scene.say(conversation_id, "m1")).duplicate


async def test_where_nobody_listens_it_is_told_soon(scene: Scene) -> None:
    with pytest.raises(Unavailable):
        async with open_dynamodb("table", endpoint_url="http://127.0.0.1:9", lease_seconds=30, most_waiting=5):
            pass


async def test_a_table_that_is_not_there_is_a_wrong_setting(scene: Scene) -> None:
    with pytest.raises(ConfigError):
        async with open_dynamodb(
            f"{scene.cloud.settings['TABLE_NAME']}x", endpoint_url=scene.proxy.url, lease_seconds=30, most_waiting=5
        ):
            pass


# --- several processes --------------------------------------------------------------------------------------------


async def test_messages_accepted_in_two_processes_at_once_get_contiguous_offsets(scene: Scene) -> None:
    conversation_id = await scene.begin()
    async with scene.another() as other:
        accepted = await asyncio.gather(
            *(
                store.accept(InboundMessage("anna", conversation_id, f"m{number}", "hello"))
                for number in range(40)
                for store in (scene.store, other)
            )
        )
    assert sorted(one.offset for one in accepted if not one.duplicate) == list(range(1, 41))
    assert sum(one.duplicate for one in accepted) == 40
    page = await scene.store.after(conversation_id, 0, 100)
    assert [entry.offset for entry in page.entries] == list(range(1, 41))


async def test_of_two_processes_one_has_the_lease_and_answers_while_the_other_accepts(scene: Scene) -> None:
    conversation_id = await scene.asked("m0")
    async with scene.another() as other:
        leases = await asyncio.gather(*(store.take(conversation_id, "w") for store in (scene.store, other) * 4))
        [lease] = [one for one in leases if one is not None]
        await asyncio.gather(
            scene.store.answer(lease, FINE),
            other.answer(lease, Draft("another", "stop")),
            *(other.accept(InboundMessage("anna", conversation_id, f"m{number}", "hi")) for number in range(1, 10)),
        )
    entries = (await scene.store.after(conversation_id, 0, 100)).entries
    assert [entry.offset for entry in entries] == list(range(1, 12))
    assert sum(not isinstance(entry, Question) for entry in entries) == 1
    assert (await scene.store.find("anna", conversation_id)).answered == 1


async def test_what_another_process_accepts_between_reading_and_writing_costs_two_calls_more(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    async with scene.another() as other:

        def says(message_id: str) -> Callable[[], Awaitable[Any]]:
            return lambda: other.accept(InboundMessage("anna", conversation_id, message_id, "hello"))

        lease = await scene.take(conversation_id)
        scene.calls()
        scene.proxy.meanwhile("TransactWriteItems", says("m2"))
        assert (await scene.say(conversation_id, "m3")).offset == 3
        assert scene.calls() == {"BatchGetItem": 2, "TransactWriteItems": 2}
        scene.proxy.meanwhile("TransactWriteItems", says("m4"))
        settled = await scene.store.answer(lease, FINE)
    assert scene.calls() == {"GetItem": 3, "TransactWriteItems": 2}
    assert settled.reply.offset == 5
    assert settled.next is not None
    assert settled.next.question.message_id == "m2"
    assert scene.count("waitingIndex") == 1


async def test_what_another_process_answers_before_a_message_is_in_leaves_it_waiting(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    async with scene.another() as other:
        lease = await scene.take(conversation_id)
        scene.proxy.meanwhile("TransactWriteItems", lambda: other.answer(lease, FINE))
        assert (await scene.say(conversation_id, "m2")).offset == 3
    assert list(await scene.store.waiting(10)) == [conversation_id]


async def test_a_message_that_comes_while_its_conversation_is_deleted_is_refused(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    async with scene.another() as other:
        scene.proxy.meanwhile("TransactWriteItems", lambda: other.delete("anna", conversation_id))
        with pytest.raises(NotFound):
            await scene.say(conversation_id, "m2")
    assert scene.count() == 0


async def test_the_current_conversation_is_made_once_by_two_processes(scene: Scene) -> None:
    async with scene.another() as other:
        found = await asyncio.gather(
            *(store.current("anna", "websocket", "a") for store in (scene.store, other) for _ in range(5))
        )
    assert len({one.id for one in found}) == 1


async def test_notes_made_in_two_processes_at_once_are_all_kept(scene: Scene) -> None:
    async with scene.another() as other:
        await asyncio.gather(
            *(store.add("anna", f"k{number}", str(number)) for number in range(20) for store in (scene.store, other))
        )
    assert sorted(int(note.text) for note in await scene.store.of("anna", 100)) == list(range(20))


# --- time ---------------------------------------------------------------------------------------------------------


async def test_a_claim_that_has_run_out_does_not_count_although_it_is_still_there(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    scene.clock.now += 7 * DAY
    again = await scene.say(conversation_id, "m1")
    assert (again.offset, again.duplicate) == (2, False)
    assert (await scene.say(conversation_id, "m1")).offset == 2


async def test_what_dynamodb_is_to_delete_carries_its_time_in_seconds(scene: Scene) -> None:
    await scene.asked("m1")
    await scene.store.sign_out("anna")
    table = scene.cloud.settings["TABLE_NAME"]
    items = scene.cloud.client("dynamodb").scan(TableName=table)["Items"]
    aging = {item["sk"]["S"].partition("#")[0] for item in items if len(item.get("ttl", {}).get("N", "")) == 10}
    assert aging == {"claim", f"{int(scene.clock.now * 1000):015}"}
    assert list(await scene.store.signed_out_since(0)) == [SignOut("anna", int(scene.clock.now * 1000))]


async def test_what_another_process_does_between_reading_and_writing_is_not_undone(scene: Scene) -> None:
    async with scene.another() as other:
        for number in range(6):
            conversation_id = await scene.begin()
            await scene.text(conversation_id, f"m{number}")
            scene.clock.now += 3
            _, lease, _ = await asyncio.gather(
                scene.text(conversation_id, f"n{number}"),
                other.take(conversation_id, "worker"),
                other.cancel("anna", conversation_id, f"m{number}"),
            )
            first = lease or await scene.take(conversation_id)
            settled = await other.answer(first, FINE)
            offsets = [one.offset for one in first.questions]
            if settled.next is None and offsets == [1]:
                assert await scene.store.take(conversation_id, "worker") is None
                scene.clock.now += 3
                offsets += [one.offset for one in (await scene.take(conversation_id)).questions]
            assert offsets == [1, 2]


async def test_an_answer_to_several_questions_that_was_not_heard_is_given_once(scene: Scene) -> None:
    conversation_id = await scene.begin()
    for number in range(3):
        await scene.text(conversation_id, f"m{number}")
    scene.clock.now += 3
    scene.proxy.spoil("UpdateItem", Fault.UNHEARD)
    lease = await scene.take(conversation_id)
    assert (len(lease.questions), lease.tries) == (3, 1)
    scene.proxy.spoil("TransactWriteItems", *[Fault.UNHEARD] * TRIES)
    with pytest.raises(Unavailable):
        await scene.store.answer(lease, FINE)
    settled = await scene.store.answer(lease, FINE)
    assert (settled.reply.offset, settled.reply.through, settled.next) == (4, 3, None)


async def test_a_message_of_several_ids_leaves_none_of_them_behind(scene: Scene) -> None:
    conversation_id = await scene.begin()
    empty = scene.count()
    await scene.store.accept(InboundMessage("anna", conversation_id, "m1", "hello", aliases=("a1", "a2")))
    assert scene.count() == empty + 4
    await scene.store.delete("anna", conversation_id)
    assert scene.count() == 0


async def test_the_sockets_of_a_process_are_deleted_once_it_is_dead_by_any_clock(scene: Scene) -> None:
    await scene.store.beat("http://a:1", 20)
    await scene.store.register(Place("anna", "k1", "http://a:1"), scene.clock.now + DAY)
    scene.clock.now += 20
    for _ in range(2):
        scene.calls()
        assert list(await scene.store.places("anna")) == []
    # It is remembered to be dead, as others are to live.
    assert scene.calls() == {"Query": 1}
    assert scene.count() == 2
    scene.clock.now += 600
    assert list(await scene.store.places("anna")) == []
    assert scene.count() == 0


async def test_a_process_that_beats_while_it_is_given_up_keeps_its_sockets(scene: Scene) -> None:
    await scene.store.beat("http://a:1", 20)
    await scene.store.register(Place("anna", "k1", "http://a:1"), scene.clock.now + DAY)
    async with scene.another() as other:
        scene.clock.now += 620
        scene.proxy.meanwhile("TransactWriteItems", lambda: other.beat("http://a:1", 20))
        await scene.store.places("anna")
    assert scene.count() == 2


async def test_what_is_known_of_a_process_may_become_stale_while_another_is_asked_after(scene: Scene) -> None:
    for node in ("a", "b"):
        await scene.store.beat(f"http://{node}:1", 20)
        await scene.store.register(Place("anna", f"k{node}", f"http://{node}:1"), scene.clock.now + DAY)
    await scene.store.register(Place("ben", "k1", "http://a:1"), scene.clock.now + DAY)
    await scene.store.places("ben")

    async def a_second_later() -> None:
        scene.clock.now += 1
        await scene.store.places("nobody")

    scene.proxy.meanwhile("BatchGetItem", a_second_later)
    assert [place.connection_id for place in await scene.store.places("anna")] == ["ka", "kb"]


# --- deletion -----------------------------------------------------------------------------------------------------


async def begin_deletion(scene: Scene) -> str:
    """And break it off in the middle."""
    conversation_id = await scene.asked("m1", "m2")
    await scene.store.answer(await scene.take(conversation_id), SORRY)
    scene.proxy.spoil("BatchWriteItem", *[Fault.BROKEN] * TRIES)
    with pytest.raises(Unavailable):
        await scene.store.delete("anna", conversation_id)
    with pytest.raises(NotFound):
        await scene.store.find("anna", conversation_id)
    assert await scene.store.take(conversation_id, "worker") is None
    assert scene.count() > 0
    return conversation_id


async def test_a_deletion_that_was_broken_off_goes_on_when_it_is_asked_for_again(scene: Scene) -> None:
    conversation_id = await begin_deletion(scene)
    with pytest.raises(NotFound):
        await scene.store.delete("ben", conversation_id)
    await scene.store.delete("anna", conversation_id)
    assert scene.count() == 0


async def test_a_deletion_that_was_broken_off_is_found_by_the_sweep(scene: Scene) -> None:
    conversation_id = await begin_deletion(scene)
    assert list(await scene.store.waiting(10)) == []
    scene.clock.now += 60
    assert list(await scene.store.waiting(10)) == [conversation_id]
    assert await scene.store.take(conversation_id, "worker") is None
    assert scene.count() == 0


async def test_what_is_accepted_while_a_conversation_is_deleted_leaves_nothing_behind(scene: Scene) -> None:
    conversation_id = await scene.asked("m1")
    async with scene.another() as other:
        await asyncio.gather(
            scene.store.delete("anna", conversation_id),
            *(other.accept(InboundMessage("anna", conversation_id, f"n{number}", "hi")) for number in range(10)),
            return_exceptions=True,
        )
    with pytest.raises(NotFound):
        await scene.say(conversation_id, "late")
    assert scene.count() == 0


async def test_an_id_that_is_claimed_anew_meanwhile_is_not_let_go(scene: Scene) -> None:
    gone = await begin_deletion(scene)
    new = await scene.asked("m1")
    await scene.store.delete("anna", gone)
    assert (await scene.say(new, "m1")).duplicate


async def test_what_an_index_still_names_does_not_hide_older_conversations(scene: Scene) -> None:
    older = await scene.store.create("anna", "websocket", "a")
    scene.clock.now += 1
    newer = await scene.store.create("anna", "websocket", "a")
    scene.cloud.client("dynamodb").update_item(
        TableName=scene.cloud.settings["TABLE_NAME"],
        Key=encode_item(keys.head(newer.id)._asdict()),
        UpdateExpression="SET deleted = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )
    assert [one.id for one in await scene.store.recent("anna", 1)] == [older.id]


async def test_who_is_listed_with_another_conversation_costs_no_search_for_one(scene: Scene) -> None:
    one, *_ = [await scene.store.create("+15005550001", "sms", "a") for _ in range(3)]
    scene.proxy.indexes.clear()
    await scene.store.delete("+15005550001", one.id)
    assert scene.proxy.indexes["personIndex"] == 0
    assert await scene.store.callers("sms", "", 10) == ["+15005550001"]


@pytest.mark.parametrize("odd", ["", "x" * 5_000, "é#" * 2_000])
async def test_an_id_that_nobody_was_given_is_not_found(scene: Scene, odd: str) -> None:
    for asked in (scene.store.find("anna", odd), scene.say(odd, "m1"), scene.store.delete("anna", odd)):
        with pytest.raises(NotFound):
            await asked
    assert await scene.store.take(odd, "worker") is None
    assert (await scene.store.after(odd, 0, 10)).entries == ()
    with pytest.raises(NotFound):
        await scene.store.version(odd, odd)
