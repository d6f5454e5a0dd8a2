"""A conversation is forgotten: at the provider first, because what is left there could not be found again."""

from __future__ import annotations

import structlog

from server.ports import Conversations, Engine

logger = structlog.get_logger()


class Erasure:
    def __init__(self, conversations: Conversations, engine: Engine) -> None:
        self._conversations = conversations
        self._engine = engine

    async def forget(self, person: str, conversation_id: str) -> None:
        """Raises `NotFound`; `Unavailable` if the provider cannot be asked, and then everything is as it was."""
        conversation = await self._conversations.find(person, conversation_id)
        if conversation.thread is not None:
            await self._engine.forget(conversation.thread)
        await self._conversations.delete(person, conversation_id)
        logger.info("conversation_deleted", conversation=conversation_id)
