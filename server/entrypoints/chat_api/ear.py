"""A request that waits, among the sockets of its person."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import msgspec

from server.channels.http_chat import ChatDelta, ChatRestart
from server.channels.websocket import frames
from server.delivery.connection import Connection
from server.entrypoints.gate import WAITER
from server.errors import ConnectionGone
from server.model import Principal, Snapshot, reply_id
from server.wiring.server import Server

Piece: TypeAlias = ChatDelta | ChatRestart

decoder: msgspec.json.Decoder[frames.ServerFrame] = msgspec.json.Decoder(frames.ServerFrame)


class Ear:
    """Implements `delivery.connection.Wire`: hears the reply to one message, and its words if there is somebody to
    take them. What it misses is in the log.
    """

    def __init__(self, message_id: str) -> None:
        self.reply: int | None = None
        self._message_id = message_id
        self._reply_id = ""
        self._pieces: list[Piece] = []
        self._unread = 0
        self.closed = False
        self._stirred = asyncio.Event()

    def write(self, data: bytes) -> None:
        try:
            frame = decoder.decode(data)
        except msgspec.MsgspecError:
            # Of another version of the server; there is nothing in it for us.
            return
        match frame:
            case frames.AssistantResponse() if frame.message_id == self._message_id:
                self.reply = frame.offset
            case frames.RunStarted() if frame.message_id == self._message_id:
                self._begin(frame.reply_id)
            case frames.AssistantDelta() if frame.reply_id == self._reply_id:
                self._keep(ChatDelta(frame.text))
            case frames.Disconnecting():
                pass
            case _:
                return
        self.stir()

    def show(self, snapshot: Snapshot) -> None:
        """What was said before it began to listen."""
        self._begin(reply_id(snapshot.conversation_id, snapshot.question))
        self._keep(ChatDelta(snapshot.text))

    def unread(self) -> int:
        return self._unread

    def close(self, code: int, reason: str) -> None:  # noqa: ARG002  it makes no difference here
        """It hears no more words; whether there is a reply is looked up from now on."""
        self.closed = True
        self._pieces, self._unread = [], 0
        self.stir()

    def stir(self) -> None:
        self._stirred.set()

    async def listen(self, seconds: float) -> None:
        """Until something is heard, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        self._stirred.clear()

    def take(self) -> list[Piece]:
        """What was said since the last time."""
        taken, self._pieces, self._unread = self._pieces, [], 0
        return taken

    def _begin(self, reply_id: str) -> None:
        if self._reply_id:
            self._keep(ChatRestart())
        self._reply_id = reply_id

    def _keep(self, piece: Piece) -> None:
        if not self.closed:
            self._pieces.append(piece)
            self._unread += len(piece.text.encode()) if isinstance(piece, ChatDelta) else 0


@asynccontextmanager
async def listening(server: Server, who: Principal, ear: Ear, *, words: bool) -> AsyncIterator[Connection]:
    """What is said to the person is heard from now on; what is said before it goes live, after that."""
    connection = Connection(
        f"{WAITER}{secrets.token_hex(12)}",
        who,
        ear,
        most_bytes=server.settings.connection_buffer_bytes,
        deltas=words,
    )
    server.hub.add(connection)
    try:
        if server.cluster:
            await server.cluster.join(connection, who)
        yield connection
    finally:
        server.hub.remove(connection)
        if server.cluster and not server.drained.is_set():
            await server.cluster.leave(connection)


def go_live(connection: Connection) -> None:
    """What was held is heard; words that it cannot take are in the log."""
    with suppress(ConnectionGone):
        connection.resume()
