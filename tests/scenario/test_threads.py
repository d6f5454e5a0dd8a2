"""The whole server on the Assistants protocol."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias

import httpx2
import pytest

from server.assistant.client import connect
from tests.engines import mirror
from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.scenario.client import Client, client
from tests.scenario.process import ServerProcess, Start

Open: TypeAlias = partial[AbstractAsyncContextManager[ServerProcess]]


@pytest.fixture
async def open_threads(start: Start, provider: FakeOpenAI) -> Open:
    """With an assistant that is the provider's own."""
    async with connect(provider.base_url, "any", silence_seconds=5) as sdk:
        own = await mirror(sdk)
    return partial(start, ENGINE="threads", ASSISTANT_ID=own, POLL_FIRST_SECONDS=0.1, LEASE_SECONDS=1)


async def in_history(device: Client, text: str) -> None:
    async with asyncio.timeout(20):
        while True:
            await device.send("history", conversationId=device.conversation_id)
            if text in str(await device.until("history")):
                return
            await asyncio.sleep(0.1)


async def test_a_conversation_keeps_its_thread_over_connections(open_threads: Open, provider: FakeOpenAI) -> None:
    async with open_threads() as server:
        for text in ("one", "two"):
            async with client(server) as anna:
                assert (await anna.ask(text))["message"] == f"You said: {text}"

    [thread] = provider.kept.threads.values()
    assert len(thread.messages) == 4


async def test_a_run_whose_worker_was_killed_answers_all_the_same(open_threads: Open, provider: FakeOpenAI) -> None:
    provider.script(Answer(("late",), first_delay=1.5))
    async with open_threads() as server, client(server) as anna:
        await anna.say("hello")
        await provider.until(lambda: any(run.polls for run in provider.runs))
        await server.kill()

    async with open_threads() as server, client(server) as anna:
        await in_history(anna, "late")

    assert provider.runs_created() == 1


async def test_a_deleted_conversation_takes_its_thread_along(open_threads: Open, provider: FakeOpenAI) -> None:
    async with open_threads() as server, client(server) as anna, httpx2.AsyncClient(base_url=server.http) as http:
        await anna.ask("hello")
        bearer = {"authorization": f"Bearer {server.token()}"}
        answered = await http.delete(f"/api/conversations/{anna.conversation_id}", headers=bearer)

    assert answered.status_code == 204
    assert provider.kept.threads == {}


async def test_a_turn_that_is_cancelled_leaves_the_thread_to_the_next(open_threads: Open, provider: FakeOpenAI) -> None:
    provider.script(Answer(("late",), first_delay=30))
    async with open_threads() as server, client(server) as anna:
        await anna.say("hello")
        await provider.until(lambda: any(run.polls for run in provider.runs))
        assert (await anna.answer("cancel", "assistantResponse"))["finishReason"] == "cancelled"
        assert (await anna.ask("again"))["message"] == "You said: again"

    assert [run.status for run in provider.runs] == ["cancelled", "completed"]
