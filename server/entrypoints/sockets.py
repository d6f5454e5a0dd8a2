"""A socket from the handshake to the close frame."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.channels import websocket
from server.delivery.hub import Connection
from server.entrypoints import schemas
from server.entrypoints.gate import SUBPROTOCOL, admit, status_of, subprotocols
from server.entrypoints.session import Session
from server.errors import NotFound, ServerError
from server.model import Conversation, Principal
from server.wiring import Server

logger = structlog.get_logger()

END_SECONDS = 10
CLOSE_SECONDS = 1
INTERNAL_ERROR = 1011
SLOW_READER = 4408


class Socket:
    """An ASGI application: one call is one socket."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        try:
            who = await admit(self._server, socket)
        except ServerError as error:
            await refuse(socket, error)
            return
        connection = self._connection(socket, who)
        # Counted from here on, so that the limits hold, and live: it holds its frames until it has been greeted.
        self._server.hub.add(connection)
        try:
            await self._serve(socket, who, connection)
        finally:
            self._server.hub.remove(connection)

    def _connection(self, socket: WebSocket, who: Principal) -> Connection:
        return Connection(
            f"k_{secrets.token_hex(12)}",
            who.person,
            most_bytes=self._server.settings.connection_buffer_bytes,
            deltas=socket.query_params.get("stream") != "0",
        )

    async def _serve(self, socket: WebSocket, who: Principal, connection: Connection) -> None:
        try:
            conversation = await self._server.conversations.current(
                who.person, websocket.NAME, self._server.engine.assistant
            )
        except ServerError as error:
            await refuse(socket, error)
            return
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in subprotocols(socket) else None)
        logger.info("connected", connection=connection.id)
        try:
            await self._converse(socket, who, connection, conversation)
        except TimeoutError:
            await close(socket, connection, SLOW_READER, "reads too slowly")
        except Exception:
            # The client must be told, whatever it was.
            identifier = schemas.request_id()
            logger.exception("session_crashed", connection=connection.id, request_id=identifier)
            await close(socket, connection, INTERNAL_ERROR, f"internal error {identifier}")
        else:
            logger.info("disconnected", connection=connection.id)

    async def _converse(
        self, socket: WebSocket, who: Principal, connection: Connection, conversation: Conversation
    ) -> None:
        """Until the client leaves. Raises `TimeoutError` when it does not read."""
        session = Session(self._server, who, connection, conversation)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as life, asyncio.TaskGroup() as tasks:
            connection.when_cut_off(lambda: life.reschedule(loop.time()))
            writing = tasks.create_task(write(socket, connection))
            working = tasks.create_task(session.work())
            await read(socket, session)
            # What was sent before the client left is still carried out.
            await asyncio.wait([working], timeout=END_SECONDS)
            working.cancel()
            writing.cancel()


class NoSocket:
    """An ASGI application for sockets at any other path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(WebSocket(scope, receive, send), NotFound("There is no socket at this path; use /ws."))


async def read(socket: WebSocket, session: Session) -> None:
    """Always waits for the next frame: while one lies unread the host sees neither pongs nor the client's leaving."""
    while (message := await socket.receive())["type"] == "websocket.receive":
        text = message.get("text")
        await session.receive(message["bytes"] if text is None else text)
    await session.end()


async def write(socket: WebSocket, connection: Connection) -> None:
    async def send(text: str) -> None:
        await socket.send({"type": "websocket.send", "text": text})

    # The reader is told of a disconnect too, and ends the session.
    with suppress(WebSocketDisconnect):
        await connection.write(send)


async def close(socket: WebSocket, connection: Connection, code: int, reason: str) -> None:
    logger.info("closed", connection=connection.id, code=code)
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code, reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        logger.debug("close_frame_unsent", connection=connection.id)


async def refuse(socket: WebSocket, error: ServerError) -> None:
    body = schemas.error(error.code, error.message, schemas.request_id(), retryable=error.retryable)
    headers = {} if error.retry_after is None else {"retry-after": str(int(error.retry_after) + 1)}
    logger.info("handshake_refused", code=error.code)
    await socket.send_denial_response(answer(body, status_of(error), headers))


def answer(content: Any, status: int = 200, headers: Any = None) -> Response:
    return Response(schemas.encode(content), status, headers, "application/json")
