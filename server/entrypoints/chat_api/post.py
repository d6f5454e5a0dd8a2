"""A message on its way to its answer: accepted once, waited for, told."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from server.channels import http_chat
from server.channels.http_chat import ChatAnswer
from server.entrypoints.chat_api.askers import Asker
from server.entrypoints.chat_api.ear import Ear
from server.entrypoints.chat_api.story import reply_to, story_until
from server.errors import Conflict, NotFound, Refused, TooMany, Unavailable
from server.model import Accepted, InboundMessage
from server.wiring.server import Server

# A conversation that cannot be: to ask whether a message was accepted before, wherever that was.
NOWHERE = "nowhere"
LOOK_SECONDS = 5.0
LOOK_SECONDS_ALONE = 1.0
RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Post:
    """What was asked. `key`: the idempotency key; `keyed`: it is the client's own, so that this may be a retry."""

    asker: Asker
    text: str
    key: str
    keyed: bool


async def accept(server: Server, post: Post) -> Accepted:
    """Raises what `Inbox.accept` raises."""
    asker = post.asker
    server.inbox.check(message(server, post, NOWHERE))
    if asker.conversation_id is not None:
        accepted = await server.inbox.accept(message(server, post, asker.conversation_id))
        if accepted.conversation_id != asker.conversation_id:
            raise Conflict("This Idempotency-Key was used before in another conversation.", code="id_conflict")
        return accepted
    if asker.secret is not None:
        # The person is the conversation's own: made once, however often this is sent.
        assistant = server.settings.http_chat_assistant_id
        conversation = await server.conversations.current(asker.who.person, http_chat.NAME, assistant)
        return await server.inbox.accept(message(server, post, conversation.id))
    earlier = await accepted_before(server, post) if post.keyed else None
    return earlier or await begin(server, post)


async def accepted_before(server: Server, post: Post) -> Accepted | None:
    """A retry of what began a conversation must not begin another."""
    try:
        return await server.log.accept(message(server, post, NOWHERE))
    except NotFound:
        return None


async def begin(server: Server, post: Post) -> Accepted:
    """In a new conversation, which is let go of again if nothing came to be said in it."""
    person, assistant = post.asker.who.person, server.settings.http_chat_assistant_id
    new = await server.conversations.create(person, http_chat.NAME, assistant)
    try:
        accepted = await server.inbox.accept(message(server, post, new.id))
    except (Refused, TooMany):
        await server.conversations.delete(person, new.id)
        raise
    if accepted.conversation_id != new.id:
        await server.conversations.delete(person, new.id)
    return accepted


def message(server: Server, post: Post, conversation_id: str) -> InboundMessage:
    asker, when_busy = post.asker, server.settings.http_chat_when_busy
    return InboundMessage(asker.who.person, conversation_id, asker.message_id, post.text, when_busy)


class Wait:
    """For the reply to what was `accepted`. `ends_at` is a moment of the loop."""

    def __init__(self, server: Server, post: Post, accepted: Accepted, ear: Ear, ends_at: float) -> None:
        self._server = server
        self._post = post
        self.accepted = accepted
        self._ear = ear
        self._ends_at = ends_at
        self._reply: int | None = None
        self._hurried = False
        # Nothing can have been missed so far of what is new.
        self._look_at = 0.0 if accepted.duplicate else self._now() + LOOK_SECONDS

    async def goes_on(self, seconds: float = LOOK_SECONDS) -> bool:
        """Waits until something is heard, but not longer than that. False at once when the reply is there.

        Raises `Unavailable` when its time is over, and `NotFound` if the conversation was deleted.
        """
        if await self._is_there():
            return False
        left = self._left()
        if left <= 0:
            raise late(self._post.key, code="draining" if self._hurried else "timeout")
        await self._ear.listen(min(left, seconds, max(0.0, self._look_at - self._now())))
        return True

    async def answer(self) -> ChatAnswer:
        """Once it does not go on. Raises what became of the message, if that is no answer."""
        assert self._reply is not None  # noqa: S101  that is what was waited for
        conversation_id = self.accepted.conversation_id
        story = await story_until(self._server.log, conversation_id, self._reply)
        return http_chat.answer(self._post.asker.name_of(conversation_id), story, self._server.sign)

    async def _is_there(self) -> bool:
        if self._reply is None:
            self._reply = self._ear.reply
        if self._reply is None and (self._now() >= self._look_at or self._left() <= 0):
            self._reply = await self._look()
            self._look_at = self._now() + (LOOK_SECONDS_ALONE if self._ear.closed else LOOK_SECONDS)
        return self._reply is not None

    async def _look(self) -> int | None:
        """Whatever was lost on its way here is in the log."""
        with suppress(Unavailable):
            conversation = await self._server.conversations.find(
                self._post.asker.who.person, self.accepted.conversation_id
            )
            return await reply_to(self._server.log, conversation, self.accepted)
        return None

    def _left(self) -> float:
        """When the server ends, turns under way have only so long."""
        if self._server.draining.is_set() and not self._hurried:
            self._hurried = True
            self._ends_at = min(self._ends_at, self._now() + self._server.settings.drain_seconds)
        return self._ends_at - self._now()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def late(key: str, *, code: str) -> Unavailable:
    return Unavailable(
        f"The answer is still on its way. Send the same request with the header Idempotency-Key: {key} to get it.",
        code=code,
        retry_after=RETRY_SECONDS,
    )
