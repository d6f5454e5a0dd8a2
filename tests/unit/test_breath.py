"""People who say one thing in several messages, from the door to the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.backends.memory import MemoryBell, MemoryStore
from server.backends.sql import SqlBackend, open_sql
from server.inbox.accept import Inbox
from server.model import (
    Accepted,
    Draft,
    Finished,
    InboundMessage,
    Prompt,
    Replied,
    Reply,
    RunBegun,
    RunEvent,
    RunStarted,
    Waiting,
    Words,
    breath_of,
    breaths,
    due,
)
from tests.unit.turn_scene import Scene, break_off, hang, speak

QUIET = 0.4

# --- the rule -----------------------------------------------------------------------------------------------------


@st.composite
def lines(draw: st.DrawFn) -> list[Waiting]:
    """What waits in a conversation, oldest first."""
    offset, at, line = 0, 0, []
    for _ in range(draw(st.integers(1, 8))):
        offset += draw(st.integers(1, 2))
        at += draw(st.integers(0, 5_000))
        line.append(Waiting(offset, at, draw(st.sampled_from([0, 3_000])), draw(st.booleans())))
    return line


@given(lines(), st.integers(0, 16))
def test_every_question_is_in_one_breath_and_breaths_keep_the_order(line: list[Waiting], through: int) -> None:
    turns = breaths(line, through)
    assert [one for breath in turns for one in breath] == line
    for breath in turns:
        assert len(breath) == 1 or all(one.quiet for one in breath)
        assert len({(one.cancelled, one.offset <= through) for one in breath}) == 1
        assert all(breath_of(one.offset, turns) == breath for one in breath)
    for one, other in pairwise(turns):
        apart = one[-1].cancelled != other[0].cancelled or one[-1].offset <= through < other[0].offset
        assert apart or not (one[-1].quiet and other[0].quiet)


@given(lines(), st.integers(0, 10_000))
def test_what_is_said_later_never_brings_a_turn_forward_nor_puts_it_off_for_ever(
    line: list[Waiting], pause: int
) -> None:
    first = breaths(line)[0]
    later = Waiting(line[-1].offset + 1, line[-1].asked_at + pause, first[0].quiet, first[0].cancelled)
    grown = breaths([*line, later])[0]
    assert due(first) <= due(grown)
    assert due(grown) == 0 or due(grown) <= first[0].asked_at + 5 * first[0].quiet


# --- the door, the worker, the reply ------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore | SqlBackend]:
    if request.param == "memory":
        yield MemoryStore(lease_seconds=30, most_waiting=100)
        return
    async with open_sql(f"sqlite:///{tmp_path}/breath.db", sole=True, lease_seconds=30, most_waiting=100) as opened:
        yield opened


class Phone:
    """Somebody who texts, through the door."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.inbox: Inbox = scene.inbox()

    async def text(self, *said: str) -> Accepted:
        conversation = await self.scene.store.current("anna", "sms", "a")
        for one in said:
            message = InboundMessage("anna", conversation.id, one.replace(" ", "-"), one, quiet=QUIET)
            accepted = await self.inbox.accept(message)
        return accepted


async def replies(scene: Scene, number: int) -> None:
    async with asyncio.timeout(10):
        while len(scene.heard.replies()) < number:
            await asyncio.sleep(0.01)


async def test_messages_sent_in_one_breath_are_one_prompt_and_get_one_reply(store: MemoryStore | SqlBackend) -> None:
    scene = Scene(speak, store=store)
    async with scene.working():
        await Phone(scene).text("hello", "are you open", "on Sunday")
        reply = await scene.reply()
    assert [prompt.question for prompt in scene.engine.prompts] == ["hello\nare you open\non Sunday"]
    assert (reply.question, reply.through, reply.message_ids) == (1, 3, ("hello", "are-you-open", "on-Sunday"))
    assert len(scene.heard.replies()) == 1
    assert [type(event) for event, _ in scene.heard.events][:4] == [Accepted, Accepted, Accepted, RunStarted]


async def test_the_bell_is_enough_and_the_worker_needs_no_sweep(store: MemoryStore | SqlBackend) -> None:
    """The sweep looks when the worker starts, and five seconds later."""
    scene = Scene(speak, store=store)
    async with scene.working():
        await asyncio.sleep(0)
        async with asyncio.timeout(4):
            await Phone(scene).text("one", "two")
            assert (await scene.reply()).through == 2
            await Phone(scene).text("three")
            assert (await scene.reply()).question == 4


