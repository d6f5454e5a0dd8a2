"""Turns: the retry policy, the lease's life, and the worker that outlives every turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from server.backends.memory import MemoryStore
from server.errors import LeaseLost, ServerError, Unavailable
from server.model import (
    Assistant,
    Begun,
    Draft,
    InboundMessage,
    Lease,
    Prompt,
    Question,
    Reply,
    Retry,
    RunBegun,
    RunEvent,
    RunStarted,
    Settled,
    Step,
    Usage,
    Words,
)
from server.turns import runner as policy
from server.turns.runner import delay_after
from server.turns.worker import HAND_BACK_SECONDS
from tests.unit.turn_scene import OneAssistant, Scene, Watched, break_off, crash, hang, speak


async def test_words_are_passed_on_and_their_sum_is_stored_before_it_is_announced() -> None:
    scene = Scene(speak)
    lease = await scene.lease()
    assert await scene.runner.run(lease) is None
    page = await scene.store.after(lease.conversation_id, 0, 10)
    stored = page.entries[1]
    assert isinstance(stored, Reply)
    assert stored.draft == Draft("hello", "stop", Usage(10, 2), assistant="scripted@1")
    kinds = [type(event).__name__ for event, _ in scene.heard.events]
    assert kinds == ["RunStarted", "Delta", "Delta", "Replied"]
    assert scene.heard.replies() == [stored]
    assert {attempt for _, attempt in scene.heard.events} == {lease.attempt}


async def test_a_failed_run_is_tried_again_from_the_beginning() -> None:
    scene = Scene(break_off, speak)
    async with scene.working():
        await scene.say()
        assert (await scene.reply()).draft.text == "hello"
    started = [event for event, _ in scene.heard.events if isinstance(event, RunStarted)]
    assert len(started) == 2
    assert len({prompt.run_id for prompt in scene.engine.prompts}) == 1
    assert [prompt.again for prompt in scene.engine.prompts] == [False, True]


async def test_after_five_failures_the_person_is_told_and_a_dead_letter_is_filed() -> None:
    scene = Scene(break_off)
    async with scene.working():
        await scene.say()
        reply = await scene.reply()
    assert (reply.draft.code, reply.draft.retryable) == ("provider_broke_off", True)
    assert len(scene.engine.prompts) == policy.MOST_FAILURES
    [letter] = await scene.store.dead_letters(10)
    assert (letter.question.offset, letter.code, letter.tries) == (1, reply.draft.code, 5)


async def test_a_fault_of_ours_is_a_failure_too_and_does_not_end_the_worker() -> None:
    scene = Scene(crash)
    lease = await scene.lease()
    for tries in range(1, policy.MOST_FAILURES):
        before = replace(lease, tries=tries, failures=tries - 1)
        outcome = await scene.runner._attempt(before)
        assert not isinstance(outcome, Draft)
    outcome = await scene.runner._attempt(replace(lease, tries=5, failures=policy.MOST_FAILURES - 1))
    assert isinstance(outcome, Draft)
    assert outcome.code == "internal"


async def test_a_question_that_kills_its_worker_ends_after_ten_tries() -> None:
    now = [0.0]
    scene = Scene(speak, store=MemoryStore(clock=lambda: now[0], lease_seconds=30, most_waiting=10))
    lease = await scene.lease()
    for tries in range(2, policy.MOST_TRIES + 2):
        now[0] += 31
        again = await scene.store.take(lease.conversation_id, "w")
        assert again is not None
        assert again.tries == tries
        lease = again
    assert await scene.runner.run(lease) is None
    [reply] = scene.heard.replies()
    assert reply.draft.code == "too_many_tries"
    assert scene.engine.prompts == []


async def test_a_run_past_its_deadline_is_not_tried_again() -> None:
    scene = Scene(hang, deadline=0.05)
    async with scene.working():
        await scene.say()
        assert (await scene.reply()).draft.code == "expired"
    assert len(scene.engine.prompts) == 1


class ForgetfulStore(MemoryStore):
    """Stores the answer, and fails to say so, twice."""

    failures = 2

    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        settled = await super().answer(lease, draft, post=post)
        if self.failures:
            self.failures -= 1
            raise Unavailable("connection lost")
        return settled


async def test_a_reply_whose_storing_is_in_doubt_is_stored_once_and_not_paid_for_twice() -> None:
    scene = Scene(speak, store=ForgetfulStore(lease_seconds=30, most_waiting=10))
    lease = await scene.lease()
    assert await scene.runner.run(lease) is None
    assert len(scene.heard.replies()) == 1
    assert len((await scene.store.after(lease.conversation_id, 0, 10)).entries) == 2
    assert len(scene.engine.prompts) == 1


async def test_of_an_attempt_that_is_over_here_nothing_is_under_way_whatever_became_of_it() -> None:
    now = [0.0]
    watched = Watched()
    store = MemoryStore(clock=lambda: now[0], lease_seconds=30, most_waiting=10)
    scene = Scene(break_off, hang, speak, store=store, heard=watched)

    lease = await scene.lease()
    assert await scene.runner.run(lease) is None
    assert watched.router.under_way("anna") == []

    now[0] += 1
    again = await store.take(lease.conversation_id, "w")
    assert again is not None
    stopped = asyncio.create_task(scene.runner.run(again))
    await scene.until(lambda: [one.text for one in watched.router.under_way("anna")] == ["he"])
    stopped.cancel()
    await asyncio.wait([stopped])
    assert watched.router.under_way("anna") == []

    now[0] += 31
    lost = await store.take(lease.conversation_id, "w")
    now[0] += 31
    assert lost is not None
    assert await store.take(lease.conversation_id, "another") is not None
    with pytest.raises(LeaseLost):
        await scene.runner.run(lost)
    assert watched.router.under_way("anna") == []


async def test_a_worker_that_is_stopped_hands_its_turn_back() -> None:
    scene = Scene(hang)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
    lease = await scene.store.take(accepted.conversation_id, "another")
    assert lease is not None
    assert (lease.tries, lease.failures) == (2, 0)


async def test_a_worker_that_drains_leaves_new_work_and_what_it_hands_back_to_others() -> None:
    scene = Scene(hang)
    async with scene.working():
        begun = await scene.say()
        await scene.words()
        await scene.worker.drain(0)
        await scene.bell.ring("another")
    rings = scene.bell.rings()
    async with asyncio.timeout(5), aclosing(rings):
        assert [(await anext(rings)).conversation_id for _ in range(2)] == ["another", begun.conversation_id]


async def test_a_turn_whose_lease_was_lost_stops() -> None:
    now = [0.0]
    scene = Scene(hang, store=MemoryStore(clock=lambda: now[0], lease_seconds=0.3, most_waiting=10), lease=0.3)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
        now[0] += 1
        other = await scene.store.take(accepted.conversation_id, "another")
        assert other is not None
        async with asyncio.timeout(5):
            while scene.worker._held:
                await asyncio.sleep(0.01)
        settled = await scene.store.answer(other, Draft("from the other", "stop"))
    assert settled.reply.draft.text == "from the other"
    assert scene.heard.replies() == []


async def run_in_background(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield RunBegun("resp_1")
    await asyncio.Event().wait()


@pytest.mark.parametrize("woken_by", ["its deadline", "a cancel"])
async def test_a_worker_that_slept_past_its_lease_leaves_the_run_to_the_one_that_goes_on_with_it(woken_by: str) -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0], lease_seconds=30, most_waiting=10)
    scene = Scene(run_in_background, store=store, deadline=0.2 if woken_by == "its deadline" else 60)
    async with scene.working():
        accepted = await scene.say()
        await scene.until(lambda: bool(scene.engine.prompts))
        now[0] += 31
        other = await store.take(accepted.conversation_id, "another")
        assert other is not None
        if woken_by == "a cancel":
            scene.runner.cancel(accepted.conversation_id)
        async with asyncio.timeout(5):
            while scene.worker._held:
                await asyncio.sleep(0.01)
    assert scene.engine.cancelled == []
    assert [step for step in await store.steps(other) if isinstance(step, Begun)] == [Begun("resp_1", "scripted@1")]
    await store.answer(other, Draft("from the other", "stop"))
    assert scene.heard.replies() == []


async def test_a_lease_is_kept_alive_while_its_turn_runs() -> None:
    class Counting(MemoryStore):
        renewed = 0

        async def renew(self, lease: Lease) -> Lease:
            kept = await super().renew(lease)
            self.renewed += 1
            return kept

    now = [0.0]
    store = Counting(clock=lambda: now[0], lease_seconds=0.3, most_waiting=10)
    scene = Scene(hang, store=store, lease=0.3)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
        now[0] += 0.29
        before = store.renewed
        async with asyncio.timeout(5):
            while store.renewed == before:
                await asyncio.sleep(0.01)
        now[0] += 0.29
        assert await scene.store.take(accepted.conversation_id, "another") is None


async def test_work_whose_ring_was_lost_is_found() -> None:
    scene = Scene(speak)
    conversation = await scene.store.current("anna", "websocket", "a")
    await scene.store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
    async with scene.working():
        assert (await scene.reply()).draft.text == "hello"


class BusyElsewhere(MemoryStore):
    """Another process takes what was accepted just after the sweep here has seen it."""

    looks = tries = 0

    async def waiting(self, limit: int) -> Sequence[str]:
        self.looks += 1
        found = await super().waiting(limit)
        for conversation_id in found:
            await super().take(conversation_id, "another")
        return found

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        self.tries += 1
        return await super().take(conversation_id, owner)


async def test_work_that_its_own_process_begins_at_once_is_left_to_it() -> None:
    store = BusyElsewhere(lease_seconds=30, most_waiting=10)
    scene = Scene(speak, store=store)
    conversation = await store.current("anna", "websocket", "a")
    await store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
    async with scene.working(), asyncio.timeout(5):
        while store.looks < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    assert store.tries == 0


class FailingStore(MemoryStore):
    """Cannot be reached for its first lease."""

    failed = False

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        if self.failed:
            return await super().take(conversation_id, owner)
        self.failed = True
        raise Unavailable("no database")


class NoCounter(MemoryStore):
    """Cannot be told, once, that a run failed."""

    failed = False

    async def fail(self, lease: Lease, retry_after: float) -> None:
        if not self.failed:
            self.failed = True
            raise Unavailable("no database")
        await super().fail(lease, retry_after)


async def test_a_store_that_fails_for_a_moment_does_not_keep_a_failed_run_on_lease() -> None:
    store = NoCounter(lease_seconds=30, most_waiting=10)
    scene = Scene(break_off, speak, store=store)
    async with scene.working():
        await scene.say()
        assert (await scene.reply()).draft.text == "hello"
    assert store.failed


async def test_a_store_that_fails_does_not_end_the_worker() -> None:
    store = FailingStore(lease_seconds=30, most_waiting=10)
    scene = Scene(speak, store=store)
    async with scene.working():
        await scene.say()
        async with asyncio.timeout(5):
            while not store.failed:
                await asyncio.sleep(0)
        await scene.say("again")
        async with asyncio.timeout(5):
            while len(scene.heard.replies()) < 2:
                await asyncio.sleep(0)
    assert [reply.question for reply in scene.heard.replies()] == [1, 2]


async def test_a_question_that_comes_while_its_conversation_is_let_go_is_not_left_behind() -> None:
    scene = Scene(speak)
    async with scene.working():
        for number in range(50):
            accepted = await scene.say(f"number {number}")
            if number % 3 == 0:
                continue
            async with asyncio.timeout(5):
                while (await scene.store.find("anna", accepted.conversation_id)).answered < accepted.offset:
                    await asyncio.sleep(0)
    assert len(scene.heard.replies()) == 50


class FarStore(MemoryStore):
    """Does what it is told at once, and is slow to say so, like one over a network."""

    def __init__(self) -> None:
        super().__init__(lease_seconds=30, most_waiting=10)
        self.told = asyncio.Event()

    async def _say_so(self) -> None:
        self.told.set()
        await asyncio.sleep(0.1)


class SlowToLease(FarStore):
    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        lease = await super().take(conversation_id, owner)
        if lease is not None and not self.told.is_set():
            await self._say_so()
        return lease


class SlowToStore(FarStore):
    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        settled = await super().answer(lease, draft, post=post)
        await self._say_so()
        return settled


@pytest.mark.parametrize(("store", "answered"), [(SlowToLease, 0), (SlowToStore, 1)])
async def test_a_worker_that_ends_while_the_store_is_told_something_leaves_no_lease_behind(
    store: type[FarStore], answered: int
) -> None:
    far = store()
    scene = Scene(speak, store=far)
    async with scene.working():
        accepted = await scene.say("one")
        await scene.say("two")
        async with asyncio.timeout(5):
            await far.told.wait()
    assert [reply.question for reply in scene.heard.replies()] == [1][:answered]
    lease = await scene.store.take(accepted.conversation_id, "another worker")
    assert lease is not None
    assert lease.question.offset == answered + 1


async def test_a_worker_that_ends_in_the_middle_of_a_run_hands_it_back_at_once() -> None:
    scene = Scene(hang)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < HAND_BACK_SECONDS / 2
    assert await scene.store.take(accepted.conversation_id, "another worker") is not None


def test_delays_grow_and_never_undercut_the_providers_hint() -> None:
    for failures in range(10):
        longest = min(0.5 * 2**failures, 30)
        assert all(longest / 2 <= delay_after(failures, None) <= longest for _ in range(20))
        assert delay_after(failures, 40) == 40


def test_only_errors_that_may_pass_are_tried_again() -> None:
    lease = Lease("c", "anna", "websocket", "a", 1, Question(1, "m", "hi", 0), 1, 0)
    assert policy.will_retry(Unavailable("x"), lease)
    assert policy.will_retry(Unavailable("x", retry_after=30), lease)
    assert not policy.will_retry(Unavailable("x", retry_after=31), lease)
    assert not policy.will_retry(ServerError("x"), lease)


async def test_a_worker_that_is_told_to_look_finds_out_that_its_turn_was_cancelled() -> None:
    scene = Scene(hang)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
        await scene.store.cancel("anna", accepted.conversation_id, None)
        await scene.worker.look(accepted.conversation_id)
        assert (await scene.reply()).draft.finish_reason == "cancelled"
        await scene.worker.look("c_nothing")


async def test_a_cancel_that_is_seen_again_while_its_run_is_being_ended_changes_nothing() -> None:
    ending, may_end = asyncio.Event(), asyncio.Event()

    async def end_slowly(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        try:
            yield Words("he")
            await asyncio.Event().wait()
        finally:
            ending.set()
            await may_end.wait()

    scene = Scene(end_slowly)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
        await scene.store.cancel("anna", accepted.conversation_id, None)
        await scene.worker.look(accepted.conversation_id)
        await ending.wait()
        await scene.worker.look(accepted.conversation_id)
        may_end.set()
        reply = await scene.reply()
    assert (reply.draft.text, reply.draft.finish_reason) == ("he", "cancelled")


async def test_a_worker_looks_soon_at_what_others_say_was_cancelled_however_often_they_say_it() -> None:
    scene = Scene(hang)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
        await scene.store.cancel("anna", accepted.conversation_id, None)
        for _ in range(1_000):
            scene.worker.look_soon(accepted.conversation_id)
            scene.worker.look_soon("c_nothing")
        assert (await scene.reply()).draft.finish_reason == "cancelled"


async def test_a_cancel_is_heard_while_it_is_read_what_a_turn_has_come_to() -> None:
    class Interrupted(MemoryStore):
        async def steps(self, lease: Lease) -> Sequence[Step]:
            scene.runner.cancel(lease.conversation_id)
            return await super().steps(lease)

    scene = Scene(speak, store=Interrupted(lease_seconds=30, most_waiting=10))
    lease = await scene.lease()
    await scene.runner.run(replace(lease, steps=1, tries=2))
    assert [reply.draft.finish_reason for reply in scene.heard.replies()] == ["cancelled"]
    assert scene.engine.prompts == []


async def test_a_turn_that_fails_as_it_is_cancelled_is_ended_without_delay() -> None:
    class Interrupted(OneAssistant):
        async def find(self, reference: str, channel: str) -> Assistant:
            scene.runner.cancel(lease.conversation_id)
            raise Unavailable("no catalog", retry_after=20)

    scene = Scene(speak, catalog=Interrupted())
    lease = await scene.lease()
    assert await scene.runner._attempt(lease) == Retry(0)


class SlowToRenew(MemoryStore):
    at_once = 0
    most = 0

    async def renew(self, lease: Lease) -> Lease:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.1)
        self.at_once -= 1
        return await super().renew(lease)


async def test_leases_are_renewed_side_by_side() -> None:
    store = SlowToRenew(lease_seconds=1, most_waiting=9)
    scene = Scene(hang, store=store, lease=1)
    for person in ("anna", "ben", "cleo"):
        conversation = await store.current(person, "websocket", "a")
        await store.accept(InboundMessage(person, conversation.id, person, "hi"))
        await scene.bell.ring(conversation.id)
    working = asyncio.create_task(scene.worker.run())
    async with asyncio.timeout(10):
        while store.most < 3:
            await asyncio.sleep(0.05)
    working.cancel()
    await asyncio.wait([working])


async def test_a_reply_for_which_the_outbox_has_no_room_is_told_to_operators(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scene = Scene(speak, channel="sms", store=MemoryStore(lease_seconds=30, most_waiting=9, most_unsent=1))
    for _ in range(2):
        await scene.runner.run(await scene.lease())
    assert [reply.draft.text for reply in scene.heard.replies()] == ["hello", "hello"]
    assert b'messages_failed_total{channel="sms",code="outbox_full"} 1.0' in scene.metrics.text()
    assert "outbox_full" in capsys.readouterr().out
