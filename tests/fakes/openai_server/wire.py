"""The network: a listener on loopback, and answers played out on it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, assert_never
from uuid import uuid4

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tests.fakes.openai_server import steps
from tests.fakes.openai_server.steps import Head, Reset, Stall, Wait, WireStep

HOST = "127.0.0.1"
FLUSH_BYTES = 65_536
CLOSING_SECONDS = 5.0
_EXTENSION = "tests.transport"


class ReachableTransport(HttpToolsProtocol):
    """uvicorn's own protocol, with the connection's transport in the ASGI scope.

    ASGI has no word for "reset this connection", but a place for what it has no word for, `scope["extensions"]`; and
    uvicorn takes the class of its protocol from the caller (`Config(http=...)`).
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


@asynccontextmanager
async def listening(app: ASGIApp, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves the app on the running loop, at this port or a free one (0). At the end every connection is cut.

    Only uvicorn's protocol is used, not its `Server`, whose start and stop each take a tenth of a second and whose stop
    waits for answers that may never end.
    """
    config = uvicorn.Config(app, http=ReachableTransport, ws="none", lifespan="off", log_config=None, access_log=False)
    state = ServerState()
    loop = asyncio.get_running_loop()
    protocol = partial(ReachableTransport, config, state, {})
    server = await loop.create_server(protocol, HOST, port, backlog=2048, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await _cut(state)
        await server.wait_closed()


async def _cut(state: ServerState) -> None:
    for connection in list(state.connections):
        connection.transport.abort()
    if state.tasks:
        _, late = await asyncio.wait(state.tasks, timeout=CLOSING_SECONDS)
        for task in late:
            task.cancel()


class Played:
    """An ASGI response: plays the steps, and says how it ended."""

    def __init__(
        self,
        answer: Iterable[WireStep],
        on_head: Callable[[int], None],
        on_end: Callable[[bool], None],
    ) -> None:
        self._answer = answer
        self._on_head = on_head
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope["extensions"][_EXTENSION]["transport"]
        async with asyncio.TaskGroup() as tasks:
            player = tasks.create_task(self._play(transport, send))
            # uvicorn says "disconnect" also once the answer is complete.
            while (await receive())["type"] != "http.disconnect":
                pass
            player.cancel()
        self._on_end(True)

    async def _play(self, transport: Any, send: Send) -> None:
        due = asyncio.get_running_loop().time()
        held = bytearray()
        for step in self._answer:
            match step:
                case Head(status, headers):
                    await self._head(send, status, headers)
                case steps.Send(data):
                    held += data
                    if len(held) >= FLUSH_BYTES:
                        await _flush(send, held)
                case Wait(seconds):
                    await _flush(send, held)
                    due += seconds
                    await asyncio.sleep(due - asyncio.get_running_loop().time())
                case Stall():
                    await _flush(send, held)
                    return  # The caller waits for the client to leave.
                case Reset():
                    await _flush(send, held)
                    self._on_end(False)
                    await _reset(transport)
                    return
                case _:
                    assert_never(step)
        await send({"type": "http.response.body", "body": bytes(held), "more_body": False})
        self._on_end(False)

    async def _head(self, send: Send, status: int, headers: steps.Headers) -> None:
        self._on_head(status)
        lines = {**headers, "x-request-id": f"req_{uuid4().hex}", "openai-version": "2020-10-01"}
        raw = [(name.encode(), value.encode()) for name, value in lines.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})


async def _flush(send: Send, held: bytearray) -> None:
    if held:
        await send({"type": "http.response.body", "body": bytes(held), "more_body": True})
        held.clear()


async def _reset(transport: Any) -> None:
    """Lets what was written reach the client, if it reads within the time to close; then RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSING_SECONDS):
            while not transport.is_closing() and _unsent(transport, sock):
                await asyncio.sleep(0.001)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _unsent(transport: Any, sock: Any) -> bool:
    """Bytes that the transport, or the kernel, still holds: a reset would throw them away."""
    in_kernel = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return bool(transport.get_write_buffer_size() or any(in_kernel))
