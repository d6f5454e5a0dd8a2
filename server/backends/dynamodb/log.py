"""What was said."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.base import living, owned, ttl, unchanged
from server.backends.dynamodb.conversations import DynamoConversations
from server.backends.dynamodb.deletion import CLAIM_DAYS
from server.backends.dynamodb.errors import read_and_change
from server.backends.dynamodb.items import Item, Key, key_of
from server.backends.dynamodb.table import Write, put, update
from server.backends.dynamodb.values import Head
from server.errors import Conflict, NotFound
from server.model import PHONES, Accepted, InboundMessage, Page, Question, Waiting, breath_of, due

WAITING_INDEX = "waitingIndex"
ADDED = "#offset = :offset, #updatedAt = :now, #waiting = list_append(#waiting, :added)"
BEGUN = "#createdAt = :now"
SHOWN = "#waitingShard = :shard"
DUE = "#retryAt = :retry, #dueAt = :soon"
PAUSED = "#quiet = list_append(if_not_exists(#quiet, :empty), :pause)"
NOT_BEGUN = "#tries = :none AND NOT contains(#cancelled, :first)"
MARKED = "ADD #cancelled :marked"
SAME_LEASE = "#leaseUntil = :lease"


class DynamoLog(DynamoConversations):
    """Implements the ports Log and Claims."""

    async def accept(self, message: InboundMessage) -> Accepted:
        async with self._in_turn(message.conversation_id):
            return await read_and_change(lambda: self._accept(message))

    async def _accept(self, message: InboundMessage, *also: Write) -> Accepted:
        place, used = keys.head(message.conversation_id), claims_of(message)
        found = await self._table.get_many([place, *used])
        for claim in used:
            earlier = await self._claimed(message, found.get(claim), living(found.get(place)))
            if earlier is not None:
                return earlier
        head = owned(living(found.get(place)), message.person)
        message.check_room(len(head.waiting), self._most_waiting)
        asked = Question(head.conversation.offset + 1, message.message_id, message.text, self._now())
        entry = values.question_item(message.conversation_id, asked, message.ids[1:])
        parts = await texts.packed(entry, message.text)
        await self._table.transact(
            *(self._claim(claim, message, asked, head, found.get(claim)) for claim in used),
            self._added(message, asked, head),
            put(entry, "attribute_not_exists(#pk)"),
            *parts,
            *also,
        )
        joins = len(asking(head, message, asked).turns()[-1]) > 1
        known = (message.conversation_id, message.message_id, asked.offset, message.text, asked.created_at)
        return Accepted(*known, joins=joins)

    async def _claimed(self, message: InboundMessage, claim: Item | None, head: Head | None) -> Accepted | None:
        """A claim counts for its days, as long as the conversation that it led to is there; of phones, also then."""
        if claim is None or claim["createdAt"] <= self._now() - CLAIM_DAYS * 86_400_000:
            return None
        where = claim["conversationId"]
        if where != message.conversation_id:
            head = await self._head(where)
        if head is None:
            return forgotten(message, claim)
        first, text = claim.get("messageId", message.message_id), message.text
        if claim["digest"] != digest(text):
            if first == message.message_id:
                raise Conflict(
                    "This messageId or key was used before with another text; take a new one.", code="id_conflict"
                )
            asked = await self._questions(where, [claim["offset"]])
            if not asked:
                return forgotten(message, claim)
            text = asked[0].text
        return Accepted(where, first, claim["offset"], text, claim["createdAt"], duplicate=True)

    def _claim(self, key: Key, message: InboundMessage, asked: Question, head: Head, before: Item | None) -> Write:
        condition, values_before = unchanged(before, "createdAt")
        claim = {
            **key._asdict(),
            "messageId": asked.message_id,
            "conversationId": message.conversation_id,
            "offset": asked.offset,
            "digest": digest(message.text),
            "createdAt": asked.created_at,
            "lasts": head.conversation.channel in PHONES or None,
            "ttl": ttl(CLAIM_DAYS),
        }
        return put(claim, condition, **values_before)

    def _added(self, message: InboundMessage, asked: Question, head: Head) -> Write:
        """Nobody else may have added to the log since the head was read, and so neither to what waits."""
        sets, rest, conditions = [ADDED], "", ["#offset = :seen"]
        named: dict[str, Any] = {
            "offset": asked.offset,
            "now": asked.created_at,
            "added": [asked.offset],
            "seen": asked.offset - 1,
        }
        if asked.offset == 1:
            sets.append(BEGUN)
        if not head.waiting:
            sets.append(SHOWN)
            named["shard"] = keys.shard(message.conversation_id)
        elif message.when_busy == "interrupt":
            sets.append(DUE)
            rest, conditions = MARKED, [*conditions, SAME_LEASE]
            named |= self._marks(head, head.waiting)
        after = asking(head, message, asked)
        first, added = after.turns()[0], after.quiet[-1]
        if message.quiet:
            sets.append(PAUSED)
            named |= {"empty": [], "pause": [values.pause(added)]}
        if first[-1] == added and not head.tries:
            sets.append(DUE)
            named |= {"retry": due(first), "soon": max(due(first), asked.created_at)}
        if len(first) > 1 and first[-1] == added:
            conditions.append(NOT_BEGUN)
            named |= {"none": 0, "first": first[0].offset}
        condition = " AND ".join(conditions)
        return update(keys.head(message.conversation_id), f"SET {', '.join(sets)} {rest}", condition, **named)

    # --- cancelling ---

    def _marks(self, head: Head, cancelled: Sequence[int]) -> dict[str, Any]:
        """The values of DUE, MARKED and SAME_LEASE."""
        marked = replace(head, cancelled=head.cancelled.union(cancelled))
        wait = 0 if head.tries else due(marked.turns()[0])
        soon = max(head.lease_until, self._now(), wait)
        return {"retry": wait, "soon": soon, "marked": set(cancelled), "lease": head.lease_until}

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        async with self._in_turn(conversation_id):
            await read_and_change(lambda: self._cancel(person, conversation_id, message_id))

    async def _cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        head = await self._of(person, conversation_id)
        one = await self._waiting_offset(head, message_id)
        if one is None:
            raise NotFound("Nothing waits for an answer here.", code="nothing_to_cancel")
        breath = breath_of(one, head.turns())
        await self._change(
            conversation_id,
            DUE,
            f"contains(#waiting, :one) AND {SAME_LEASE}",
            rest=MARKED,
            one=one,
            **self._marks(head, [each.offset for each in breath]),
        )

    async def _waiting_offset(self, head: Head, message_id: str | None) -> int | None:
        """Of the question that is meant."""
        if message_id is None:
            return head.waiting[0] if head.waiting else None
        places = [keys.entry(head.conversation.id, offset) for offset in head.waiting]
        found = await self._table.get_many(places)
        ids = {key: item["messageId"] for key, item in found.items()}
        return next((keys.offset(key) for key in places if ids.get(key) == message_id), None)

    async def knows(self, person: str, message_ids: Sequence[str]) -> bool:
        found = await self._table.get_many([keys.claim(person, one) for one in message_ids])
        since = self._now() - CLAIM_DAYS * 86_400_000
        fresh = [claim for claim in found.values() if claim["createdAt"] > since]
        if any("lasts" in claim for claim in fresh):
            return True
        return any([await self._head(one) is not None for one in {claim["conversationId"] for claim in fresh}])

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


def asking(head: Head, message: InboundMessage, asked: Question) -> Head:
    """As it is once that has been asked."""
    if message.when_busy == "interrupt":
        head = replace(head, cancelled=frozenset(head.waiting))
    return head.with_another(Waiting(asked.offset, asked.created_at, message.quiet_ms))


def forgotten(message: InboundMessage, claim: Item) -> Accepted | None:
    """The conversation that the claim led to was deleted."""
    if "lasts" not in claim:
        return None
    known = (claim["conversationId"], message.message_id, claim["offset"], message.text, claim["createdAt"])
    return Accepted(*known, duplicate=True)


def claims_of(message: InboundMessage) -> list[Key]:
    return [keys.claim(message.person, one) for one in message.ids]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
