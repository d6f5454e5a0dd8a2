"""How many calls to DynamoDB everything costs, however much was said."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from infra.cluster.rights import policies_of
from server.backends.dynamodb import keys, values
from server.backends.dynamodb.items import encode_item
from server.delivery.cluster import Cluster
from server.delivery.hub import Hub
from server.errors import LeaseLost
from server.metrics import Metrics
from server.model import (
    Begun,
    Draft,
    Finished,
    Frame,
    InboundMessage,
    Lease,
    Place,
    Prompt,
    Question,
    Reply,
    RunEvent,
    Usage,
    Words,
)
from tests.ministack import Cloud
from tests.unit.dynamodb_scene import Scene
from tests.unit.test_cluster_delivery import FakeNodes
from tests.unit.turn_scene import Heard, Routed, Run, speak
from tests.unit.turn_scene import Scene as TurnScene

FINE = Draft("fine", "stop")
SORRY = Draft("sorry", "error", code="timeout")


async def test_a_socket_is_kept_as_the_seed_kept_it_and_finding_a_persons_takes_one_call(scene: Scene) -> None:
    await scene.store.beat("http://a:1", 20)
    scene.calls()
    await scene.store.register(Place("anna", "k1", "http://a:1"), scene.clock.now + 60)
    assert scene.calls() == {"UpdateItem": 1}
    before = scene.item(keys.connection("anna", "k1"))
    assert (before["pk"], before["sk"], before["connectionId"]) == ("user#anna", "connection#k1", "k1")
    assert (before["userId"], before["createdAt"], before["updatedAt"]) == (
        "anna",
        scene.clock.now * 1000,
        scene.clock.now * 1000,
    )
    scene.clock.now += 5
    await scene.store.register(Place("anna", "k1", "http://a:1"), scene.clock.now + 90)
    after = scene.item(keys.connection("anna", "k1"))
    assert (after["createdAt"], after["updatedAt"]) == (before["createdAt"], scene.clock.now * 1000)
    assert after["ttl"] > after["expiresAt"] / 1000 > before["expiresAt"] / 1000
    scene.calls()
    for calls in ({"Query": 1, "BatchGetItem": 1}, {"Query": 1}):
        assert await scene.store.places("anna") == [Place("anna", "k1", "http://a:1")]
        assert scene.calls() == calls
    scene.clock.now += 1
    await scene.store.places("anna")
    assert scene.calls() == {"Query": 1, "BatchGetItem": 1}
    assert scene.count("personIndex") == 0


async def test_to_accept_to_take_and_to_answer_are_two_calls_each_and_one_for_each_renewal(scene: Scene) -> None:
    conversation_id = await scene.begin()
    scene.calls()
    await scene.say(conversation_id, "m1")
    assert scene.calls() == {"BatchGetItem": 1, "TransactWriteItems": 1}
    lease = await scene.take(conversation_id)
    assert scene.calls() == {"UpdateItem": 1, "GetItem": 1}
    await scene.store.renew(lease)
    assert scene.calls() == {"UpdateItem": 1}
    await scene.store.answer(lease, FINE)
    assert scene.calls() == {"GetItem": 1, "TransactWriteItems": 1}
    assert await scene.store.take(conversation_id, "worker") is None
    assert scene.calls() == {"UpdateItem": 1}


async def test_what_else_a_turn_or_a_person_may_do_costs_one_call_or_two(scene: Scene) -> None:
    store, conversation_id = scene.store, await scene.asked("m1")
    changes: Sequence[Callable[[Lease], Awaitable[None]]] = (
        lambda lease: store.bind(lease, "thread_1"),
        lambda lease: store.fail(lease, 0),
        store.hand_back,
    )
    for change in changes:
        lease = await scene.take(conversation_id)
        scene.calls()
        await change(lease)
        assert scene.calls() == {"UpdateItem": 1}
        with suppress(LeaseLost):
            await store.hand_back(lease)
    scene.calls()
    await store.find("anna", conversation_id)
    assert scene.calls() == {"GetItem": 1}
    await store.current("anna", "websocket", "a")
    assert scene.calls() == {"GetItem": 2}
    await store.recent("anna", 10)
    assert scene.calls() == {"Query": 1, "BatchGetItem": 1}
    await store.create("anna", "websocket", "a")
    assert scene.calls() == {"TransactWriteItems": 1}


async def test_what_follows_a_reply_and_what_was_noted_costs_a_fixed_number_of_calls_more(scene: Scene) -> None:
    lease = await scene.take(await scene.asked("m1", "m2"))
    scene.calls()
    for number in range(25):
        await scene.store.note(lease, Begun(f"run_{number}", "a@1"))
    assert scene.calls() == {"TransactWriteItems": 25}
    assert len(await scene.store.steps(lease)) == 25
    assert scene.calls() == {"Query": 1, "GetItem": 1}
    await scene.store.answer(lease, FINE)
    assert scene.calls() == {"GetItem": 2, "TransactWriteItems": 1, "Query": 1, "BatchWriteItem": 1}


async def test_questions_asked_in_one_breath_cost_no_call_more(scene: Scene) -> None:
    conversation_id = await scene.begin()
    scene.calls()
    for number in range(3):
        await scene.text(conversation_id, f"m{number}")
    assert scene.calls() == {"BatchGetItem": 3, "TransactWriteItems": 3}
    assert await scene.store.take(conversation_id, "worker") is None
    assert scene.calls() == {"UpdateItem": 1}
    scene.clock.now += 3
    lease = await scene.take(conversation_id)
    assert len(lease.questions) == 3
    assert scene.calls() == {"UpdateItem": 1, "BatchGetItem": 1}
    await scene.text(conversation_id, "late")
    scene.calls()
    assert (await scene.store.answer(lease, FINE)).next is None
    assert scene.calls() == {"GetItem": 1, "TransactWriteItems": 1}


async def test_a_look_for_what_waits_asks_each_shard_once(scene: Scene) -> None:
    for number in range(40):
        await scene.say(await scene.begin(), f"m{number}")
    scene.calls()
    assert len(await scene.store.waiting(1_000)) == 40
    assert scene.calls() == {"Query": keys.SHARDS}


# --- a turn -------------------------------------------------------------------------------------------------------


def fill(scene: Scene, conversation_id: str, entries: int, code: str | None = None) -> None:
    """As if so much had been said, by a client of the test's own. `code`: of every reply."""
    client, table = scene.cloud.client("dynamodb"), scene.cloud.settings["TABLE_NAME"]
    draft = Draft("y" * 150, "stop", code=code)
    items = []
    for offset in range(1, entries, 2):
        asked = Question(offset, f"old{offset}", "x" * 50, 0)
        reply = Reply(offset + 1, offset, asked.message_id, draft, 0)
        items.append({**values.question_item(conversation_id, asked), "text": asked.text})
        items.append({**values.reply_item(conversation_id, reply), "text": draft.text})
    for start in range(0, len(items), 25):
        some = [{"PutRequest": {"Item": encode_item(item)}} for item in items[start : start + 25]]
        client.batch_write_item(RequestItems={table: some})
    client.update_item(
        TableName=table,
        Key=encode_item(keys.head(conversation_id)._asdict()),
        UpdateExpression="SET #o = :n, answered = :n",
        ExpressionAttributeNames={"#o": "offset"},
        ExpressionAttributeValues={":n": {"N": str(entries)}},
    )


