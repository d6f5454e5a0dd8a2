"""What was said."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.base import living, owned, ttl, unchanged
from server.backends.dynamodb.conversations import DynamoConversations
from server.backends.dynamodb.deletion import CLAIM_DAYS
from server.backends.dynamodb.errors import read_and_change
from server.backends.dynamodb.items import Item, key_of
from server.backends.dynamodb.table import Write, put, update
from server.backends.dynamodb.values import Head
from server.errors import Conflict, NotFound, TooMany
from server.model import Accepted, InboundMessage, Page, Question

WAITING_INDEX = "waitingIndex"
ADDED = "#offset = :offset, #updatedAt = :now, #waiting = list_append(#waiting, :added)"
SHOWN = "#waitingShard = :shard, #dueAt = :due"
DUE_AT_ONCE = "#retryAt = :retry, #dueAt = :soon"
MARKED = "ADD #cancelled :marked"
SAME_LEASE = "#leaseUntil = :lease"


class DynamoLog(DynamoConversations):
    """Implements the port Log."""

    async def accept(self, message: InboundMessage) -> Accepted:
        async with self._in_turn(message.conversation_id):
            return await read_and_change(lambda: self._accept(message))

    async def _accept(self, message: InboundMessage, *also: Write) -> Accepted:
        place, used = keys.head(message.conversation_id), keys.claim(message.person, message.message_id)
        found = await self._table.get_many([place, used])
        earlier = await self._claimed(message, found.get(used), living(found.get(place)))
        if earlier is not None:
            return earlier
        head = owned(living(found.get(place)), message.person)
        self._check_room(message, len(head.waiting))
        asked = Question(head.conversation.offset + 1, message.message_id, message.text, self._now())
        entry = values.question_item(message.conversation_id, asked)
        parts = await texts.packed(entry, message.text)
        await self._table.transact(
            self._claim(message, asked, found.get(used)),
            self._added(message, asked, head),
            put(entry, "attribute_not_exists(#pk)"),
            *parts,
            *also,
        )
        return Accepted(message.conversation_id, message.message_id, asked.offset, message.text, asked.created_at)

    async def _claimed(self, message: InboundMessage, claim: Item | None, head: Head | None) -> Accepted | None:
        """A claim counts for its days, as long as the conversation that it led to is there."""
        if claim is None or claim["createdAt"] <= self._now() - CLAIM_DAYS * 86_400_000:
            return None
        where = claim["conversationId"]
        if where != message.conversation_id:
            head = await self._head(where)
        if head is None:
            return None
        if claim["digest"] != digest(message.text):
            raise Conflict("This messageId was used before with another text; take a new one.", code="id_conflict")
        return Accepted(where, message.message_id, claim["offset"], message.text, claim["createdAt"], duplicate=True)

    def _check_room(self, message: InboundMessage, waiting: int) -> None:
        if waiting and message.when_busy == "reject":
            raise TooMany("The assistant is still answering; wait for it.", code="busy", retry_after=1)
        if waiting >= self._most_waiting:
            raise TooMany(
                f"{waiting} messages of this conversation wait for their answer; wait for one.",
                code="too_many_waiting",
                retry_after=5,
            )

    def _claim(self, message: InboundMessage, asked: Question, before: Item | None) -> Write:
        condition, values_before = unchanged(before, "createdAt")
        claim = {
            **keys.claim(message.person, message.message_id)._asdict(),
            "conversationId": message.conversation_id,
            "offset": asked.offset,
            "digest": digest(message.text),
            "createdAt": asked.created_at,
            "ttl": ttl(CLAIM_DAYS),
        }
        return put(claim, condition, **values_before)

    def _added(self, message: InboundMessage, asked: Question, head: Head) -> Write:
        """Nobody else may have added to the log since the head was read, and so neither to what waits."""
        sets, rest, condition = ADDED, "", "#offset = :seen"
        named: dict[str, Any] = {
            "offset": asked.offset,
            "now": asked.created_at,
            "added": [asked.offset],
            "seen": asked.offset - 1,
        }
        if not head.waiting:
            sets += f", {SHOWN}"
            named |= {"shard": keys.shard(message.conversation_id), "due": asked.created_at}
        elif message.when_busy == "interrupt":
            sets += f", {DUE_AT_ONCE}"
            rest, condition = MARKED, f"{condition} AND {SAME_LEASE}"
            named |= self._marks(head, head.waiting)
        return update(keys.head(message.conversation_id), f"SET {sets} {rest}", condition, **named)

    # --- cancelling ---

    def _marks(self, head: Head, cancelled: Sequence[int]) -> dict[str, Any]:
        """The values of DUE_AT_ONCE, MARKED and SAME_LEASE."""
        due = max(head.lease_until, self._now())
        return {"retry": 0, "soon": due, "marked": set(cancelled), "lease": head.lease_until}

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        async with self._in_turn(conversation_id):
            await read_and_change(lambda: self._cancel(person, conversation_id, message_id))

    async def _cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        head = await self._of(person, conversation_id)
        one = await self._waiting_offset(head, message_id)
        if one is None:
            raise NotFound("Nothing waits for an answer here.", code="nothing_to_cancel")
        await self._change(
            conversation_id,
            DUE_AT_ONCE,
            f"contains(#waiting, :one) AND {SAME_LEASE}",
            rest=MARKED,
            one=one,
            **self._marks(head, [one]),
        )

    async def _waiting_offset(self, head: Head, message_id: str | None) -> int | None:
        """Of the question that is meant."""
        if message_id is None:
            return head.waiting[0] if head.waiting else None
        places = [keys.entry(head.conversation.id, offset) for offset in head.waiting]
        found = await self._table.get_many(places)
        ids = {key: item["messageId"] for key, item in found.items()}
        return next((keys.offset(key) for key in places if ids.get(key) == message_id), None)

    # --- reading ---

    async def after(self, conversation_id: str, offset: int, limit: int) -> Page:
        return await self._page(conversation_id, offset + 1, keys.NEWEST, limit, backwards=False)

    async def before(self, conversation_id: str, offset: int | None, limit: int) -> Page:
        last = keys.NEWEST if offset is None else offset - 1
        page = await self._page(conversation_id, 1, last, limit, backwards=True)
        return Page(page.entries[::-1], page.more)

    async def _page(self, conversation_id: str, first: int, last: int, limit: int, *, backwards: bool) -> Page:
        if not 0 < first <= last <= keys.NEWEST:
            return Page((), more=False)
        pages = self._table.pages(
            "#pk = :pk AND #sk BETWEEN :first AND :last",
            backwards=backwards,
            most=limit + 1,
            pk=keys.conversation(conversation_id),
            first=keys.entry(conversation_id, first).sk,
            last=keys.entry(conversation_id, last).sk,
        )
        kept, more = await self._cut(pages, limit)
        await texts.unpack(self._table, kept)
        return Page(tuple(map(values.entry, kept)), more)

    async def _cut(self, pages: AsyncGenerator[Sequence[Item]], limit: int) -> tuple[list[Item], bool]:
        """What fits, and whether there is more."""
        kept: list[Item] = []
        size = 0
        async with aclosing(pages):
            async for page in pages:
                for item in page:
                    size += texts.size(item)
                    if len(kept) == limit or (kept and size > self._page_bytes):
                        return kept, True
                    kept.append(item)
        return kept, False

    async def waiting(self, limit: int) -> Sequence[str]:
        """Those due the longest first."""
        found = await asyncio.gather(*(self._waiting_in(number, limit) for number in range(keys.SHARDS)))
        due = sorted((item for items in found for item in items), key=lambda item: item["dueAt"])
        return [keys.conversation_id(key_of(item)) for item in due[:limit]]

    async def _waiting_in(self, number: int, limit: int) -> Sequence[Item]:
        return await self._table.query(
            "#waitingShard = :number AND #dueAt <= :now",
            index=WAITING_INDEX,
            most=limit,
            number=number,
            now=self._now(),
        )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
