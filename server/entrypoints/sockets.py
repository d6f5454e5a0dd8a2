"""A socket from the handshake to the close frame."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

import structlog
from starlette.types import Receive, Scope, Send

from server.channels import websocket
from server.delivery.connection import Connection
from server.entrypoints import schemas
from server.entrypoints.answers import refusal
from server.entrypoints.gate import SUBPROTOCOL, admit, check_everywhere, query, subprotocols
from server.entrypoints.session import Session, under_way_elsewhere
from server.entrypoints.wire import EXTENSION
from server.errors import ConnectionGone, NotFound, ServerError
from server.model import Conversation
from server.wiring.server import Server

logger = structlog.get_logger()

END_SECONDS = 5
INTERNAL_ERROR = 1011


class Socket:
    """An ASGI application: one call is one socket."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            connection = await self._admit(scope)
        except ServerError as error:
            await refuse(scope, receive, send, error)
            return
        try:
            conversation = await self._accept(scope, receive, send, connection)
            # What the handshake left behind is let go of: a socket may stay for hours.
            scope["extensions"][EXTENSION].forget_handshake()
            if conversation is not None:
                await self._serve(connection, conversation, receive)
        except asyncio.CancelledError:
            # A process that ends in a hurry waits for nobody.
            if not self._server.draining.is_set():
                raise
        finally:
            self._server.hub.remove(connection)
            if self._server.cluster and not self._server.drained.is_set():
                await self._server.cluster.leave(connection)

    async def _admit(self, scope: Scope) -> Connection:
        """Counted from here on, so that the limits hold, and live: it holds its frames until it has been greeted."""
        who = await admit(self._server, scope)
        wishes = query(scope)
        connection = Connection(
            f"k_{secrets.token_hex(12)}",
            who,
            scope["extensions"][EXTENSION],
            most_bytes=self._server.settings.connection_buffer_bytes,
            deltas=wishes.get("stream") != "0",
            rich=wishes.get("format") == "html",
        )
        self._server.hub.add(connection)
        return connection

    async def _accept(self, scope: Scope, receive: Receive, send: Send, connection: Connection) -> Conversation | None:
        """The person's conversation; None if the socket had to be refused after all."""
        try:
            if self._server.cluster:
                await self._server.cluster.join(connection, connection.who)
                await check_everywhere(self._server, connection.who.person)
            conversation = await self._server.conversations.current(
                connection.who.person, websocket.NAME, self._server.assistant
            )
        except ServerError as error:
            await refuse(scope, receive, send, error)
            return None
        await receive()
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in subprotocols(scope) else None
        scope["extensions"][EXTENSION].accept(subprotocol)
        return conversation

    async def _serve(self, connection: Connection, conversation: Conversation, receive: Receive) -> None:
        """Until the client leaves, or is made to."""
        logger.debug("connected", connection=connection.id)
        try:
            elsewhere = await under_way_elsewhere(self._server, connection.who.person, conversation.id)
            async with asyncio.TaskGroup() as tasks:
                session = Session(self._server, connection, conversation, tasks)
                with suppress(ConnectionGone):
                    session.begin(conversation, elsewhere)
                await read(receive, session)
                # What was sent before the client left is still carried out.
                await session.end(END_SECONDS)
        except Exception:
            # The client must be told, whatever it was.
            identifier = schemas.request_id()
            logger.exception("session_crashed", connection=connection.id, request_id=identifier)
            connection.wire.close(INTERNAL_ERROR, f"internal error {identifier}")
        logger.debug("disconnected", connection=connection.id)


class NoSocket:
    """An ASGI application for sockets at any other path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(scope, receive, send, NotFound("There is no socket at this path; use /ws."))


async def read(receive: Receive, session: Session) -> None:
    """Always waits for the next frame: while one lies unread the host sees neither pongs nor the client's leaving."""
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await session.receive(message["bytes"] if text is None else text)


async def refuse(scope: Scope, receive: Receive, send: Send, error: ServerError) -> None:
    logger.info("handshake_refused", code=error.code)
    await refusal(error)(scope, receive, send)
