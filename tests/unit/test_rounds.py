"""Turns with tools, and turns that go on after a crash: nothing is done twice that was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from server.backends.memory import MemoryStore
from server.errors import Unavailable
from server.model import (
    Delta,
    File,
    Finished,
    Lease,
    Prompt,
    RunBegun,
    RunEvent,
    Step,
    ThreadMade,
    ToolCall,
    ToolUsed,
    Usage,
    Words,
    picture_key,
    picture_line,
)
from server.turns.speaker import ENOUGH
from tests.unit.turn_scene import LOOK, Run, Scene, ScriptedEngine, blue, break_off, hang, wanting

FEEL = ToolCall("call_2", "feel", "{}")


def saying(*words: str) -> Run:
    async def run(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        for text in words:
            yield Words(text)
        yield Finished("stop", Usage(10, 20))

    return run


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


async def test_what_tools_made_for_the_person_goes_out_with_the_reply_each_once() -> None:
    scene = Scene(wanting(LOOK, FEEL), wanting(LOOK), saying("Here."), look=blue, feel=blue)
    scene.workshop.images = {"look": ("images/a",), "feel": ("images/b",)}
    async with scene.working():
        await scene.say()
        assert (await scene.reply()).draft.images == ("images/a", "images/b")


async def test_a_picture_needs_no_words() -> None:
    scene = Scene(wanting(LOOK), saying(), look=blue)
    scene.workshop.images = {"look": ("images/a",)}
    async with scene.working():
        await scene.say()
        reply = await scene.reply()
    assert (reply.draft.text, reply.draft.code, reply.draft.images) == ("", None, ("images/a",))


async def test_a_picture_that_was_made_before_a_crash_is_in_the_reply_and_made_once() -> None:
    store = MemoryStore(lease_seconds=30, most_waiting=100)
    first = Scene(wanting(LOOK), hang, store=store, look=blue)
    first.workshop.images = {"look": ("images/a",)}
    lease = await first.lease()
    speaking = asyncio.create_task(first.runner.run(lease))
    await first.until(lambda: len(first.engine.prompts) == 2)
    speaking.cancel()
    await store.hand_back(lease)
    second = Scene(saying("Here."), store=store, look=blue)
    async with second.working():
        await second.bell.ring(lease.conversation_id)
        assert (await second.reply()).draft.images == ("images/a",)
    assert second.workshop.calls == []


async def test_a_cancelled_turn_keeps_the_pictures_that_were_made() -> None:
    scene = Scene(wanting(LOOK), hang, look=blue)
    scene.workshop.images = {"look": ("images/a",)}
    async with scene.working():
        accepted = await scene.say()
        await scene.until(lambda: len(scene.engine.prompts) == 2)
        scene.runner.cancel(accepted.conversation_id)
        reply = await scene.reply()
    assert (reply.draft.finish_reason, reply.draft.images) == ("cancelled", ("images/a",))


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


async def test_what_is_noted_while_its_turn_is_cancelled_is_ended_at_the_provider() -> None:
    class Slow(MemoryStore):
        async def bind(self, lease: Lease, thread: str) -> None:
            await self.stay("bind")

        async def note(self, lease: Lease, step: Step) -> None:
            await self.stay("note")

        async def stay(self, where: str) -> None:
            if where == stuck:
                scene.runner.cancel(lease.conversation_id)
                await asyncio.Event().wait()

    for stuck in ("bind", "note"):
        scene = Scene(begin_and_hang, store=Slow(lease_seconds=30, most_waiting=10))
        lease = await scene.lease()
        await scene.runner.run(lease)
        [reply] = scene.heard.replies()
        assert reply.draft.finish_reason == "cancelled"
        ended = scene.engine.forgotten if stuck == "bind" else scene.engine.cancelled
        assert ended == (["thread_1"] if stuck == "bind" else ["thread_1/run_1"])


async def test_a_run_that_was_noted_and_passed_to_another_worker_is_not_ended() -> None:
    now, noted = [0.0], asyncio.Event()

    class Unheard(MemoryStore):
        async def note(self, lease: Lease, step: Step) -> None:
            await super().note(lease, step)
            noted.set()
            await asyncio.Event().wait()

    scene = Scene(begin_and_hang, store=Unheard(clock=lambda: now[0], lease_seconds=30, most_waiting=10))
    lease = await scene.lease()
    running = asyncio.create_task(scene.runner.run(lease))
    await noted.wait()
    now[0] += 31
    other = await scene.store.take(lease.conversation_id, "other")
    assert other is not None
    assert other.steps == 1
    running.cancel()
    await asyncio.wait([running])
    assert scene.engine.cancelled == []


async def test_a_conversation_is_forgotten_at_the_provider_first() -> None:
    scene = Scene(saying("hello"))
    lease = await scene.lease()
    await scene.store.bind(lease, "thread_1")
    await scene.runner.run(lease)
    await scene.erasure().forget("anna", lease.conversation_id)
    assert scene.engine.forgotten == ["thread_1"]
    assert await scene.store.recent("anna", 10) == []


async def test_with_all_of_a_persons_conversations_goes_what_was_noted() -> None:
    scene = Scene(saying("I see"), channel="sms")
    await scene.runner.run(await scene.lease())
    await scene.store.create("anna", "whatsapp", "a")
    for person in ("anna", "bert"):
        await scene.store.add(person, "k1", "likes tea")
    await scene.erasure().forget_person("anna")
    assert await scene.store.recent("anna", 10) == []
    assert [len(await scene.store.of(person, 10)) for person in ("anna", "bert")] == [0, 1]


async def test_pictures_that_came_with_a_text_go_with_its_conversation_and_no_others_do() -> None:
    scene = Scene(saying("I see"), channel="sms")
    mine = (await scene.store.current("anna", "sms", "a")).id
    own, others = (picture_key(one, "https://here/1") for one in (mine, "c_other"))
    for key in (own, others):
        await scene.files.put(key, File(b"...", "image/png"))
        await scene.runner.run(await scene.lease(f"look\n{picture_line(key)}"))
    await scene.erasure().forget("anna", mine)
    assert (await scene.files.holds(own), await scene.files.holds(others)) == (False, True)


async def test_a_provider_that_cannot_be_asked_leaves_the_conversation_as_it_is() -> None:
    class Unreachable(ScriptedEngine):
        async def forget(self, thread: str) -> None:
            raise Unavailable("no provider")

    scene = Scene(saying("hello"))
    lease = await scene.lease()
    await scene.store.bind(lease, "thread_1")
    await scene.runner.run(lease)
    with pytest.raises(Unavailable):
        await scene.erasure(Unreachable()).forget("anna", lease.conversation_id)
    assert len(await scene.store.recent("anna", 10)) == 1


async def test_what_comes_in_while_the_provider_forgets_is_ended_before_it_goes() -> None:
    class Talkative(ScriptedEngine):
        async def forget(self, thread: str) -> None:
            await scene.say("wait")

    scene = Scene(saying("hello"), hang)
    lease = await scene.lease()
    await scene.store.bind(lease, "thread_1")
    await scene.runner.run(lease)
    async with scene.working():
        await scene.erasure(Talkative()).forget("anna", lease.conversation_id)
    assert [reply.draft.finish_reason for reply in scene.heard.replies()] == ["stop", "cancelled"]
    assert await scene.store.recent("anna", 10) == []
