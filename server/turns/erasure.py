"""A conversation is forgotten: what is under way in it is ended first, then the provider's part, then ours."""

from __future__ import annotations

import asyncio

import structlog

from server.errors import NotFound, Unavailable
from server.inbox.accept import Inbox
from server.model import PHONES, Question, pictures_in
from server.ports import Conversations, Engine, Files, Log, Notes

logger = structlog.get_logger()

STOP_SECONDS = 10.0
FIRST_LOOK_SECONDS = 0.05
LAST_LOOK_SECONDS = 0.8
PAGE = 500
MOST_CONVERSATIONS = 100


class Erasure:
    def __init__(
        self, inbox: Inbox, *, conversations: Conversations, log: Log, notes: Notes, engine: Engine, files: Files
    ) -> None:
        self._inbox = inbox
        self._conversations = conversations
        self._log = log
        self._notes = notes
        self._engine = engine
        self._files = files

    async def forget_person(self, person: str) -> None:
        """All conversations, and what was noted in them. Raises `Unavailable`: what is left is found again."""
        while found := await self._conversations.recent(person, MOST_CONVERSATIONS):
            for one in found:
                await self._stop(person, one.id)
            # Before the last conversation, by which they are found; after the turns, which might note more.
            await self._notes.forget_notes(person)
            for one in found:
                await self.forget(person, one.id)

    async def forget(self, person: str, conversation_id: str) -> None:
        """Every device hears the end of a reply under way, and nothing after it. Pictures that came with its texts go
        too; those that were made for it may have been made for others as well.

        Raises `NotFound`; `Unavailable` if what is under way does not end or the provider cannot be asked, and then
        nothing is forgotten.
        """
        await self._stop(person, conversation_id)
        conversation = await self._conversations.find(person, conversation_id)
        if conversation.thread is not None:
            # First: what is left there could not be found again.
            await self._engine.forget(conversation.thread)
        if conversation.channel in PHONES:
            await self._forget_pictures(conversation_id)
        # What came in meanwhile.
        await self._stop(person, conversation_id)
        await self._conversations.delete(person, conversation_id)
        logger.info("conversation_deleted", conversation=conversation_id)

    async def _forget_pictures(self, conversation_id: str) -> None:
        offset, more = 0, True
        while more:
            page = await self._log.after(conversation_id, offset, PAGE)
            for question in page.entries:
                if isinstance(question, Question):
                    for key in pictures_in(conversation_id, question.text):
                        await self._files.delete(key)
            offset, more = offset + len(page.entries), page.more

    async def _stop(self, person: str, conversation_id: str) -> None:
        pause = FIRST_LOOK_SECONDS
        try:
            async with asyncio.timeout(STOP_SECONDS):
                # It may end in another process.
                while await self._is_busy(person, conversation_id):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LAST_LOOK_SECONDS)
        except TimeoutError:
            raise Unavailable("The assistant is still answering here; try again.", code="busy", retry_after=5) from None

    async def _is_busy(self, person: str, conversation_id: str) -> bool:
        """Something waited for an answer, and is cancelled now."""
        try:
            await self._inbox.cancel(person, conversation_id, None)
        except NotFound as error:
            if error.code == "nothing_to_cancel":
                return False
            raise
        return True
