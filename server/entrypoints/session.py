"""One socket's conversation with the server: typed actions in, frames out. Which host carries it, it does not know."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import assert_never

import structlog

from server.channels import websocket
from server.channels.websocket import frames
from server.delivery.connection import FRAMES_LOST, Connection, ignore
from server.errors import ConnectionGone, NotFound, ServerError, Unauthorized, Unavailable
from server.model import Conversation, Entry, InboundMessage, Reply, Snapshot
from server.settings import Settings
from server.wiring.server import Server

logger = structlog.get_logger()

FRAME_BYTES = 128 * 1024
MOST_UNREAD_ACTIONS = 32
REPLAY_PAGE = 100
ACTION_SECONDS = 30
UNREAD_SECONDS = 10
LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Behind:
    """An action of our own: catch up with the log of a conversation."""

    conversation_id: str


class Session:
    """Actions are carried out one after another, in the order they came, by a task that lives while there are any."""

    def __init__(
        self,
        server: Server,
        connection: Connection,
        conversation: Conversation,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._server = server
        self._connection = connection
        self._conversation_id = conversation.id
        self._tasks = tasks
        self._actions: list[str | bytes | Behind] = []
        self._working: asyncio.Task[None] | None = None
        self._ended = False
        self._limit = asyncio.timeout(None)
        connection.catch_up = self._catch_up_soon

    def begin(self, conversation: Conversation, elsewhere: Sequence[Snapshot]) -> None:
        """Greet, and go live. `elsewhere`: replies under way in other processes. Raises `ConnectionGone`."""
        settings, connection = self._server.settings, self._connection
        connection.say(websocket.connected(connection.id, connection.who, self._told(conversation), limits(settings)))
        self._go_live(conversation, under_way(self._server, self._person, elsewhere))

    @property
    def _person(self) -> str:
        return self._connection.who.person

    async def receive(self, text: str | bytes) -> None:
        """Returns at once unless too many actions wait."""
        self._begin(text)
        if self._working is not None and len(self._actions) >= MOST_UNREAD_ACTIONS:
            await asyncio.wait([self._working])

    def _catch_up_soon(self, conversation_id: str) -> None:
        behind = Behind(conversation_id)
        if behind not in self._actions and not self._ended:
            self._begin(behind)

    def _begin(self, action: str | bytes | Behind) -> None:
        self._actions.append(action)
        if self._working is None:
            self._working = self._tasks.create_task(self._work())

    async def end(self, seconds: float) -> None:
        """No more will come; what came is still carried out, within that time."""
        self._ended = True
        # It refers to us; what refers to each other stays in memory until the collector comes by.
        self._connection.catch_up = ignore
        if self._working is not None:
            await asyncio.wait([self._working], timeout=seconds)
            if self._working is not None:
                self._working.cancel()

    async def _work(self) -> None:
        """An exception that leaves it is a fault of ours."""
        while self._actions:
            action = self._actions.pop(0)
            if isinstance(action, Behind):
                await self._catch_up(action.conversation_id)
            else:
                await self._try(action)
        self._working = None

    async def _try(self, text: str | bytes) -> None:
        try:
            async with asyncio.timeout(ACTION_SECONDS) as self._limit:
                await self._act(websocket.parse(text))
        except ConnectionGone:
            self._actions.clear()
        except ServerError as error:
            self._connection.offer(websocket.refused(error, text))
        except TimeoutError:
            late = Unavailable("This took too long; send it again with the same messageId.", code="timeout")
            self._connection.offer(websocket.refused(late, text))

    async def _act(self, action: frames.ClientFrame) -> None:
        match action:
            case frames.SendMessage():
                await self._send_message(action)
            case frames.Cancel(conversation_id, message_id):
                await self._server.inbox.cancel(self._person, conversation_id or self._conversation_id, message_id)
            case frames.History():
                await self._history(action)
            case frames.NewConversation(assistant):
                await self._new_conversation(assistant)
            case frames.ListConversations(limit):
                found = await self._server.conversations.recent(self._person, limit)
                self._connection.say(websocket.conversations(found))
            case frames.Resume():
                await self._resume(action)
            case frames.RefreshToken(token):
                await self._refresh_token(token)
            case frames.Ping():
                self._connection.say(websocket.pong())
            case _:
                assert_never(action)

    async def _send_message(self, action: frames.SendMessage) -> None:
        conversation_id = action.conversation_id or self._conversation_id
        message_id = action.message_id or f"m_{secrets.token_hex(12)}"
        message = InboundMessage(self._person, conversation_id, message_id, action.message, action.when_busy)
        if self._server.cluster and self._connection.shown(conversation_id) is None:
            # What another process fails to send is missed only where it is known what was there before.
            self._connection.watch(await self._find(conversation_id))
        accepted = await self._server.inbox.accept(message)
        self._conversation_id = conversation_id
        if accepted.duplicate:
            self._connection.say(websocket.accepted(accepted))

    async def _history(self, action: frames.History) -> None:
        conversation = await self._find(action.conversation_id)
        page = await self._server.log.before(conversation.id, action.before, action.limit)
        self._connection.say(websocket.history(conversation.id, page, self._server.sign))

    async def _new_conversation(self, assistant: str | None) -> None:
        if assistant is not None:
            await self._server.catalog.check(assistant)
        wanted = assistant or self._server.assistant
        new = await self._server.conversations.create(self._person, websocket.NAME, wanted)
        self._conversation_id = new.id
        self._connection.begin(new)
        self._connection.say(websocket.opened(self._told(new)))

    async def _resume(self, action: frames.Resume) -> None:
        """Live frames are held back until the log has been shown up to where they begin."""
        self._connection.hold()
        try:
            asked = action.conversation_id or self._conversation_id
            # Before the log: a turn that ends in between is found there, and none that begins later is in its place.
            elsewhere = await under_way_elsewhere(self._server, self._person, asked)
            conversation = self._told(await self._find(asked))
            self._conversation_id = conversation.id
            recovered = action.epoch in {None, conversation.epoch} and action.after <= conversation.offset
            self._connection.say(websocket.resumed(conversation, recovered=recovered))
            await self._replay(conversation, action.after if recovered else 0)
        except BaseException:
            self._connection.resume()
            raise
        live = under_way(self._server, self._person, elsewhere)
        self._go_live(conversation, [one for one in live if one.conversation_id == conversation.id])

    async def _catch_up(self, conversation_id: str) -> None:
        """Something was lost on its way here, it seems. While the store cannot say whether, what comes goes on."""
        try:
            async with asyncio.timeout(ACTION_SECONDS):
                conversation = await self._find(conversation_id)
        except NotFound:
            self._connection.forget(conversation_id)
        except (ServerError, TimeoutError) as error:
            logger.info("catch_up_failed", conversation=conversation_id, error=str(error))
        else:
            after = self._connection.shown(conversation_id)
            if after is not None and after <= conversation.offset:
                await self._show_missing(conversation, after)

    async def _show_missing(self, conversation: Conversation, after: int) -> None:
        """What the log has of it is shown, and what comes is in its place again."""
        self._connection.hold()
        try:
            async with asyncio.timeout(ACTION_SECONDS) as self._limit:
                await self._replay(conversation, after)
            self._connection.begin(conversation)
        except NotFound:
            self._connection.forget(conversation.id)
        except ConnectionGone:
            self._actions.clear()
        except (ServerError, TimeoutError) as error:
            logger.info("catch_up_failed", conversation=conversation.id, error=str(error))
            self._connection.wire.close(FRAMES_LOST, "frames were lost; resume")
        with suppress(ConnectionGone):
            self._connection.resume()

    async def _refresh_token(self, token: str) -> None:
        who = await self._server.verifier.verify(token)
        if who.person != self._person:
            raise Unauthorized("This token is another person's.", code="another_person")
        self._server.tenure.check(who)
        if self._server.cluster:
            # First: a socket that lived on without it would be sent nothing.
            await self._server.cluster.join(self._connection, who)
        self._connection.renew(who)
        self._connection.say(websocket.token_refreshed(who))

    def _go_live(self, conversation: Conversation, live: Iterable[Snapshot]) -> None:
        said = []
        for snapshot in live:
            place = snapshot.conversation_id, snapshot.question
            answered = conversation.answered if place[0] == conversation.id else 0
            if place[1] <= answered or self._connection.expects_earlier(*place, answered):
                continue
            if not self._connection.holds_beginning(*place):
                said.append(snapshot)
                self._connection.say(websocket.snapshot(snapshot))
        self._connection.release(conversation, said)

    async def _replay(self, conversation: Conversation, after: int) -> None:
        """Raises `NotFound` if it is deleted meanwhile."""
        while after < conversation.offset:
            page = await self._server.log.after(conversation.id, after, min(REPLAY_PAGE, conversation.offset - after))
            if not page.entries:
                raise NotFound("The conversation was deleted.", code="unknown_conversation")
            for entry in page.entries:
                await self._until_read()
                self._complete(conversation.id, entry)
                self._connection.say(websocket.replay(conversation.id, entry, self._server.sign))
            after = page.entries[-1].offset

    async def _until_read(self) -> None:
        """A long log comes no faster than it is read, and takes its time. Raises `ConnectionGone` where it is not."""
        try:
            async with asyncio.timeout(UNREAD_SECONDS):
                while self._connection.is_crowded():  # noqa: ASYNC110  the wire tells nobody
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            self._connection.cut_off()
        self._limit.reschedule(asyncio.get_running_loop().time() + ACTION_SECONDS)

    def _complete(self, conversation_id: str, entry: Entry) -> None:
        """The last words of a reply that was followed so far: they are held, or were not even sent."""
        if isinstance(entry, Reply) and self._connection.is_following(conversation_id, entry.question):
            whole = Snapshot(conversation_id, entry.question, entry.message_id, entry.draft.text)
            self._connection.say(websocket.snapshot(whole))

    def _told(self, conversation: Conversation) -> Conversation:
        """As clients are told of it: with a backup that was put back, another life of its log has begun."""
        restored = self._server.settings.restored
        return replace(conversation, epoch=f"{conversation.epoch}.{restored}") if restored else conversation

    async def _find(self, conversation_id: str | None) -> Conversation:
        return await self._server.conversations.find(self._person, conversation_id or self._conversation_id)


async def under_way_elsewhere(server: Server, person: str, conversation_id: str) -> Sequence[Snapshot]:
    """Of the reply that another process gives there. What it says later comes to every socket that was registered."""
    return await server.cluster.under_way(person, conversation_id) if server.cluster else ()


def under_way(server: Server, person: str, elsewhere: Iterable[Snapshot]) -> Sequence[Snapshot]:
    """What is being said here and `elsewhere`. Of two attempts at one reply the later counts: the other process may not
    know yet that it has lost its own.
    """
    said = {}
    for one in sorted((*elsewhere, *server.router.under_way(person)), key=attrgetter("attempt")):
        said[one.conversation_id, one.question] = one
    return tuple(said.values())


def limits(settings: Settings) -> frames.Limits:
    return frames.Limits(settings.message_bytes, FRAME_BYTES, settings.messages_per_minute)
