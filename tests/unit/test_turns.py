"""Turns: the retry policy, the lease's life, and the worker that outlives every turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.backends.memory import MemoryBell, MemoryStore
from server.errors import ServerError, Unavailable
from server.metrics import Metrics
from server.model import (
    Accepted,
    Draft,
    Event,
    Finished,
    InboundMessage,
    Lease,
    Prompt,
    Replied,
    Reply,
    RunEvent,
    RunStarted,
    Settled,
    Usage,
    Window,
    Words,
)
from server.turns import runner as policy
from server.turns.runner import Runner, delay_after
from server.turns.worker import Worker

Run = Callable[[Prompt], AsyncGenerator[RunEvent]]


class ScriptedEngine:
    """Each run is the next of the script; the last one for ever."""

    assistant = "scripted@1"
    window = Window(1_000, 0)

    def __init__(self, *runs: Run) -> None:
        self._runs = list(runs)
        self.prompts: list[Prompt] = []

    def respond(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        self.prompts.append(prompt)
        run = self._runs.pop(0) if len(self._runs) > 1 else self._runs[0]
        return run(prompt)


class Heard:
    """The port Delivery, for a person who keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, int]] = []
        self.replied = asyncio.Event()

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        self.events.append((event, attempt))
        if isinstance(event, Replied):
            self.replied.set()

    def replies(self) -> list[Reply]:
        return [event.reply for event, _ in self.events if isinstance(event, Replied)]


async def speak(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words("hel")
    yield Words("lo")
    yield Finished("stop", Usage(10, 2))


async def break_off(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words("he")
    raise Unavailable("broke off", code="provider_broke_off", retry_after=0.01)


async def crash(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words(str(1 // 0))


async def hang(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words("he")
    await asyncio.Event().wait()


class Scene:
    """A store, a worker on it, and a person."""

    def __init__(self, *runs: Run, store: MemoryStore | None = None, deadline: float = 5, lease: float = 30) -> None:
        self.store = store or MemoryStore(lease_seconds=lease, most_waiting=100)
        self.bell = MemoryBell()
        self.engine = ScriptedEngine(*runs)
        self.heard = Heard()
        self.runner = Runner(
            self.store, self.store, self.bell, self.engine, self.heard, Metrics(), deadline_seconds=deadline
        )
        self.worker = Worker(self.store, self.store, self.bell, self.runner, owner="w", turns=4, lease_seconds=lease)

    async def say(self, text: str = "hi") -> Accepted:
        conversation = await self.store.current("anna", "websocket", "a")
        message = InboundMessage("anna", conversation.id, f"m{conversation.offset}", text)
        accepted = await self.store.accept(message)
        await self.bell.ring(conversation.id)
        return accepted

    async def lease(self) -> Lease:
        lease = await self.store.take((await self.say()).conversation_id, "w")
        assert lease is not None
        return lease

    async def reply(self) -> Reply:
        async with asyncio.timeout(10):
            await self.heard.replied.wait()
            self.heard.replied.clear()
        return self.heard.replies()[-1]

    async def words(self) -> None:
        """Until the assistant has begun to speak."""
        async with asyncio.timeout(5):
            while len(self.heard.events) < 2:
                await asyncio.sleep(0)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self.worker.run())
            yield
            working.cancel()


async def test_words_are_passed_on_and_their_sum_is_stored_before_it_is_announced() -> None:
    scene = Scene(speak)
    lease = await scene.lease()
    assert await scene.runner.run(lease) is None
    page = await scene.store.after(lease.conversation_id, 0, 10)
    stored = page.entries[1]
    assert isinstance(stored, Reply)
    assert stored.draft == Draft("hello", "stop", Usage(10, 2))
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
    assert len({prompt.run_id for prompt in scene.engine.prompts}) == 2


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
        before = Lease(lease.conversation_id, "anna", "a", lease.attempt, lease.question, tries, tries - 1)
        outcome = await scene.runner._outcome(before)
        assert not isinstance(outcome, Draft)
    last = Lease(lease.conversation_id, "anna", "a", lease.attempt, lease.question, 5, policy.MOST_FAILURES - 1)
    outcome = await scene.runner._outcome(last)
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
        assert (await scene.reply()).draft.code == "timeout"
    assert len(scene.engine.prompts) == 1


class ForgetfulStore(MemoryStore):
    """Stores the answer, and fails to say so, twice."""

    failures = 2

    async def answer(self, lease: Lease, draft: Draft) -> Settled:
        settled = await super().answer(lease, draft)
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


async def test_a_worker_that_is_stopped_hands_its_turn_back() -> None:
    scene = Scene(hang)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
    lease = await scene.store.take(accepted.conversation_id, "another")
    assert lease is not None
    assert (lease.tries, lease.failures) == (2, 0)


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


async def test_a_lease_is_kept_alive_while_its_turn_runs() -> None:
    now = [0.0]
    scene = Scene(hang, store=MemoryStore(clock=lambda: now[0], lease_seconds=0.3, most_waiting=10), lease=0.3)
    async with scene.working():
        accepted = await scene.say()
        await scene.words()
        now[0] += 0.29
        await asyncio.sleep(0.2)
        now[0] += 0.29
        assert await scene.store.take(accepted.conversation_id, "another") is None


async def test_work_whose_ring_was_lost_is_found() -> None:
    scene = Scene(speak)
    conversation = await scene.store.current("anna", "websocket", "a")
    await scene.store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
    async with scene.working():
        assert (await scene.reply()).draft.text == "hello"


class FailingStore(MemoryStore):
    """Cannot be reached for its first lease."""

    failed = False

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        if self.failed:
            return await super().take(conversation_id, owner)
        self.failed = True
        raise Unavailable("no database")


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


def test_delays_grow_and_never_undercut_the_providers_hint() -> None:
    for failures in range(10):
        longest = min(0.5 * 2**failures, 30)
        assert all(longest / 2 <= delay_after(failures, None) <= longest for _ in range(20))
        assert delay_after(failures, 40) == 40


def test_only_errors_that_may_pass_are_tried_again() -> None:
    lease = Lease("c", "anna", "a", 1, None, 1, 0)  # type: ignore[arg-type]
    assert policy.will_retry(Unavailable("x"), lease)
    assert policy.will_retry(Unavailable("x", retry_after=30), lease)
    assert not policy.will_retry(Unavailable("x", retry_after=31), lease)
    assert not policy.will_retry(ServerError("x"), lease)
