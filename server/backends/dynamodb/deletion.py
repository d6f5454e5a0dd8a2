"""A conversation is deleted in two steps: it is gone for everybody at once, then item by item.

What is broken off between them is done by whoever deletes it again, or takes it up: the sweep names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress

from server.backends.dynamodb import keys
from server.backends.dynamodb.base import DynamoBase
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import Item, Key, key_of
from server.backends.dynamodb.table import delete
from server.backends.dynamodb.values import Head

CLAIM_DAYS = 7
LEFT_ALONE_MS = 60_000
# All conditions of other changes fail at a head like this; the indexes by person and of what is current lose it.
GONE = (
    "#deleted = :yes, #offset = :never, #waiting = :nothing, #leaseUntil = :none,"
    " #attempt = #attempt + :one, #waitingShard = :shard, #dueAt = :due"
)


class DynamoDeletion(DynamoBase):
    async def _delete(self, conversation_id: str) -> None:
        head = await self._end(conversation_id)
        if head is not None:
            await self._clear(head)

    async def _end(self, conversation_id: str) -> Head | None:
        with suppress(ConditionFailed):
            return await self._change(
                conversation_id,
                GONE,
                "attribute_exists(#pk)",
                rest="REMOVE #updatedAt, #cancelled",
                yes=True,
                never=-1,
                nothing=[],
                none=0,
                one=1,
                shard=keys.shard(conversation_id),
                due=self._now() + LEFT_ALONE_MS,
            )
        return None

    async def _clear(self, head: Head) -> None:
        """The head last: while it is there, the rest can still be found."""
        one = head.conversation
        pointer = delete(keys.current(one.person, one.channel), "#conversationId = :gone", gone=one.id)
        with suppress(ConditionFailed):
            await contend(lambda: self._table.transact(pointer))
        pages = self._table.pages(
            "#pk = :pk", fields="#pk, #sk, #messageId, #question, #createdAt", pk=keys.conversation(one.id)
        )
        async with aclosing(pages):
            async for page in pages:
                await self._clear_page(one.person, page)
        await self._table.delete_many([keys.head(one.id)])

    async def _clear_page(self, person: str, page: Sequence[Item]) -> None:
        """What an item leads to goes before the item itself."""
        elsewhere = [key for item in page for key in led_to(person, item, self._oldest_claim())]
        await self._table.delete_many(list(dict.fromkeys(elsewhere)))
        await self._table.delete_many([key_of(item) for item in page if item["sk"] != "head"])

    def _oldest_claim(self) -> int:
        return self._now() - CLAIM_DAYS * 86_400_000


def led_to(person: str, item: Item, oldest_claim: int) -> Iterator[Key]:
    """A claim that has run out may be another's by now."""
    kind = item["sk"].partition("#")[0]
    if kind == "entry" and "question" not in item and item["createdAt"] > oldest_claim:
        yield keys.claim(person, item["messageId"])
    if kind == "letter":
        key = key_of(item)
        yield keys.letter_listing(keys.conversation_id(key), keys.offset(key), item["createdAt"])
