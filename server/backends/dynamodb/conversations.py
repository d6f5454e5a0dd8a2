"""Whose conversations there are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import aclosing

from server.backends.dynamodb import keys, values
from server.backends.dynamodb.base import living, owned, unchanged
from server.backends.dynamodb.deletion import DynamoDeletion
from server.backends.dynamodb.directory import PERSON_INDEX, listed
from server.backends.dynamodb.errors import read_and_change
from server.backends.dynamodb.items import Item, key_of
from server.backends.dynamodb.table import Write, put
from server.model import Conversation


class DynamoConversations(DynamoDeletion):
    """Implements the port Conversations."""

    async def current(
        self, person: str, channel: str, assistant: str, *, since: int = 0, ended: str | None = None
    ) -> Conversation:
        return await read_and_change(lambda: self._current(person, channel, assistant, since, ended))

    async def _current(self, person: str, channel: str, assistant: str, since: int, ended: str | None) -> Conversation:
        pointer = await self._table.get(keys.current(person, channel))
        head = await self._head(pointer["conversationId"]) if pointer is not None else None
        if head is not None and head.conversation.goes_on(since, ended):
            return head.conversation
        condition, before = unchanged(pointer, "conversationId")
        new = self._new(person, channel, assistant)
        await self._table.transact(made(new), put(pointer_item(new), condition, **before), *listed(new))
        return new

    async def create(self, person: str, channel: str, assistant: str) -> Conversation:
        new = self._new(person, channel, assistant)
        await read_and_change(lambda: self._table.transact(made(new), put(pointer_item(new)), *listed(new)))
        return new

    def _new(self, person: str, channel: str, assistant: str) -> Conversation:
        now = self._now()
        return Conversation(
            f"c_{secrets.token_hex(12)}", person, channel, assistant, secrets.token_hex(6), 0, 0, now, now
        )

    async def find(self, person: str, conversation_id: str) -> Conversation:
        return (await self._of(person, conversation_id)).conversation

    async def recent(self, person: str, limit: int) -> Sequence[Conversation]:
        """The index may be a moment behind about which there are, never about what is in them."""
        mine: list[Conversation] = []
        pages = self._table.pages("#person = :person", index=PERSON_INDEX, backwards=True, most=limit, person=person)
        async with aclosing(pages):
            async for page in pages:
                found = await self._table.get_many([key_of(item) for item in page])
                mine += [head.conversation for item in found.values() if (head := living(item)) is not None]
                if len(mine) >= limit:
                    break
        return sorted(mine, key=lambda one: (one.updated_at, one.created_at), reverse=True)[:limit]

    async def delete(self, person: str, conversation_id: str) -> None:
        """Asked again after it was broken off, it goes on."""
        item = await self._table.get(keys.head(conversation_id))
        owned(values.head(item) if item else None, person)
        await self._delete(conversation_id)


def made(new: Conversation) -> Write:
    return put(values.head_item(new), "attribute_not_exists(#pk)")


def pointer_item(new: Conversation) -> Item:
    return {**keys.current(new.person, new.channel)._asdict(), "conversationId": new.id}
