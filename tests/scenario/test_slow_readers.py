"""Clients that do not read: cut off at their bound, felt by nobody else, and no reason to stop late."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import httpx2
import psutil
import websockets

from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.scenario.client import Client, client
from tests.scenario.process import ServerProcess, Start

BOUND = 65_536
MEBIBYTE = 1024 * 1024


async def left_with(one: Client) -> int:
    """The close code, read at last."""
    one.socket.transport.resume_reading()
    await asyncio.wait_for(one.socket.wait_closed(), 10)
    assert one.socket.close_code is not None
    return one.socket.close_code


async def test_one_that_asks_and_does_not_read_gets_4408(start: Start, provider: FakeOpenAI) -> None:
    provider.script(normal=Answer(tokens=("x" * 30_000,)))
    async with start(CONNECTION_BUFFER_BYTES=BOUND) as server, client(server) as anna, client(server) as other:
        await anna.ask("fill the log")
        anna.socket.transport.pause_reading()
        for _ in range(400):
            try:
                await asyncio.wait_for(anna.send("history"), 1)
            except (TimeoutError, websockets.ConnectionClosed):
                break
        await other.answer("ping", "pong")
        await gone(server, 1)
        assert await left_with(anna) == 4408
        async with client(server) as again:
            await again.answer("resume", "resumed", conversationId=anna.conversation_id, after=0)
            await again.until("assistantResponse")
        assert "session_crashed" not in server.printed()


async def test_a_log_that_is_longer_than_the_buffers_is_shown_as_fast_as_it_is_read(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(normal=Answer(tokens=("x" * 200_000,)))
    async with start(CONTEXT_TOKENS=512, MESSAGES_PER_MINUTE=0) as server:
        async with client(server, query="?stream=0") as anna:
            for number in range(80):
                await anna.ask(f"number {number}")
        async with client(server) as again:
            again.socket.transport.pause_reading()
            await again.send("resume", conversationId=again.conversation_id, after=0)
            # What the network takes by itself is taken by now.
            await asyncio.sleep(1)
            again.socket.transport.resume_reading()
            for _ in range(80):
                await again.until("assistantResponse")
            await again.answer("ping", "pong")


async def gone(server: ServerProcess, left: int) -> None:
    """Until only so many connections are left."""
    async with asyncio.timeout(10):
        while await connections(server) > left:
            await asyncio.sleep(0.05)


async def connections(server: ServerProcess) -> int:
    async with httpx2.AsyncClient() as http:
        return int((await http.get(server.http)).json()["connections"])


async def test_sigterm_with_a_reader_that_never_reads_ends_in_time(start: Start, provider: FakeOpenAI) -> None:
    provider.script(normal=Answer(tokens=("x" * 30_000,)))
    async with start(CONNECTION_BUFFER_BYTES=BOUND * 100) as server, client(server) as anna, client(server) as frozen:
        frozen.socket.transport.pause_reading()
        for number in range(40):
            await anna.ask(f"number {number}")
        began = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - began < 10
        frozen.socket.transport.abort()


async def test_fifty_readers_that_never_read_cost_a_bounded_memory_and_others_feel_nothing(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(normal=Answer(tokens=("x" * 20_000,)))
    limits = {"CONNECTION_BUFFER_BYTES": BOUND * 4, "CONNECTIONS_PER_PERSON": 0, "MESSAGES_PER_MINUTE": 0}
    async with start(**limits, CONTEXT_TOKENS=512, MAX_OUTPUT_TOKENS=16) as server, client(server) as anna:
        await anna.ask("warm up")
        memory = psutil.Process(server.process.pid)
        before = memory.memory_info().rss
        slowest, peak = 0.0, before
        async with AsyncExitStack() as clients:
            frozen = [await clients.enter_async_context(client(server)) for _ in range(50)]
            for one in frozen:
                one.socket.transport.pause_reading()
            ben = await clients.enter_async_context(client(server, "ben"))
            assert await connections(server) == 52
            for number in range(200):
                await anna.ask(f"number {number}")
                began = time.monotonic()
                await ben.answer("ping", "pong")
                slowest = max(slowest, time.monotonic() - began)
                peak = max(peak, memory.memory_info().rss)
            await gone(server, 2)
            for one in frozen:
                one.socket.transport.abort()
    print(f"memory grew by {(peak - before) / MEBIBYTE:.1f} MiB at most, the slowest ping took {slowest * 1000:.0f} ms")
    assert peak - before < 60 * MEBIBYTE
    assert slowest < 2
