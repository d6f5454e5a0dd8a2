"""An answer as it is spoken: server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress

from starlette.types import Scope, Send

from server.channels import http_chat
from server.channels.http_chat import ChatAnswer, ChatBegun, ChatDelta, ChatRestart
from server.delivery.connection import Connection
from server.entrypoints.answers import error_body
from server.entrypoints.chat_api.ear import Ear, Piece, go_live
from server.entrypoints.chat_api.post import Post, Wait
from server.entrypoints.chat_api.requests import STREAM, ClientLeft
from server.entrypoints.session import under_way, under_way_elsewhere
from server.entrypoints.wire import ABORT
from server.errors import ConnectionGone, ServerError
from server.model import Accepted
from server.wiring.server import Server


async def join(server: Server, connection: Connection, ear: Ear, accepted: Accepted) -> None:
    """From now on it hears the words; those that a reply under way has said so far come first."""
    if not accepted.duplicate:
        go_live(connection)
        return
    # Sockets begin in the same order: what is sent after the look comes after what the look shows.
    person, conversation_id = connection.who.person, accepted.conversation_id
    conversation = await server.conversations.find(person, conversation_id)
    elsewhere = await under_way_elsewhere(server, person, conversation_id)
    said = [
        one
        for one in under_way(server, person, elsewhere)
        if (one.conversation_id, one.question) == (conversation_id, accepted.offset)
        and conversation.answered < accepted.offset
        and not connection.holds_beginning(conversation_id, accepted.offset)
    ]
    for snapshot in said:
        ear.show(snapshot)
    with suppress(ConnectionGone):
        connection.release(conversation, said)


class Telling:
    """What a client has been told of the answer so far: the deltas since the last restart, joined."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, piece: Piece) -> bytes:
        match piece:
            case ChatRestart():
                self._told = ""
                return http_chat.event("restart", piece)
            case ChatDelta(text=text):
                self._told += text
                return http_chat.event("delta", piece)

    def end(self, answer: ChatAnswer) -> bytes:
        """The words that were not told, if there are any, and the whole answer."""
        whole, missing = answer.message[-1].message, b""
        if not whole.startswith(self._told):
            missing += self.tell(ChatRestart())
        if rest := whole[len(self._told) :]:
            missing += self.tell(ChatDelta(rest))
        return missing + http_chat.event("done", answer)


async def events(post: Post, wait: Wait, ear: Ear, pulse: float) -> AsyncGenerator[bytes]:
    """The last one is `done` or `error`. Something comes at least every `pulse` seconds."""
    telling = Telling()
    yield http_chat.event("accepted", ChatBegun(post.asker.name_of(wait.accepted.conversation_id)))
    silent_since = now()
    try:
        while await wait.goes_on(pulse):
            data = b"".join(map(telling.tell, ear.take()))
            if not data and now() - silent_since >= pulse:
                data = http_chat.HEARTBEAT
            if data:
                silent_since = now()
                yield data
        data = b"".join(map(telling.tell, ear.take()))
        yield data + telling.end(await wait.answer())
    except ServerError as error:
        yield http_chat.event("error", error_body(error))


class Stream:
    """The bytes of one answer, to a client that reads them. `seconds`: how long it may take to read some."""

    def __init__(self, scope: Scope, send: Send, headers: Mapping[str, str], seconds: float) -> None:
        self._send = send
        self._headers = {**headers, "content-type": STREAM, "cache-control": "no-store", "x-accel-buffering": "no"}
        self._seconds = seconds
        self._abort: Callable[[], None] = scope["extensions"][ABORT]

    async def begin(self) -> None:
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()]
        await self._write({"type": "http.response.start", "status": 200, "headers": pairs})

    async def write(self, data: bytes) -> None:
        await self._write({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._write({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, message: dict[str, object]) -> None:
        """Raises `ClientLeft` for one that does not read."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            self._abort()
            raise ClientLeft from None


def now() -> float:
    return asyncio.get_running_loop().time()
