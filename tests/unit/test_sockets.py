"""Ends of a socket that a healthy server does not have: faults of ours, and readers that do not read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
import uvicorn
import websockets

from server.delivery.hub import Hub
from server.entrypoints import host
from server.errors import ConnectionGone
from server.model import Frame, InboundMessage
from server.settings import read_settings
from server.wiring import Server, open_server
from tests.fakes.openai_server import openai_server


class BrokenInbox:
    async def accept(self, message: InboundMessage) -> None:
        raise ZeroDivisionError(message.text)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """The application on a port, and the address of its socket."""
    port = socket.create_server(("127.0.0.1", 0))
    program = uvicorn.Server(host.config(server))
    running = asyncio.create_task(program._serve([port]))
    try:
        assert server.pool is not None
        yield f"ws://127.0.0.1:{port.getsockname()[1]}/ws?Auth={server.pool.token('anna')}"
    finally:
        program.should_exit = True
        await running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with openai_server() as fake:
        settings = read_settings(data_dir=tmp_path, backend="memory", openai_base_url=fake.base_url)
        async with open_server(settings) as opened:
            yield opened


async def test_a_fault_of_ours_closes_with_1011_and_an_id_that_is_in_the_log(server: Server) -> None:
    broken = replace(server, inbox=BrokenInbox())  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as lines:
        async with serving(broken) as url, websockets.connect(url) as client:
            await client.recv()
            await client.send('{"action":"sendMessage","message":"text-canary"}')
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    [line] = [line for line in lines if line["event"] == "session_crashed"]
    assert line["request_id"] in closed.value.rcvd.reason
    assert len(server.hub) == 0


async def test_a_frame_above_the_limit_closes_with_1009(server: Server) -> None:
    async with serving(server) as url, websockets.connect(url) as client:
        await client.recv()
        await client.send("x" * (128 * 1024 + 1))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_json_in_a_binary_frame_is_read_too(server: Server) -> None:
    async with serving(server) as url, websockets.connect(url) as client:
        await client.recv()
        await client.send(b'{"action":"ping"}')
        assert json.loads(await client.recv()) == {"messageType": "pong"}


async def test_a_reader_that_does_not_read_is_let_go_and_the_others_feel_nothing(server: Server) -> None:
    frame = Frame(b"x" * 60_000)
    async with serving(server) as url, websockets.connect(url) as good, websockets.connect(url, max_queue=1) as bad:
        await good.recv()
        good_id, bad_id = await server.hub.of(await person(server))
        bad.transport.pause_reading()
        with pytest.raises(ConnectionGone):
            await flood(server.hub, frame, good, good_id, bad_id)
        async with asyncio.timeout(5):
            while len(server.hub) > 1:
                await asyncio.sleep(0.01)
        await good.send('{"action":"ping"}')
        assert "pong" in str(await asyncio.wait_for(good.recv(), 5))
        bad.transport.resume_reading()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(read_on(bad), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4408


async def flood(hub: Hub, frame: Frame, good: websockets.ClientConnection, good_id: str, bad_id: str) -> None:
    """More than any buffer on the way holds; the good one gets each frame at once."""
    for _ in range(1_000):
        await hub.push(good_id, frame)
        assert await good.recv() == frame.data.decode()
        await hub.push(bad_id, frame)


async def read_on(client: websockets.ClientConnection) -> None:
    while await client.recv():
        pass


async def person(server: Server) -> str:
    assert server.pool is not None
    return (await server.verifier.verify(server.pool.token("anna"))).person


async def test_an_entry_of_which_no_frame_came_is_shown_from_the_log(server: Server) -> None:
    async with serving(server) as url, websockets.connect(url) as client:
        conversation_id = json.loads(await client.recv())["conversationId"]
        anna = await person(server)
        for message_id in ("m1", "m2"):
            accepted = await server.log.accept(InboundMessage(anna, conversation_id, message_id, message_id))
        await server.router.send(anna, accepted)
        async with asyncio.timeout(10):
            shown = [json.loads(await client.recv()) for _ in range(2)]
    assert [(frame["messageId"], frame["offset"]) for frame in shown] == [("m1", 1), ("m2", 2)]
