"""What is made at the provider while its turn is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from server.assistant.creation import END_SECONDS, made
from server.errors import Unavailable


class Provider:
    """Makes one thing once it is let; `ended`: what nobody wanted."""

    def __init__(self) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.torn = False
        self.ended: list[str] = []

    async def create(self) -> str:
        self.asked.set()
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.torn = True
            raise
        return "run_1"

    async def end(self, run: str) -> None:
        self.ended.append(run)

    async def cancelled(self) -> asyncio.Task[str]:
        """A creation whose turn was cancelled while it is under way."""
        task = asyncio.create_task(made(self.create(), self.end))
        await self.asked.wait()
        task.cancel()
        await asyncio.sleep(0)
        return task


async def test_what_is_wanted_is_handed_on() -> None:
    provider = Provider()
    provider.answers.set()
    assert await made(provider.create(), provider.end) == "run_1"
    assert provider.ended == []


async def test_what_went_wrong_is_handed_on() -> None:
    async def fail() -> str:
        raise Unavailable("busy")

    with pytest.raises(Unavailable):
        await made(fail(), Provider().end)


async def test_what_is_wanted_no_more_is_ended_once_it_is_there() -> None:
    provider = Provider()
    task = await provider.cancelled()
    provider.answers.set()
    await asyncio.wait([task])
    assert (task.cancelled(), provider.torn, provider.ended) == (True, False, ["run_1"])


async def test_a_provider_that_is_silent_is_not_waited_for() -> None:
    provider = Provider()
    task = await provider.cancelled()
    await asyncio.wait([task], timeout=2 * END_SECONDS)
    assert (task.cancelled(), provider.torn, provider.ended) == (True, True, [])


async def test_who_is_cancelled_again_waits_no_more() -> None:
    provider = Provider()
    task = await provider.cancelled()
    task.cancel()
    await asyncio.wait([task], timeout=END_SECONDS / 2)
    assert (task.cancelled(), provider.torn, provider.ended) == (True, True, [])