async def test_what_is_said_during_a_turn_is_answered_after_it_and_the_model_sees_both(
    store: MemoryStore | SqlBackend,
) -> None:
    answer = asyncio.Event()

    async def slow(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        await answer.wait()
        yield Words("first")
        yield Finished("stop", None)

    scene = Scene(slow, speak, store=store)
    phone = Phone(scene)
    async with scene.working():
        await phone.text("one", "two")
        await scene.until(lambda: len(scene.engine.prompts) == 1)
        await phone.text("three", "four")
        answer.set()
        await replies(scene, 2)
    assert [reply.through for reply in scene.heard.replies()] == [2, 4]
    assert [prompt.question for prompt in scene.engine.prompts] == ["one\ntwo", "three\nfour"]
    [exchange] = scene.engine.prompts[1].exchanges
    assert (exchange.question, exchange.reply) == ("one\ntwo", "first")


async def test_a_run_that_is_taken_up_again_has_the_prompt_that_it_was_begun_with(
    store: MemoryStore | SqlBackend,
) -> None:
    noted = asyncio.Event()

    async def begun(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        yield RunBegun("run_1")
        noted.set()
        await asyncio.Event().wait()

    first = Scene(begun, store=store)
    async with first.working():
        await Phone(first).text("one", "two")
        await noted.wait()
        await Phone(first).text("three")
    second = Scene(speak, store=store)
    async with second.working():
        assert (await second.reply()).message_ids == ("one", "two")
    prompt = second.engine.prompts[0]
    assert (prompt.question, prompt.handle, prompt.again) == ("one\ntwo", "run_1", True)
    assert prompt.run_id == first.engine.prompts[0].run_id


async def test_a_failed_run_is_tried_again_with_the_same_questions(store: MemoryStore | SqlBackend) -> None:
    scene = Scene(break_off, speak, store=store)
    async with scene.working():
        await Phone(scene).text("one", "two")
        assert (await scene.reply()).draft.text == "hello"
    assert [prompt.question for prompt in scene.engine.prompts] == ["one\ntwo"] * 2


async def test_one_cancel_ends_the_turn_of_all_and_what_is_said_then_has_its_own(
    store: MemoryStore | SqlBackend,
) -> None:
    scene = Scene(hang, speak, store=store)
    phone = Phone(scene)
    async with scene.working():
        accepted = await phone.text("one", "two")
        await scene.until(lambda: bool(scene.engine.prompts))
        await phone.inbox.cancel("anna", accepted.conversation_id, "two")
        reply = await scene.reply()
        assert (reply.draft.finish_reason, reply.through) == ("cancelled", 2)
        await phone.text("three")
        reply = await scene.reply()
        assert (reply.draft, reply.message_id) == (
            Draft("hello", "stop", reply.draft.usage, assistant="scripted@1"),
            "three",
        )


async def test_after_five_failures_all_are_told_at_once_and_a_requeue_asks_them_together(
    store: MemoryStore | SqlBackend,
) -> None:
    scene = Scene(break_off, store=store)
    async with scene.working():
        await Phone(scene).text("one", "two")
        async with asyncio.timeout(30):
            await scene.heard.replied.wait()
    [reply] = scene.heard.replies()
    assert (reply.draft.code, reply.message_ids) == ("provider_broke_off", ("one", "two"))
    [letter] = await store.dead_letters(10)
    await store.requeue(letter)
    again = Scene(speak, store=store)
    async with again.working():
        await again.reply()
    assert [prompt.question for prompt in again.engine.prompts] == ["one\ntwo"]


async def test_everybody_gets_one_reply_to_everything_however_messages_and_turns_meet(
    store: MemoryStore | SqlBackend,
) -> None:
    async def brief(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        await asyncio.sleep(QUIET / 4)
        yield Words("yes")
        yield Finished("stop", None)

    scene = Scene(brief, store=store)
    phone = Phone(scene)
    async with scene.working():
        for number in range(16):
            accepted = await phone.text(f"n{number}")
            await asyncio.sleep(QUIET * (0.1, 0.1, 0.7, 1.6)[number % 4])
        async with asyncio.timeout(10):
            while not scene.heard.replies() or scene.heard.replies()[-1].last < accepted.offset:
                await asyncio.sleep(0.01)
    entries = (await store.after(accepted.conversation_id, 0, 1_000)).entries
    answered = [one.offset for one in entries if not isinstance(one, Reply)]
    given = [one for one in entries if isinstance(one, Reply)]
    named = [one for reply in given for one in (reply.message_ids or (reply.message_id,))]
    assert named == [f"n{number}" for number in range(16)]
    assert [sum(reply.answers(offset) for reply in given) for offset in answered] == [1] * 16
    assert len(given) < 16
    assert given == [event.reply for event, _ in scene.heard.events if isinstance(event, Replied)]


async def test_the_rings_of_one_breath_do_not_pile_up() -> None:
    scene = Scene(speak)
    assert isinstance(scene.bell, MemoryBell)
    async with scene.working():
        await Phone(scene).text(*(f"n{number}" for number in range(50)))
        assert (await scene.reply()).last == 50
    assert len(scene.engine.prompts) == 1
