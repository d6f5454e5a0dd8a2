"""Replies on their way to phones. Which they are, oldest first, and who sends them is one item of the conversation; it
is in the index of what waits for as long as there are any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.base import AGAIN, DynamoBase, living
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import Item, key_of
from server.backends.dynamodb.log import WAITING_INDEX
from server.backends.dynamodb.table import Write, put, update
from server.bulkhead import insist
from server.errors import LeaseLost
from server.model import Lease, Outgoing, Part, Reply, unposted

# What a reply means for the outbox, to be written with it.
Filing: TypeAlias = Callable[[Lease, Reply], list[Write]]
FILED = (
    "#unsent = list_append(if_not_exists(#unsent, :nothing), :added), #attempt = if_not_exists(#attempt, :none),"
    " #tries = if_not_exists(#tries, :none), #leaseUntil = if_not_exists(#leaseUntil, :none),"
    " #waitingShard = if_not_exists(#waitingShard, :shard), #dueAt = if_not_exists(#dueAt, :now)"
)
FREE = "attribute_exists(#unsent[0]) AND #dueAt <= :now"
TAKEN = "#attempt = #attempt + :one, #tries = #tries + :one, #owner = :owner, #leaseUntil = :until, #dueAt = :until"
LENT = "#attempt = :attempt AND #leaseUntil > :none AND #unsent[0].#offset = :offset"
HELD_LONGER = "#leaseUntil = :until, #dueAt = :until"
POSTPONED = "#leaseUntil = :none, #dueAt = :due"
LAST = f"{LENT} AND attribute_not_exists(#unsent[1])"
EMPTIED = "#leaseUntil = :none, #tries = :none"
NOT_LAST = f"{LENT} AND attribute_exists(#unsent[1])"
NEXT_TAKEN = "#attempt = #attempt + :one, #tries = :one, #leaseUntil = :until, #dueAt = :until"


class DynamoOutbox(DynamoBase):
    """Implements the port Outbox."""

    async def unsent(self, limit: int) -> Sequence[str]:
        """Those due the longest first."""
        found = await asyncio.gather(*(self._unsent_in(number, limit) for number in range(keys.SHARDS)))
        due = sorted((item for items in found for item in items), key=lambda item: item["dueAt"])
        return [keys.conversation_id(key_of(item)) for item in due[:limit]]

    async def _unsent_in(self, number: int, limit: int) -> Sequence[Item]:
        return await self._table.query(
            "#waitingShard = :number AND #dueAt <= :now",
            index=WAITING_INDEX,
            most=limit,
            number=keys.SHARDS + number,
            now=self._now(),
        )

    async def take_outgoing(self, conversation_id: str, owner: str) -> Outgoing | None:
        now, key = self._now(), keys.outbox(conversation_id)
        named: dict[str, Any] = {"one": 1, "owner": owner, "until": now + self._lease_ms, "now": now}
        try:
            item = await self._change_item(key, TAKEN, FREE, again=AGAIN, **named)
        except ConditionFailed:
            return None
        return await self._surely_sent_off(conversation_id, item)

    async def _send_off(self, conversation_id: str, item: Item) -> Outgoing | None:
        """The oldest; None if the conversation has just been deleted."""
        first = item["unsent"][0]
        place, whose = keys.entry(conversation_id, first["offset"]), keys.head(conversation_id)
        found = await self._table.get_many([whose, place])
        head = living(found.get(whose))
        if head is None or place not in found:
            return None
        await texts.unpack(self._table, [found[place]])
        draft = values.reply(found[place]).draft
        return Outgoing(
            conversation_id=conversation_id,
            person=head.conversation.person,
            channel=head.conversation.channel,
            offset=first["offset"],
            text=draft.text,
            images=draft.images,
            asked_at=first["askedAt"],
            attempt=item["attempt"],
            tries=item["tries"],
            parts=await self._parts(conversation_id, first["offset"]) if item["tries"] > 1 else (),
        )

    async def note_part(self, outgoing: Outgoing, part: Part) -> Outgoing:
        key = keys.outbox(outgoing.conversation_id)
        held = update(key, f"SET {HELD_LONGER}", LENT, until=self._now() + self._lease_ms, **sender(outgoing))
        known = put(values.part_item(outgoing.conversation_id, outgoing.offset, part))
        try:
            await contend(lambda: self._table.transact(held, known))
        except ConditionFailed:
            raise lost(outgoing) from None
        return outgoing.knowing(part)

    async def postpone(self, outgoing: Outgoing, seconds: float) -> None:
        key, due = keys.outbox(outgoing.conversation_id), self._now() + int(seconds * 1000)
        try:
            await self._change_item(key, POSTPONED, LENT, due=due, **sender(outgoing))
        except ConditionFailed:
            raise lost(outgoing) from None

    async def sent(self, outgoing: Outgoing) -> Outgoing | None:
        key, rest = keys.outbox(outgoing.conversation_id), "REMOVE #unsent[0], #waitingShard, #dueAt"
        try:
            await self._change_item(key, EMPTIED, LAST, rest=rest, **sender(outgoing))
        except ConditionFailed as error:
            if len(error.item.get("unsent", ())) < 2:
                raise lost(outgoing) from None
            return await self._next_outgoing(outgoing)
        return None

    async def _next_outgoing(self, outgoing: Outgoing) -> Outgoing | None:
        key, until = keys.outbox(outgoing.conversation_id), self._now() + self._lease_ms
        named = {"one": 1, "until": until, **sender(outgoing)}
        try:
            item = await self._change_item(key, NEXT_TAKEN, NOT_LAST, rest="REMOVE #unsent[0]", again=AGAIN, **named)
        except ConditionFailed:
            raise lost(outgoing) from None
        return await self._surely_sent_off(outgoing.conversation_id, item)

    async def _surely_sent_off(self, conversation_id: str, item: Item) -> Outgoing | None:
        return await insist(lambda: self._send_off(conversation_id, item), {"conversation": conversation_id}, AGAIN)

    async def parts_of(self, conversation_id: str, offset: int) -> Sequence[Part]:
        return await self._parts(conversation_id, offset)

    async def _parts(self, conversation_id: str, offset: int) -> tuple[Part, ...]:
        found = await self._table.query(
            "#pk = :pk AND begins_with(#sk, :messages)",
            pk=keys.conversation(conversation_id),
            messages=keys.messages(offset),
        )
        return tuple(map(values.part, found))


class OutboxFull(Exception):
    """There is no room for another reply; nothing was changed."""


@contextmanager
def outbox_full(lease: Lease) -> Iterator[None]:
    """Tell that from other conditions that may fail."""
    try:
        yield
    except ConditionFailed as error:
        if any(item and key_of(item) == keys.outbox(lease.conversation_id) for item in error.found):
            raise OutboxFull from error
        raise


def unfiled(_lease: Lease, _reply: Reply) -> list[Write]:
    """Nothing: the reply is not to be sent."""
    return []


def refused(lease: Lease, reply: Reply) -> list[Write]:
    """What is known of a reply for which there was no room."""
    return [put(values.part_item(lease.conversation_id, reply.offset, unposted(reply.created_at)))]


def filed(lease: Lease, reply: Reply, most: int) -> list[Write]:
    """What puts a reply into the outbox, if it says anything and there are not so many."""
    if not reply.draft.text and not reply.draft.images:
        return []
    newest = (lease.more or (lease.question,))[-1]
    named: dict[str, Any] = {
        "nothing": [],
        "added": [{"offset": reply.offset, "askedAt": newest.created_at}],
        "none": 0,
        "shard": keys.outbox_shard(lease.conversation_id),
        "now": reply.created_at,
    }
    room = f"attribute_not_exists(#unsent[{most - 1}])"
    return [update(keys.outbox(lease.conversation_id), f"SET {FILED}", room, **named)]


def sender(outgoing: Outgoing) -> dict[str, Any]:
    """The values of LENT."""
    return {"attempt": outgoing.attempt, "none": 0, "offset": outgoing.offset}


def lost(outgoing: Outgoing) -> LeaseLost:
    return LeaseLost(f"attempt {outgoing.attempt} no longer sends reply {outgoing.offset}")
