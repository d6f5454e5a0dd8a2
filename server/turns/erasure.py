"""A conversation is forgotten: what is under way in it is ended first, then the provider's part, then ours."""

from __future__ import annotations

import asyncio

import structlog

from server.errors import NotFound, Unavailable
from server.inbox.accept import Inbox
from server.ports import Conversations, Engine

logger = structlog.get_logger()

STOP_SECONDS = 10.0
LOOK_SECONDS = 0.05


class Erasure:
    def __init__(self, inbox: Inbox, conversations: Conversations, engine: Engine) -> None:
        self._inbox = inbox
        self._conversations = conversations
        self._engine = engine

    async def forget(self, person: str, conversation_id: str) -> None:
        """Every device hears the end of a reply under way, and nothing after it.

        Raises `NotFound`; `Unavailable` if what is under way does not end or the provider cannot be asked, and then
        nothing is forgotten.
        """
        await self._stop(person, conversation_id)
        conversation = await self._conversations.find(person, conversation_id)
        if conversation.thread is not None:
            # First: what is left there could not be found again.
            await self._engine.forget(conversation.thread)
        await self._conversations.delete(person, conversation_id)
        logger.info("conversation_deleted", conversation=conversation_id)

    async def _stop(self, person: str, conversation_id: str) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while await self._is_busy(person, conversation_id):  # noqa: ASYNC110  it may end in another process
                    await asyncio.sleep(LOOK_SECONDS)
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
