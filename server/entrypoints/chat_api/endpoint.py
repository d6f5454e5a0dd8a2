"""The route: who may ask, and how the answer goes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.channels import http_chat
from server.delivery.connection import Connection
from server.entrypoints import answers
from server.entrypoints.chat_api import askers, requests
from server.entrypoints.chat_api.crowd import Crowd, address_of
from server.entrypoints.chat_api.ear import Ear, go_live, listening
from server.entrypoints.chat_api.post import Post, Wait, accept, late
from server.entrypoints.chat_api.requests import ClientLeft
from server.entrypoints.chat_api.stream import Stream, events, join
from server.entrypoints.gate import check_draining, check_origin, header
from server.errors import ServerError
from server.inbox.rate import Rate
from server.model import Principal
from server.wiring.server import Server

logger = structlog.get_logger()

PREFLIGHT = {
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": f"authorization, content-type, {askers.KEY_HEADER}",
    "access-control-max-age": "600",
}
# A store that hangs must not keep a request for longer than its time and this.
HANGING_SECONDS = 3.0


@dataclass(frozen=True)
class Call:
    """One request. `headers` go out with whatever it is answered; `accepted`: what it says is durable."""

    scope: Scope
    receive: Receive
    send: Send
    headers: dict[str, str]
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    accepted: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, response: Response) -> None:
        response.headers.update(self.headers)
        await response(self.scope, self.receive, self.send)

    async def refuse(self, error: ServerError) -> None:
        logger.info("request_refused", path=self.scope["path"], code=error.code)
        await self.answer(answers.refusal(error))


class ChatEndpoint:
    """An ASGI application: one call is one request."""

    def __init__(self, server: Server) -> None:
        settings = server.settings
        self._server = server
        self._crowd = Crowd(settings.http_chat_waiting, settings.http_chat_waiting_each)
        self._rate = Rate(settings.http_chat_per_minute, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send, {})
        with suppress(ClientLeft):
            try:
                check_origin(scope, self._server.settings)
                call.headers.update(cors(scope))
                await self._take(call)
            except ServerError as error:
                await call.refuse(error)

    async def _take(self, call: Call) -> None:
        if call.scope["method"] == "OPTIONS":
            await call.answer(Response(status_code=204, headers=PREFLIGHT))
            return
        check_draining(self._server)
        who = await askers.principal_of(self._server, call.scope)
        address = address_of(call.scope)
        if who is None:
            self._rate.spend(address)
        with self._crowd.place(who.person if who else address):
            post = await self._read(call, who)
            call.headers[askers.KEY_HEADER] = post.key
            streamed = requests.wants_stream(call.scope)
            work = self._stream(call, post) if streamed else self._whole(call, post)
            await while_there(call, work)

    async def _read(self, call: Call, who: Principal | None) -> Post:
        """Raises `BadInput`, `NotFound` for an id that cannot be one, and `ClientLeft`."""
        settings = self._server.settings
        requests.check_type(call.scope)
        given = askers.key_of(call.scope)
        body = await requests.read_body(
            call.scope, call.receive, message_bytes=settings.message_bytes, seconds=settings.handshake_seconds
        )
        asked, key = http_chat.parse(body), given or askers.new_key()
        asker = askers.somebody(who, key, asked.conversation_id) if who else askers.nobody(key, asked.conversation_id)
        return Post(asker, asked.message, key, given is not None)

    async def _whole(self, call: Call, post: Post) -> None:
        seconds = self._server.settings.http_chat_seconds
        try:
            async with asyncio.timeout_at(call.began + seconds + HANGING_SECONDS):
                told = await self._wait(call, post, call.began + seconds)
        except TimeoutError:
            await call.refuse(late(post.key, code="timeout"))
        except ServerError as error:
            await call.refuse(error)
        else:
            await call.answer(answers.answer(told))

    async def _wait(self, call: Call, post: Post, ends_at: float) -> http_chat.ChatAnswer:
        ear = Ear(post.asker.message_id)
        async with listening(self._server, post.asker.who, ear, words=False) as connection:
            go_live(connection)
            accepted = await accept(self._server, post)
            call.accepted.set()
            wait = Wait(self._server, post, accepted, ear, ends_at)
            while await wait.goes_on():
                pass
            return await wait.answer()

    async def _stream(self, call: Call, post: Post) -> None:
        """What goes wrong before the message is accepted has a status of its own."""
        settings = self._server.settings
        stream = Stream(call.scope, call.send, call.headers, settings.ping_seconds + settings.pong_seconds)
        ear = Ear(post.asker.message_id)
        try:
            async with listening(self._server, post.asker.who, ear, words=True) as connection:
                wait = await self._join(call, post, connection, ear)
                await stream.begin()
                async with aclosing(events(post, wait, ear, settings.ping_seconds)) as pieces:
                    async for data in pieces:
                        await stream.write(data)
            await stream.end()
        except ClientLeft:
            pass
        except TimeoutError:
            await call.refuse(late(post.key, code="timeout"))
        except ServerError as error:
            await call.refuse(error)

    async def _join(self, call: Call, post: Post, connection: Connection, ear: Ear) -> Wait:
        settings = self._server.settings
        async with asyncio.timeout_at(call.began + settings.http_chat_seconds + HANGING_SECONDS):
            accepted = await accept(self._server, post)
            call.accepted.set()
            await join(self._server, connection, ear, accepted)
        return Wait(self._server, post, accepted, ear, call.began + settings.http_chat_stream_seconds)


async def while_there(call: Call, work: Coroutine[None, None, None]) -> None:
    """Give up when the client leaves, but not before what it said is accepted; its turn goes on without it."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work)
        leaving = tasks.create_task(left(call))
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        leaving.cancel()


async def left(call: Call) -> None:
    await call.accepted.wait()
    while (await call.receive())["type"] != "http.disconnect":
        pass


def cors(scope: Scope) -> Mapping[str, str]:
    """For a page of an origin that may ask."""
    origin = header(scope, b"origin")
    if origin is None:
        return {}
    exposed = f"{askers.KEY_HEADER}, retry-after"
    return {"access-control-allow-origin": origin, "access-control-expose-headers": exposed, "vary": "origin"}
