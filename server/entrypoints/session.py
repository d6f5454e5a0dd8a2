"""One socket's conversation with the server: typed actions in, frames out. Which host carries it, it does not know."""

from __future__ import annotations

import asyncio
import secrets
from typing import assert_never

import structlog

from server.channels import websocket
from server.channels.websocket import frames
from server.delivery.hub import Connection
from server.errors import ServerError, Unavailable
from server.model import Conversation, InboundMessage, Principal
from server.settings import Settings
from server.wiring import Server

logger = structlog.get_logger()

FRAME_BYTES = 128 * 1024
MOST_UNREAD_ACTIONS = 32
REPLAY_PAGE = 100
ACTION_SECONDS = 30


class Session:
    """Actions are carried out one after another, in the order they came."""

    def __init__(self, server: Server, who: Principal, connection: Connection, conversation: Conversation) -> None:
        self._server = server
        self._who = who
        self._connection = connection
        self._conversation_id = conversation.id
        self._actions: asyncio.Queue[str | bytes | None] = asyncio.Queue(MOST_UNREAD_ACTIONS)
        greeting = websocket.connected(connection.id, who, conversation, limits(server.settings))
        connection.say(greeting)
        connection.release(conversation)

    async def receive(self, text: str | bytes) -> None:
        """Returns at once unless too many actions wait."""
        await self._actions.put(text)

    async def end(self) -> None:
        """No more will come; what came is still carried out."""
        await self._actions.put(None)

    async def work(self) -> None:
        """Until `end`. An exception that leaves it is a fault of ours."""
        while (text := await self._actions.get()) is not None:
            try:
                async with asyncio.timeout(ACTION_SECONDS):
                    await self._act(websocket.parse(text))
            except ServerError as error:
                self._connection.say(websocket.refused(error, text))
            except TimeoutError:
                late = Unavailable("This took too long; send it again with the same messageId.", code="timeout")
                self._connection.say(websocket.refused(late, text))

    async def _act(self, action: frames.ClientFrame) -> None:
        match action:
            case frames.SendMessage():
                await self._send_message(action)
            case frames.History():
                await self._history(action)
            case frames.NewConversation():
                await self._new_conversation()
            case frames.ListConversations(limit):
                found = await self._server.conversations.recent(self._who.person, limit)
                self._connection.say(websocket.conversations(found))
            case frames.Resume():
                await self._resume(action)
            case frames.Ping():
                self._connection.say(websocket.pong())
            case _:
                assert_never(action)

    async def _send_message(self, action: frames.SendMessage) -> None:
        conversation_id = action.conversation_id or self._conversation_id
        message_id = action.message_id or f"m_{secrets.token_hex(12)}"
        message = InboundMessage(self._who.person, conversation_id, message_id, action.message)
        accepted = await self._server.inbox.accept(message)
        self._conversation_id = conversation_id
        if accepted.duplicate:
            self._connection.say(websocket.accepted(accepted))

    async def _history(self, action: frames.History) -> None:
        conversation = await self._find(action.conversation_id)
        page = await self._server.log.before(conversation.id, action.before, action.limit)
        self._connection.say(websocket.history(conversation.id, page))

    async def _new_conversation(self) -> None:
        new = await self._server.conversations.create(self._who.person, websocket.NAME, self._server.engine.assistant)
        self._conversation_id = new.id
        self._connection.say(websocket.opened(new))

    async def _resume(self, action: frames.Resume) -> None:
        """Live frames are held back until the log has been shown up to where they begin."""
        self._connection.hold()
        shown = None
        try:
            conversation = await self._find(action.conversation_id)
            self._conversation_id = conversation.id
            recovered = action.epoch in {None, conversation.epoch} and action.after <= conversation.offset
            self._connection.say(websocket.resumed(conversation, recovered=recovered))
            await self._replay(conversation, action.after if recovered else 0)
            shown = conversation
        finally:
            self._connection.release(shown)

    async def _replay(self, conversation: Conversation, after: int) -> None:
        while after < conversation.offset:
            page = await self._server.log.after(conversation.id, after, min(REPLAY_PAGE, conversation.offset - after))
            for entry in page.entries:
                self._connection.say(websocket.replay(conversation.id, entry))
            after = page.entries[-1].offset

    async def _find(self, conversation_id: str | None) -> Conversation:
        return await self._server.conversations.find(self._who.person, conversation_id or self._conversation_id)


def limits(settings: Settings) -> frames.Limits:
    return frames.Limits(settings.message_bytes, FRAME_BYTES, settings.messages_per_minute)
