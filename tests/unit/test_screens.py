"""What is shown of a reply that was cancelled before its last attempt came to speak: what is stored, to the letter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from server.backends.memory import MemoryStore
from server.model import Assistant, Lease, Page
from tests.unit.turn_scene import LOOK, OneAssistant, Scene, Watched, blue, break_off, wanting


def on_screen(watched: Watched) -> tuple[str, str]:
    """The words since the reply last began, joined, and the reply that came in the end."""
    words = ""
    for frame in map(json.loads, watched.wire.frames):
        match frame["messageType"]:
            case "runStarted":
                words = ""
            case "assistantDelta":
                words += frame["text"]
            case "assistantResponse":
                return words, frame["message"]
    raise AssertionError("no reply")


async def failed(scene: Scene, watched: Watched) -> Lease:
    """The lease that the first attempt had; a socket was shown all that it said."""
    lease = await scene.lease()
    watched.socket.release(await scene.store.find("anna", lease.conversation_id), ())
    assert await scene.runner.run(lease) is None
    assert "he" in watched.wire.frames[-1]
    return lease


@pytest.mark.parametrize("kept", ["", "Hm."])
async def test_of_a_reply_cancelled_between_two_attempts_the_screen_shows_what_is_stored(kept: str) -> None:
    watched = Watched()
    scene = Scene(*([wanting(LOOK, said=kept)] if kept else []), break_off, look=blue, heard=watched)
    lease = await failed(scene, watched)
    await scene.store.cancel("anna", lease.conversation_id, None)
    again = await scene.store.take(lease.conversation_id, "w")
    assert again is not None
    assert again.cancelled
    await scene.runner.run(again)
    assert on_screen(watched) == (kept, kept)
    assert watched.wire.closed is None


class Waiting(OneAssistant):
    """Once it is told to, it waits before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = 0

    async def find(self, reference: str, channel: str) -> Assistant:
        self.asked += 1
        await self.may_answer.wait()
        return await super().find(reference, channel)


class WaitingLog(MemoryStore):
    """The same, for what was said before."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock, lease_seconds=30, most_waiting=10)
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = 0

    async def before(self, conversation_id: str, offset: int | None, limit: int) -> Page:
        self.asked += 1
        await self.may_answer.wait()
        return await super().before(conversation_id, offset, limit)


@pytest.mark.parametrize("where", ["catalog", "log"])
async def test_of_a_reply_cancelled_while_its_next_attempt_begins_the_screen_shows_what_is_stored(where: str) -> None:
    now = [0.0]
    watched, catalog, log = Watched(), Waiting(), WaitingLog(lambda: now[0])
    scene = Scene(wanting(LOOK, said="Hm."), break_off, look=blue, heard=watched, store=log, catalog=catalog)
    lease = await failed(scene, watched)
    waiting = catalog if where == "catalog" else log
    waiting.may_answer.clear()
    now[0] += 1
    again = await scene.store.take(lease.conversation_id, "w")
    assert again is not None
    running = asyncio.create_task(scene.runner.run(again))
    await scene.until(lambda: waiting.asked == 2)
    scene.runner.cancel(lease.conversation_id)
    waiting.may_answer.set()
    await running
    assert on_screen(watched) == ("Hm.", "Hm.")
    assert watched.wire.closed is None
