"""A conversation is deleted in two steps: it is gone for everybody at once, then item by item.

What is broken off between them is done by whoever deletes it again, or takes it up: the sweep names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress

from server.backends.dynamodb import keys
from server.backends.dynamodb.base import ttl
from server.backends.dynamodb.directory import DynamoDirectory
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import Item, Key, key_of
from server.backends.dynamodb.table import delete
from server.backends.dynamodb.values import Head
from server.model import PHONES, Conversation

CLAIM_DAYS = 7
LEFT_ALONE_MS = 60_000
# All conditions of other changes fail at a head like this; the indexes by person and of what is current lose it.
GONE = (
    "#deleted = :yes, #offset = :never, #waiting = :nothing, #leaseUntil = :none,"
    " #attempt = #attempt + :one, #waitingShard = :shard, #dueAt = :due"
)


class DynamoDeletion(DynamoDirectory):
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
        """What is to be sent first. The head last: while it is there, the rest can still be found."""
        one = head.conversation
        await self._table.delete_many([keys.outbox(one.id)])
        pointer = delete(keys.current(one.person, one.channel), "#conversationId = :gone", gone=one.id)
        with suppress(ConditionFailed):
            await contend(lambda: self._table.transact(pointer))
        await self._unlist(one)
        pages = self._table.pages(
            "#pk = :pk", fields="#pk, #sk, #messageId, #aliases, #question, #createdAt", pk=keys.conversation(one.id)
        )
        async with aclosing(pages):
            async for page in pages:
                await self._clear_page(one, page)
        await self._table.delete_many([keys.head(one.id)])

    async def _clear_page(self, one: Conversation, page: Sequence[Item]) -> None:
        """What an item leads to goes before the item itself. Of what phones sent stays that it was sent."""
        claims = [claim for item in page if self._claims(item) for claim in bare_claims(one, item, self._now())]
        if one.channel in PHONES:
            await self._table.put_many(claims)
        else:
            # Asked for again in another conversation meanwhile, an id is claimed for that one.
            found = await self._table.get_many(list(map(key_of, claims)))
            await self._table.delete_many([key for key, claim in found.items() if claim["conversationId"] == one.id])
        await self._table.delete_many([listing(item) for item in page if kind_of(item) == "letter"])
        await self._table.delete_many([key_of(item) for item in page if item["sk"] != "head"])

    def _claims(self, item: Item) -> bool:
        """Whether ids are claimed for it still. A claim that has run out may be another's by now."""
        oldest_claim = self._now() - CLAIM_DAYS * 86_400_000
        return kind_of(item) == "entry" and "question" not in item and item["createdAt"] > oldest_claim


def kind_of(item: Item) -> str:
    return str(item["sk"]).partition("#")[0]


def bare_claims(one: Conversation, item: Item, now: int) -> Iterator[Item]:
    """Of a question, without anything of its text."""
    key = key_of(item)
    claim = {
        "conversationId": one.id,
        "offset": keys.offset(key),
        "createdAt": item["createdAt"],
        "lasts": True,
        "ttl": ttl(CLAIM_DAYS) - (now - item["createdAt"]) // 1000,
    }
    for message_id in dict.fromkeys((item["messageId"], *item.get("aliases", ()))):
        yield {**keys.claim(one.person, message_id)._asdict(), **claim}


def listing(letter: Item) -> Key:
    key = key_of(letter)
    return keys.letter_listing(keys.conversation_id(key), keys.offset(key), letter["createdAt"])
