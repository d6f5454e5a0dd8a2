"""The Assistants protocol as a server of somebody else speaks it."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import pytest_asyncio

from server.assistant.client import connect
from server.errors import ProviderFailed, ServerError
from server.model import Assistant, Definition, Exchange, Prompt, RunBegun
from tests.engines import Caller, after, finish_of, handle_of, thread_of, threads, words
from tests.ports import quiet_port

PYTHON = os.environ.get("LLAMPHOUSE_PYTHON", "")
SCRIPT = Path(__file__).resolve().parents[1] / "fakes" / "llamphouse_server.py"
START_SECONDS = 60
ECHO = Assistant("asst_echo", Definition(name="asst_echo", instructions=""), "asst_echo")

pytestmark = pytest.mark.skipif(not PYTHON, reason="LLAMPHOUSE_PYTHON names no Python that has llamphouse==1.3.0")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    port = quiet_port()
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        str(SCRIPT),
        str(port),
        cwd=tmp_path_factory.mktemp("llamphouse"),
        env={"PATH": os.environ.get("PATH", ""), "LLAMPHOUSE_TELEMETRY": "0"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await ready(f"http://127.0.0.1:{port}/v1/assistants")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        await process.wait()


async def ready(url: str) -> None:
    async with asyncio.timeout(START_SECONDS), httpx2.AsyncClient() as http:
        while True:
            try:
                (await http.get(url)).raise_for_status()
            except httpx2.HTTPError:
                await asyncio.sleep(0.2)
            else:
                return


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with connect(base_url, "none", silence_seconds=10) as connected:
        yield connected


@pytest.fixture
def caller(client: openai.AsyncOpenAI) -> Caller:
    return Caller(threads(client))


def prompt_for(question: str, run_id: str, **changes: Any) -> Prompt:
    return replace(Prompt(run_id, "p1", ECHO, "stream", (), question), **changes)


@pytest.fixture
def name() -> str:
    """Of a conversation that no other test has."""
    return uuid.uuid4().hex


async def test_a_conversation_is_one_thread(caller: Caller, name: str) -> None:
    first = await caller.run(prompt_for("one?", f"{name}-1"))
    second = await caller.run(prompt_for("two?", f"{name}-3", thread=thread_of(first)))

    assert words(first) == "You said: one?\n\nShown: 1"
    assert words(second) == "You said: two?\n\nShown: 4"
    assert finish_of(second).finish_reason == "stop"


async def test_a_run_that_was_left_is_found_again(caller: Caller, name: str) -> None:
    prompt = prompt_for("slow", f"{name}-1")
    told = await caller.leave_after(RunBegun, prompt)

    by_handle = await caller.run(after(prompt, told))
    by_listing = await caller.run(replace(after(prompt, told), handle=None))

    assert words(by_handle) == words(by_listing) == "You said: slow\n\nShown: 1"
    assert handle_of(by_listing) == handle_of(told)


async def test_a_thread_that_vanished_is_rebuilt(caller: Caller, name: str) -> None:
    first = await caller.run(prompt_for("one?", f"{name}-1"))
    await caller.engine.forget(thread_of(first) or "")
    await caller.engine.forget(thread_of(first) or "")
    history = (Exchange("one?", words(first)),)

    second = await caller.run(prompt_for("two?", f"{name}-3", thread=thread_of(first), exchanges=history))

    assert thread_of(second) not in {None, thread_of(first)}
    assert words(second) == "You said: two?\n\nShown: 3"


async def test_a_long_history_is_kept_in_order(caller: Caller, name: str) -> None:
    history = tuple(Exchange(f"q{number}", f"r{number}") for number in range(20))

    assert words(await caller.run(prompt_for("now?", f"{name}-1", exchanges=history))) == "You said: now?\n\nShown: 41"


async def test_a_run_that_cannot_be_cancelled_is_no_error(caller: Caller, name: str) -> None:
    prompt = prompt_for("slow", f"{name}-1")
    told = await caller.leave_after(RunBegun, prompt)
    await asyncio.sleep(0.3)

    await caller.engine.cancel(handle_of(told) or "")

    assert words(await caller.run(after(prompt, told))) == "You said: slow\n\nShown: 1"


async def test_an_agent_that_fails_may_be_asked_again(caller: Caller, name: str) -> None:
    _, error = await caller.run_until(ServerError, prompt_for("fail", f"{name}-1"))
    assert (error.code, error.retryable) == ("provider_busy", True)


async def test_an_agent_that_is_not_there_is_named_as_such(caller: Caller, name: str) -> None:
    nobody = Assistant("asst_nobody", Definition(name="asst_nobody", instructions=""), "asst_nobody")

    _, error = await caller.run_until(ProviderFailed, prompt_for("hi", f"{name}-1", assistant=nobody))

    assert error.code == "unknown_model"