async def turn(scene: Scene, conversation_id: str, run: Run = speak, heard: Heard | None = None) -> dict[str, int]:
    """The calls of a turn from its message to its reply, for a model that is shown as much as by default."""
    turns = TurnScene(run, store=scene.store, heard=heard)
    turns.engine.window_tokens = 32_000
    scene.calls()
    await turns.inbox().accept(InboundMessage("anna", conversation_id, f"new-{conversation_id}", "hello"))
    await turns.runner.run(await scene.take(conversation_id))
    assert [reply.draft.code for reply in turns.heard.replies()] == [None]
    return scene.calls()


ALONE = {"BatchGetItem": 1, "UpdateItem": 1, "Query": 1, "GetItem": 2, "TransactWriteItems": 2}


async def test_a_turn_makes_seven_calls_of_which_one_reads_what_the_model_is_shown(scene: Scene) -> None:
    conversation_id = await scene.begin()
    fill(scene, conversation_id, 10)
    assert await turn(scene, conversation_id) == ALONE


@pytest.mark.parametrize("code", [None, "provider_busy"])
async def test_a_turn_after_10_000_entries_makes_nine_whether_or_not_they_are_shown(
    scene: Scene, code: str | None
) -> None:
    conversation_id = await scene.begin()
    fill(scene, conversation_id, 10_000, code)
    assert await turn(scene, conversation_id) == {**ALONE, "Query": 3}


async def test_among_many_a_turn_looks_sockets_up_three_times_and_every_ten_seconds_of_words(scene: Scene) -> None:
    cluster = Cluster("http://a:1", Hub(Metrics()), scene.store, scene.store, FakeNodes(), farewell, clock=scene.clock)
    await cluster.begin()
    await scene.store.beat("http://b:1", 20)
    await scene.store.register(Place("anna", "k1", "http://b:1"), scene.clock.now + 600)

    async def speak_for_twenty_seconds(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        for _ in range(20):
            yield Words("so many words")
            scene.clock.now += 1
        yield Finished("stop", Usage(10, 2))

    for run, look_ups, at_other_times in ((speak, 3, 1), (speak_for_twenty_seconds, 4, 3)):
        scene.clock.now += 1
        calls = await turn(scene, await scene.begin(), run, Routed(cluster, cluster))
        assert calls == {**ALONE, "Query": 1 + look_ups, "BatchGetItem": 1 + at_other_times}


def farewell(after_ms: int) -> Frame:
    return Frame(b"%d" % after_ms)


# --- no scans -----------------------------------------------------------------------------------------------------


def test_a_server_has_no_right_to_scan(cloud: Cloud) -> None:
    """And all that the contract asks of the store is done with the rights of a server."""
    allowed = json.dumps(policies_of(cloud.owner, cloud.stack))
    assert "dynamodb:Query" in allowed
    assert "Scan" not in allowed
    assert "dynamodb:*" not in allowed


async def test_nothing_is_ever_scanned(scene: Scene) -> None:
    store = scene.store
    lease = await scene.take(await scene.asked("m1"))
    await store.answer(lease, SORRY)
    for looked in (store.dead_letters(9), store.waiting(9), store.recent("anna", 9), store.signed_out_since(0)):
        await looked
    for listed in (store.versions(), store.moves(), store.of("anna", 9), store.current("anna", "sms", "a")):
        await listed
    await store.delete("anna", lease.conversation_id)
    assert "Scan" not in scene.calls()


async def test_only_what_waits_is_in_the_sparse_index(scene: Scene) -> None:
    first, _ = [await scene.asked(f"m{number}") for number in range(2)]
    await scene.begin()
    assert scene.count("waitingIndex") == 2
    await scene.store.answer(await scene.take(first), FINE)
    assert scene.count("waitingIndex") == 1
