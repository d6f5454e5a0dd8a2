"""The port Runs: what a turn noted is there for the next attempt at it, and for nobody else."""

from __future__ import annotations

import pytest

from server.errors import LeaseLost
from server.model import Begun, Called, Draft, InboundMessage, Lease, Returned, Step, ToolCall, ToolResult, Usage
from tests.contract.conftest import LEASE_SECONDS, Clock, Opener, Store

STEPS: list[Step] = [
    Begun("resp_1", "support@1"),
    Called("Let me see.", (ToolCall("call_1", "look", '{"at": "ü"}'),), '[{"a": 1}]', None, Usage(3, 4), "support@1"),
    Returned(ToolResult("call_1", "nothing\n", failed=True)),
    Called(
        "", (ToolCall("call_2", "look", "{"), ToolCall("call_3", "look", "")), "", "thread_1/run_1", None, "support@1"
    ),
    Returned(ToolResult("call_2", "made", images=("images/a", "images/b"))),
]


async def leased(store: Store, *texts: str) -> Lease:
    conversation = await store.current("anna", "websocket", "support")
    for number, text in enumerate(texts or ("hi",)):
        await store.accept(InboundMessage("anna", conversation.id, f"m{number}", text))
    lease = await store.take(conversation.id, "w")
    assert lease is not None
    return lease


async def test_a_turn_begins_with_nothing_noted(store: Store) -> None:
    lease = await leased(store)
    assert (lease.steps, lease.thread, lease.channel) == (0, None, "websocket")
    assert list(await store.steps(lease)) == []


async def test_the_next_attempt_finds_what_was_noted_in_its_order(open_store: Opener, clock: Clock) -> None:
    async with open_store() as store:
        lease = await leased(store)
        for step in STEPS:
            await store.note(lease, step)
    clock.now += LEASE_SECONDS + 1
    async with open_store() as store:
        again = await store.take(lease.conversation_id, "another")
        assert again is not None
        assert again.steps == len(STEPS)
        assert list(await store.steps(again)) == STEPS


async def test_a_failed_try_and_a_hand_back_forget_nothing(store: Store) -> None:
    lease = await leased(store)
    await store.note(lease, STEPS[0])
    await store.fail(lease, 0)
    second = await store.take(lease.conversation_id, "w")
    assert second is not None
    await store.note(second, STEPS[1])
    await store.hand_back(second)
    third = await store.take(lease.conversation_id, "w")
    assert third is not None
    assert list(await store.steps(third)) == STEPS[:2]


async def test_the_next_question_begins_anew(store: Store) -> None:
    lease = await leased(store, "one", "two")
    for step in STEPS:
        await store.note(lease, step)
    following = (await store.answer(lease, Draft("done", "stop"))).next
    assert following is not None
    assert following.steps == 0
    assert list(await store.steps(following)) == []
    await store.note(following, STEPS[0])
    assert list(await store.steps(following)) == STEPS[:1]


async def test_a_thread_stays_with_its_conversation(store: Store) -> None:
    lease = await leased(store, "one", "two")
    await store.bind(lease, "thread_1")
    await store.bind(lease, "thread_2")
    following = (await store.answer(lease, Draft("done", "stop"))).next
    assert following is not None
    assert following.thread == "thread_2"
    await store.hand_back(following)
    again = await store.take(lease.conversation_id, "w")
    assert again is not None
    assert again.thread == "thread_2"


async def test_who_lost_the_lease_neither_writes_nor_reads(store: Store, clock: Clock) -> None:
    lease = await leased(store)
    clock.now += LEASE_SECONDS + 1
    other = await store.take(lease.conversation_id, "another")
    assert other is not None
    with pytest.raises(LeaseLost):
        await store.note(lease, STEPS[0])
    with pytest.raises(LeaseLost):
        await store.bind(lease, "thread_1")
    with pytest.raises(LeaseLost):
        await store.steps(lease)
    assert list(await store.steps(other)) == []
    assert other.thread is None


async def test_the_version_that_replied_is_kept_with_the_reply(store: Store) -> None:
    lease = await leased(store)
    stored = (await store.answer(lease, Draft("done", "stop", assistant="support@1"))).reply
    [_, reply] = (await store.after(lease.conversation_id, 0, 10)).entries
    assert reply == stored
    assert stored.draft.assistant == "support@1"
