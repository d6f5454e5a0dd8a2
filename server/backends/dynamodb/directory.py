"""Conversations whosever they are, and who has any on a channel of phones.

A person is listed with one of their conversations there. That it is deleted changes the listing only while it is the
one that is named, so that one which comes into being meanwhile is not missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, suppress

from server.backends.dynamodb import keys
from server.backends.dynamodb.base import DynamoBase, living
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import key_of
from server.backends.dynamodb.table import Write, delete, put, update
from server.errors import NotFound
from server.model import PHONES, Conversation

PERSON_INDEX = "personIndex"
LOOKED_AT = 25


class DynamoDirectory(DynamoBase):
    """Implements the port Directory."""

    async def look_up(self, conversation_id: str) -> Conversation:
        head = await self._head(conversation_id)
        if head is None:
            raise NotFound("No such conversation; listConversations shows yours.", code="unknown_conversation")
        return head.conversation

    async def callers(self, channel: str, after: str, limit: int) -> Sequence[str]:
        found = await self._table.query(
            "#pk = :pk AND #sk > :after", most=limit, pk=keys.callers(channel), after=after or " "
        )
        return [key_of(item).sk for item in found]

    async def _unlist(self, one: Conversation) -> None:
        """It is being deleted."""
        if one.channel not in PHONES:
            return
        listing, named = keys.caller(one.channel, one.person), "#conversationId = :gone"
        item = await self._table.get(listing)
        if item is None or item["conversationId"] != one.id:
            return
        other = await self._other(one)
        if other is None:
            write = delete(listing, named, gone=one.id)
        else:
            write = update(listing, "SET #conversationId = :other", named, gone=one.id, other=other)
        with suppress(ConditionFailed):
            await contend(lambda: self._table.transact(write))

    async def _other(self, one: Conversation) -> str | None:
        """Another one that the person has there. The index is up to date on those that were begun earlier."""
        pages = self._table.pages("#person = :person", index=PERSON_INDEX, most=LOOKED_AT, person=one.person)
        async with aclosing(pages):
            async for page in pages:
                found = await self._table.get_many([key_of(item) for item in page])
                heads = (head for item in found.values() if (head := living(item)) is not None)
                for other in (head.conversation for head in heads):
                    if other.channel == one.channel and other.id != one.id:
                        return other.id
        return None


def listed(new: Conversation) -> tuple[Write, ...]:
    if new.channel not in PHONES:
        return ()
    return (put({**keys.caller(new.channel, new.person)._asdict(), "conversationId": new.id}),)
