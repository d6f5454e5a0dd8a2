"""Turns with tools, and turns that go on after a crash: nothing is done twice that was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from server.backends.memory import MemoryStore
from server.errors import Unavailable
from server.model import (
    Delta,
    Finished,
    Prompt,
    RunBegun,
    RunEvent,
    ThreadMade,
    ToolCall,
    ToolsWanted,
    ToolUsed,
    Usage,
    Words,
)
from server.turns.erasure import Erasure
from server.turns.speaker import ENOUGH
from tests.unit.turn_scene import Run, Scene, ScriptedEngine, break_off, hang

LOOK = ToolCall("call_1", "look", "{}")
FEEL = ToolCall("call_2", "feel", "{}")


def wanting(*calls: ToolCall, said: str = "") -> Run:
    async def run(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        if said:
            yield Words(said)
        yield ToolsWanted(calls, trace="[]", usage=Usage(1, 2))

    return run


def saying(*words: str) -> Run:
    async def run(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        for text in words:
            yield Words(text)
        yield Finished("stop", Usage(10, 20))

    return run


async def blue(_arguments: str) -> str:
    return "blue"


def used(scene: Scene) -> list[tuple[str, str]]:
    return [(event.name, event.status) for event, _ in scene.heard.events if isinstance(event, ToolUsed)]


def shown(scene: Scene) -> str:
    return "".join(event.text for event, _ in scene.heard.events if isinstance(event, Delta))


async def test_the_next_run_is_shown_what_every_tool_gave() -> None:
    scene = Scene(wanting(LOOK, FEEL, said="Let me see."), saying("It is ", "blue."), look=blue, feel=blue)
    lease = await scene.lease()
    await scene.runner.run(lease)
    [reply] = scene.heard.replies()
    assert reply.draft.text == shown(scene) == "Let me see.\n\nIt is blue."
    assert reply.draft.usage == Usage(11, 22)
    [one] = scene.engine.prompts[1].rounds
    assert (one.said, one.calls) == ("Let me see.", (LOOK, FEEL))
    assert {(result.call_id, result.output) for result in one.results} == {("call_1", "blue"), ("call_2", "blue")}
    assert sorted(used(scene)) == [("feel", "done"), ("feel", "started"), ("look", "done"), ("look", "started")]


async def test_tools_know_for_whom_they_work_and_each_call_has_a_key_of_its_own() -> None:
    scene = Scene(wanting(LOOK, FEEL), saying("ok"), look=blue, feel=blue)
    lease = await scene.lease()
    await scene.runner.run(lease)
    callers = [caller for _, caller in scene.workshop.calls]
    places = {(one.person, one.conversation_id, one.channel) for one in callers}
    assert places == {("anna", lease.conversation_id, "websocket")}
    assert {one.key for one in callers} == {f"{lease.conversation_id}-1-call_1", f"{lease.conversation_id}-1-call_2"}


async def test_calls_run_at_the_same_time() -> None:
    both = asyncio.Barrier(2)

    async def meet(_arguments: str) -> str:
        await both.wait()
        return "met"

    scene = Scene(wanting(LOOK, FEEL), saying("ok"), look=meet, feel=meet)
    async with asyncio.timeout(2):
        await scene.runner.run(await scene.lease())
    assert scene.heard.replies()[0].draft.text == "ok"


async def test_a_crash_repeats_no_call_that_returned_and_asks_the_others_again() -> None:
    now = [0.0]

    async def never(_arguments: str) -> str:
        await asyncio.Event().wait()
        return ""

    store = MemoryStore(clock=lambda: now[0], lease_seconds=30, most_waiting=10)
    scene = Scene(wanting(LOOK, FEEL, said="Hm."), store=store, look=blue, feel=never)
    lease = await scene.lease()
    crashed = asyncio.create_task(scene.runner.run(lease))
    async with asyncio.timeout(2):
        while lease.steps + len(await store.steps(lease)) < 2:
            await asyncio.sleep(0)
    crashed.cancel()
    await asyncio.wait([crashed])

    now[0] += 31
    after = Scene(saying("It is blue."), store=store, feel=blue)
    again = await store.take(lease.conversation_id, "w")
    assert again is not None
    await after.runner.run(again)
    assert [call for call, _ in after.workshop.calls] == [FEEL]
    assert [call.key for _, call in after.workshop.calls] == [f"{lease.conversation_id}-1-call_2"]
    assert after.heard.replies()[0].draft.text == shown(after) == "Hm.\n\nIt is blue."
    assert len(after.engine.prompts) == 1


async def test_a_failed_run_goes_on_after_the_rounds_that_are_over() -> None:
    scene = Scene(wanting(LOOK, said="Hm."), break_off, saying("Blue."), look=blue)
    async with scene.working():
        await scene.say()
        assert (await scene.reply()).draft.text == "Hm.\n\nBlue."
    assert len(scene.workshop.calls) == 1
    assert [len(prompt.rounds) for prompt in scene.engine.prompts] == [0, 1, 1]


async def test_a_tool_that_is_not_the_assistants_is_not_used_and_nobody_hears_its_name() -> None:
    scene = Scene(wanting(LOOK, ToolCall("call_3", "pay", "{}")), saying("ok"), look=blue, pay=blue)
    await scene.runner.run(await scene.lease())
    assert [call.name for call, _ in scene.workshop.calls] == ["look"]
    assert {name for name, _ in used(scene)} == {"look"}
    [one] = scene.engine.prompts[1].rounds
    assert {(result.call_id, result.failed) for result in one.results} == {("call_1", False), ("call_3", True)}


async def test_rounds_have_an_end() -> None:
    scene = Scene(wanting(LOOK), most_rounds=2, look=blue)
    await scene.runner.run(await scene.lease())
    assert scene.heard.replies()[0].draft.code == "too_many_rounds"
    assert [prompt.last for prompt in scene.engine.prompts] == [False, False, True]
    assert len(scene.workshop.calls) == 2


async def test_calls_have_an_end_and_those_beyond_are_answered_all_the_same() -> None:
    calls = tuple(ToolCall(f"call_{number}", "look", "{}") for number in range(5))
    scene = Scene(wanting(*calls), wanting(LOOK), saying("ok"), most_calls=3, look=blue)
    await scene.runner.run(await scene.lease())
    assert len(scene.workshop.calls) == 3
    first, second = scene.engine.prompts[2].rounds
    assert [result.output for result in (*first.results, *second.results)].count(ENOUGH) == 3
    assert used(scene).count(("look", "started")) == 3


async def test_a_tool_that_is_cancelled_leaves_the_words_so_far_and_the_next_turn_works() -> None:
    begun = asyncio.Event()

    async def slow(_arguments: str) -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    scene = Scene(wanting(LOOK, said="Hm."), saying("next"), look=slow)
    async with scene.working():
        accepted = await scene.say()
        await begun.wait()
        scene.runner.cancel(accepted.conversation_id)
        reply = await scene.reply()
        assert (reply.draft.text, reply.draft.finish_reason) == ("Hm.", "cancelled")
        await scene.say("again")
        assert (await scene.reply()).draft.text == "next"


async def begin_and_hang(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield ThreadMade("thread_1")
    yield RunBegun("thread_1/run_1")
    await asyncio.Event().wait()


async def test_a_run_is_kept_before_anything_is_done_with_it_and_taken_up_by_the_next_worker() -> None:
    scene = Scene(begin_and_hang)
    async with scene.working():
        await scene.say()
        async with asyncio.timeout(2):
            while not scene.engine.prompts:
                await asyncio.sleep(0)
    assert scene.engine.cancelled == []
    after = Scene(saying("done"), store=scene.store)
    async with after.working():
        assert (await after.reply()).draft.text == "done"
    [prompt] = after.engine.prompts
    assert (prompt.thread, prompt.handle, prompt.again) == ("thread_1", "thread_1/run_1", True)


async def test_a_run_that_is_cancelled_or_late_is_ended_at_the_provider() -> None:
    for deadline in (0.05, 5.0):
        scene = Scene(begin_and_hang, deadline=deadline)
        async with scene.working():
            accepted = await scene.say()
            async with asyncio.timeout(2):
                while not scene.engine.prompts:
                    await asyncio.sleep(0)
            if deadline > 1:
                scene.runner.cancel(accepted.conversation_id)
            reply = await scene.reply()
        assert (reply.draft.code or reply.draft.finish_reason) == ("expired" if deadline < 1 else "cancelled")
        assert scene.engine.cancelled == ["thread_1/run_1"]


async def test_a_question_cancelled_while_nobody_worked_on_it_ends_its_run_too() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0], lease_seconds=30, most_waiting=10)
    scene = Scene(begin_and_hang, store=store)
    async with scene.working():
        accepted = await scene.say()
        await scene.until(lambda: bool(scene.engine.prompts))
    await store.cancel("anna", accepted.conversation_id, None)
    after = Scene(hang, store=store)
    async with after.working():
        assert (await after.reply()).draft.finish_reason == "cancelled"
    assert after.engine.cancelled == ["thread_1/run_1"]
    assert after.engine.prompts == []


async def test_a_turn_goes_on_with_the_version_it_was_begun_with() -> None:
    scene = Scene(wanting(LOOK), break_off, saying("ok"), saying("next"), look=blue)
    async with scene.working():
        await scene.say()
        await scene.until(lambda: bool(scene.workshop.calls))
        scene.catalog.version = "2"
        assert (await scene.reply()).draft.assistant == "scripted@1"
        await scene.say("again")
        assert (await scene.reply()).draft.assistant == "scripted@2"


async def test_a_run_that_ends_without_a_word_is_told_as_what_it_was() -> None:
    for reason, code in (
        ("content_filter", "content_filter"),
        ("length", "empty_reply"),
        ("refusal", "refusal"),
        ("stop", "empty_reply"),
    ):

        async def end(_prompt: Prompt, reason: str = reason) -> AsyncGenerator[RunEvent]:
            yield Finished(reason, None)

        scene = Scene(end)
        await scene.runner.run(await scene.lease())
        [reply] = scene.heard.replies()
        assert (reply.draft.code, bool(reply.draft.text)) == (code, True)
        assert reply.draft.finish_reason == ("error" if reason == "stop" else reason)


async def test_a_run_that_cannot_be_noted_is_ended_at_the_provider() -> None:
    class Broken(MemoryStore):
        async def note(self, lease: object, step: object) -> None:
            raise Unavailable("no database")

    scene = Scene(begin_and_hang, store=Broken(lease_seconds=30, most_waiting=10))
    assert await scene.runner.run(await scene.lease()) is None
    assert len(scene.engine.prompts) == 1
    assert scene.engine.cancelled == ["thread_1/run_1"]


async def test_a_thread_that_cannot_be_noted_is_let_go_of() -> None:
    class Broken(MemoryStore):
        async def bind(self, lease: object, thread: str) -> None:
            raise Unavailable("no database")

    scene = Scene(begin_and_hang, store=Broken(lease_seconds=30, most_waiting=10))
    assert await scene.runner.run(await scene.lease()) is None
    assert scene.engine.forgotten == ["thread_1"]


async def test_a_conversation_is_forgotten_at_the_provider_first() -> None:
    scene = Scene(saying("hello"))
    lease = await scene.lease()
    await scene.store.bind(lease, "thread_1")
    await scene.runner.run(lease)
    await Erasure(scene.inbox(), scene.store, scene.engine).forget("anna", lease.conversation_id)
    assert scene.engine.forgotten == ["thread_1"]
    assert await scene.store.recent("anna", 10) == []


async def test_a_provider_that_cannot_be_asked_leaves_the_conversation_as_it_is() -> None:
    class Unreachable(ScriptedEngine):
        async def forget(self, thread: str) -> None:
            raise Unavailable("no provider")

    scene = Scene(saying("hello"))
    lease = await scene.lease()
    await scene.store.bind(lease, "thread_1")
    await scene.runner.run(lease)
    with pytest.raises(Unavailable):
        await Erasure(scene.inbox(), scene.store, Unreachable()).forget("anna", lease.conversation_id)
    assert len(await scene.store.recent("anna", 10)) == 1
