"""The door for people at a phone, whatever provider their texts come through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

import structlog

from server.errors import BadInput, Conflict, NotFound, ServerError, TooMany, Unavailable
from server.inbox.accept import Inbox
from server.inbox.limits import Limit, Limits, Meter
from server.inbox.notices import Notice, notice_id
from server.inbox.numbers import AllowList
from server.inbox.words import command_of
from server.model import Accepted, Conversation, InboundMessage, Text, WhenBusy, picture_line
from server.ports import Accounts, Album, Claims, Conversations, OptOuts

logger = structlog.get_logger()

NO_PICTURE = "[a picture that could not be opened]"

# `late`: a stop that came after the start that was said after it.
Taken: TypeAlias = Literal[
    "accepted", "duplicate", "opted_out", "late", "not_allowed", "over_limit", "empty", "refused"
]


class PhoneDoor:
    """`assistants`: who answers on which channel. `clock` tells seconds since 1970."""

    def __init__(
        self,
        inbox: Inbox,
        conversations: Conversations,
        claims: Claims,
        opt_outs: OptOuts,
        accounts: Accounts,
        allowed: AllowList,
        limits: Limits,
        assistants: Mapping[str, str],
        album: Album | None = None,
        *,
        session_seconds: float,
        pause_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._conversations = conversations
        self._claims = claims
        self._opt_outs = opt_outs
        self._meter = Meter(accounts, limits)
        self._allowed = allowed
        self._limits = limits
        self._assistants = assistants
        self._album = album
        self._session_seconds = session_seconds
        self._pause = pause_seconds
        self._clock = clock

    async def take(self, text: Text) -> Taken:
        """Whatever is owed to it is durable when this returns; one that was accepted before changes nothing.

        Raises `Unavailable` where the fault is ours, or too much waits already: then it is to come again.
        """
        try:
            taken = await self._take(text)
        except BadInput as error:
            logger.warning("text_refused", channel=text.channel, code=error.code)
            return "refused"
        except TooMany as error:
            # Nobody told the person, and it is welcome later.
            raise Unavailable(error.message, code=error.code, retry_after=error.retry_after) from None
        except NotFound:
            # The conversation was deleted under it. Another is there when it comes again.
            raise Unavailable("The conversation is gone; come again.", code="conversation_gone") from None
        except Conflict:
            # It came twice at once, and not letter by letter the same.
            return "duplicate"
        if taken != "accepted":
            logger.info("text_dropped", channel=text.channel, reason=taken)
        return taken

    async def _take(self, text: Text) -> Taken:
        if await self._claims.knows(text.person, (text.message_id, *text.aliases)):
            await self._carry_through(text)
            return "duplicate"
        command = command_of(text.text)
        if command == "stop":
            return await self._stop(text)
        notice = await self._start(text) if command == "start" or command == "yes" else command
        if not self._allowed.admits(text.number):
            return "not_allowed"
        if await self._opt_outs.opted_out(text.person, text.channel):
            return "opted_out"
        if not (text.text.strip() or text.media):
            return "empty"
        return await self._take_charged(text, notice)

    async def _carry_through(self, text: Text) -> None:
        """Of what was accepted before: a reset of which no more than that was done."""
        reset = notice_id("reset", text.message_id)
        if command_of(text.text) == "reset" and await self._claims.knows(text.person, (reset,)):
            await self._answer(text, "reset")

    async def _stop(self, text: Text) -> Taken:
        """It counts at once, whoever it comes from. Who wanted nothing before it has been answered already."""
        began = await self._opt_outs.opt_out(text.person, text.channel, self._said_at(text), text.message_id)
        if not self._allowed.admits(text.number):
            return "not_allowed"
        if began:
            await self._answer(text, "stop")
            return "accepted"
        return "opted_out" if await self._opt_outs.opted_out(text.person, text.channel) else "late"

    async def _start(self, text: Text) -> Notice | None:
        """It counts at once, whoever it comes from; a yes only if it ends an opt-out."""
        back = await self._opt_outs.opt_in(text.person, text.channel, self._said_at(text), text.message_id)
        return "start" if back or command_of(text.text) == "start" else None

    def _said_at(self, text: Text) -> int:
        return int(self._clock() * 1000) if text.said_at is None else text.said_at

    async def _take_charged(self, text: Text, notice: Notice | None) -> Taken:
        segments, at = 1 if notice else self._limits.segments_per_reply, self._clock()
        verdict = await self._meter.charge(text, segments, at)
        if verdict == "refused":
            return "over_limit"
        if verdict != "paid" and verdict != "free":
            return await self._tell(text, verdict, at)
        accepted = await (self._answer(text, notice) if notice else self._ask(text))
        if accepted.joins and verdict == "paid":
            await self._meter.give_back(segments, at)
        return "accepted"

    async def _ask(self, text: Text) -> Accepted:
        current = await self._current(text)
        said = "\n".join((text.text, *await self._pictures(text, current.id))).strip()
        return await self._accept(text, current, text.message_id, said=said, quiet=self._pause)

    async def _pictures(self, text: Text, conversation_id: str) -> list[str]:
        """A line for each that came with it. One that cannot be had does not keep the words out."""
        return await asyncio.gather(*(self._picture(text, conversation_id, url) for url in text.media))

    async def _picture(self, text: Text, conversation_id: str, url: str) -> str:
        try:
            return picture_line(await self._album.keep(conversation_id, url)) if self._album else NO_PICTURE
        except ServerError as error:
            logger.warning("picture_not_kept", channel=text.channel, code=error.code)
            return NO_PICTURE

    async def _answer(self, text: Text, notice: Notice) -> Accepted:
        """By the server itself, behind what waits; a stop and a reset want no answer to that any more."""
        current = await self._current(text)
        when_busy: WhenBusy = "interrupt" if notice in {"stop", "reset"} else "enqueue"
        accepted = await self._accept(text, current, notice_id(notice, text.message_id), when_busy=when_busy)
        if notice == "reset":
            # Only now, so that it interrupts what it ends, and no later one, also when it has to come again.
            await self._current(text, ended=accepted.conversation_id)
        return accepted

    async def _tell(self, text: Text, limit: Limit, at: float) -> Taken:
        """Under its own id only: the others may be those of a text that is under way."""
        if await self._meter.tells(text, limit, at):
            await self._answer(replace(text, aliases=()), limit)
        return "over_limit"

    async def _current(self, text: Text, ended: str | None = None) -> Conversation:
        since, assistant = int((self._clock() - self._session_seconds) * 1000), self._assistants[text.channel]
        return await self._conversations.current(text.person, text.channel, assistant, since=since, ended=ended)

    async def _accept(
        self,
        text: Text,
        current: Conversation,
        message_id: str,
        *,
        said: str | None = None,
        when_busy: WhenBusy = "enqueue",
        quiet: float = 0,
    ) -> Accepted:
        aliases = (*text.aliases, text.message_id) if message_id != text.message_id else text.aliases
        message = InboundMessage(
            text.person, current.id, message_id, said or text.text, when_busy, aliases=aliases, quiet=quiet
        )
        # Texts have limits of their own, which say so to the person.
        return await self._inbox.accept(message, limited=False)
