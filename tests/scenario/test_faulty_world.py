"""Disks that are full, clients that dawdle or fall silent, and all of them coming back at once."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import websockets

from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.client import client
from tests.scenario.newcomers import greeted
from tests.scenario.process import ServerProcess, Start
from tests.scenario.test_slow_readers import gone

STORM = 2_000


def limit_files(server: ServerProcess, most_bytes: int) -> None:
    """No file of the server may grow beyond that from now on: the kernel refuses the write."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most_bytes, hard))


async def test_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with client(server) as anna:
        await anna.ask("while there is room")
        limit_files(server, 4_096)
        for number in range(3):
            await anna.say("no room " * 100, messageId=f"full-{number}")
            refused = await anna.until("error")
            assert (refused["code"], refused["retryable"]) == ("unavailable", True)
            assert refused["messageId"] == f"full-{number}"
        assert len(anna.of("messageAccepted")) == 1
        limit_files(server, resource.RLIM_INFINITY)
        for number in range(3):
            await anna.say("no room " * 100, messageId=f"full-{number}")
            accepted = await anna.until("messageAccepted")
            assert (accepted["duplicate"], accepted["offset"]) == (False, 3 + 2 * number)
            await anna.until("assistantResponse")
    assert await server.stop() == 0
    assert integrity(server.data_dir) == "ok"
    assert len(provider.questions) == 4


def integrity(data_dir: Path) -> str:
    with closing(sqlite3.connect(data_dir / "switchboard.db")) as database:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])


async def test_a_disk_that_is_full_when_the_reply_comes_costs_no_second_run(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with client(server) as anna:
        await anna.ask("while there is room")
        await anna.say("and now", messageId="m2")
        await anna.until("runStarted")
        limit_files(server, 4_096)
        await asyncio.sleep(1)
        limit_files(server, resource.RLIM_INFINITY)
        reply = await anna.until("assistantResponse", messageId="m2")
        assert (reply["error"], reply["offset"]) == (False, 4)
    assert len(provider.questions) == 2


async def test_a_client_that_says_nothing_or_drips_is_let_go(start: Start) -> None:
    async with start(HANDSHAKE_SECONDS=0.5) as server:
        for said in (b"", b"GET /ws HT"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(said)
            began = time.monotonic()
            assert await ended(reader)
            assert time.monotonic() - began < 3
            writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server hangs up, without a word."""
    try:
        return await asyncio.wait_for(reader.read(), 5) == b""
    except ConnectionError:
        return True


async def test_a_socket_that_answers_no_ping_is_closed_with_4409(start: Start) -> None:
    async with start(PING_SECONDS=0.3, PONG_SECONDS=2) as server, client(server) as alive, client(server) as silent:
        silent.socket.transport.pause_reading()
        await gone(server, 1)
        silent.socket.transport.resume_reading()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await silent.until("nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4409
        await alive.answer("ping", "pong")


@pytest.mark.slow
async def test_two_thousand_clients_come_back_at_once(start: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 10_000), hard))
    async with start(CONNECTIONS_PER_PERSON=0) as server, client(server):
        token = server.token()
        began = time.monotonic()
        writers = await asyncio.gather(*(greeted(server.port, token) for _ in range(STORM)))
        print(f"{STORM} sockets were greeted within {time.monotonic() - began:.2f} s")
        for writer in writers:
            writer.transport.abort()
        async with client(server, "ben") as ben:
            await ben.ask("hello")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
