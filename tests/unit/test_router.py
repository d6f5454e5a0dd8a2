"""Words on their way out: the first at once, those that follow together, and none twice, lost or overtaken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from server.delivery.hub import Hub
from server.delivery.router import Router
from server.metrics import Metrics
from server.model import (
    Conversation,
    Delta,
    Draft,
    Event,
    Frame,
    Question,
    Replied,
    Reply,
    RunStarted,
    Snapshot,
    ToolUsed,
)
from tests.unit.wires import connection

QUESTION = Question(1, "m1", "hi", 0)
STARTED = RunStarted("c", QUESTION, "a@1")
REPLIED = Replied("c", Reply(2, 1, "m1", Draft("abcd", "stop"), 0))


def written(event: Event) -> Frame:
    if isinstance(event, Delta):
        return Frame(event.text.encode(), "c", turn=1, delta=True, at=event.at, end=event.at + len(event.text))
    return Frame(type(event).__name__.encode(), "c", turn=0 if isinstance(event, Replied) else 1)


class SlowHub(Hub):
    """While it is `closed`, that step waits for ever."""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.closed = ""
        self.waiting = asyncio.Event()

    async def of(self, person: str, *, fresh: bool = True) -> Sequence[str]:
        await self._step("look-up")
        return await super().of(person, fresh=fresh)

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        await super().push(connection_id, frame, attempt)
        await self._step("push")

    async def _step(self, name: str) -> None:
        if self.closed == name:
            self.waiting.set()
            await asyncio.Event().wait()


class Scene:
    def __init__(self, window: float = 10.0) -> None:
        self.now = 0.0
        self.hub = hub = SlowHub()
        one, self.wire = connection()
        one.release(Conversation("c", "anna", "websocket", "a", "e", 1, 0, 0, 0), ())
        hub.add(one)
        self.router = Router(hub, hub, written, window=window, clock=lambda: self.now)

    async def say(self, *words: str, attempt: int = 1) -> None:
        for word in words:
            await self.router.send("anna", Delta("c", 1, 0, word), attempt)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.router.run())
        yield
        task.cancel()
        await asyncio.wait([task])


async def test_the_first_words_go_out_at_once_and_those_that_follow_wait_for_the_end() -> None:
    scene = Scene()
    await scene.router.send("anna", STARTED, 1)
    await scene.say("a", "b", "c")
    assert scene.wire.frames == ["RunStarted", "a"]
    await scene.router.send("anna", REPLIED, 1)
    assert scene.wire.frames == ["RunStarted", "a", "bc", "Replied"]


async def test_words_at_a_slower_pace_than_the_window_never_wait() -> None:
    scene = Scene()
    await scene.router.send("anna", STARTED, 1)
    for word in "abc":
        await scene.say(word)
        scene.now += 10
    assert scene.wire.frames == ["RunStarted", "a", "b", "c"]


async def test_words_that_wait_go_out_when_their_window_ends() -> None:
    scene = Scene(window=0.01)
    async with scene.running():
        await scene.router.send("anna", STARTED, 1)
        await scene.say("a", "b", "c")
        async with asyncio.timeout(5):
            while len(scene.wire.frames) < 3:
                await asyncio.sleep(0)
    assert scene.wire.frames == ["RunStarted", "a", "bc"]


async def test_a_snapshot_holds_what_was_sent_and_not_what_waits() -> None:
    scene = Scene()
    assert scene.router.under_way("anna") == []
    await scene.router.send("anna", STARTED, 1)
    await scene.say("a", "b")
    [snapshot] = scene.router.under_way("anna")
    assert snapshot == Snapshot("c", 1, "m1", "a", attempt=1)
    await scene.router.send("anna", REPLIED, 1)
    assert scene.router.under_way("anna") == []


async def test_a_reply_begun_anew_forgets_what_waited() -> None:
    scene = Scene()
    await scene.router.send("anna", STARTED, 1)
    await scene.say("a", "b")
    await scene.router.send("anna", STARTED, 2)
    await scene.say("late", attempt=1)
    await scene.say("x", "y", attempt=2)
    await scene.router.send("anna", REPLIED, 2)
    assert scene.wire.frames == ["RunStarted", "a", "RunStarted", "x", "y", "Replied"]


@pytest.mark.parametrize("step", ["look-up", "push"])
async def test_words_of_a_turn_that_is_cancelled_while_it_speaks_are_shown_once_before_its_reply(step: str) -> None:
    scene = Scene()
    await scene.router.send("anna", STARTED, 1)
    await scene.say("a", "b")
    scene.now += 10
    scene.hub.closed = step
    speaking = asyncio.create_task(scene.say("c"))
    await scene.hub.waiting.wait()
    speaking.cancel()
    await asyncio.wait([speaking])
    scene.hub.closed = ""
    assert [snapshot.text for snapshot in scene.router.under_way("anna")] == ["a"]
    await scene.router.send("anna", REPLIED, 1)
    assert scene.wire.frames == ["RunStarted", "a", "bc", "Replied"]


async def test_words_that_are_put_back_go_out_when_their_window_ends() -> None:
    scene = Scene(window=0.01)
    await scene.router.send("anna", STARTED, 1)
    scene.hub.closed = "look-up"
    speaking = asyncio.create_task(scene.say("a"))
    await scene.hub.waiting.wait()
    speaking.cancel()
    await asyncio.wait([speaking])
    scene.hub.closed = ""
    async with scene.running(), asyncio.timeout(5):
        while len(scene.wire.frames) < 2:
            await asyncio.sleep(0)
    assert scene.wire.frames == ["RunStarted", "a"]


async def test_an_attempt_that_is_over_without_a_reply_is_forgotten_and_what_waited_of_it_is_not_sent() -> None:
    scene = Scene()
    await scene.router.send("anna", STARTED, 1)
    await scene.say("a", "b")
    scene.router.forget("anna", "c", 1)
    assert scene.router.under_way("anna") == []
    await scene.router.send("anna", ToolUsed("c", 1, "look", "done"), 1)
    assert scene.wire.frames == ["RunStarted", "a", "ToolUsed"]


async def test_a_later_attempt_is_not_forgotten_with_an_earlier_one() -> None:
    scene = Scene()
    for attempt in (1, 2):
        await scene.router.send("anna", STARTED, attempt)
    scene.router.forget("anna", "c", 1)
    scene.router.forget("anna", "c_another", 2)
    scene.router.forget("ben", "c", 2)
    assert [snapshot.attempt for snapshot in scene.router.under_way("anna")] == [2]
