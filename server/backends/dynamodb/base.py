"""What every part of the store works with: the table, the clock, and the conversation's head."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import Item, Key
from server.backends.dynamodb.table import Table, update
from server.backends.dynamodb.values import Head
from server.bulkhead import insist
from server.errors import LeaseLost, NotFound
from server.model import Lease, Question

# Seconds until what nobody heard of is asked again: once, for a call may take half of a lease.
AGAIN = (0.5,)
HELD = "#attempt = :attempt AND #leaseUntil > :none AND #answered < :question"


class DynamoBase:
    def __init__(
        self,
        table: Table,
        *,
        clock: Callable[[], float],
        lease_seconds: float,
        most_waiting: int,
        most_unsent: int,
        page_bytes: int,
    ) -> None:
        self._table = table
        self._clock = clock
        self._lease_ms = int(lease_seconds * 1000)
        self._most_waiting = most_waiting
        self._most_unsent = most_unsent
        self._page_bytes = page_bytes
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _in_turn(self, pk: str) -> asyncio.Lock:
        """Lets changes of this process through in the order of the calls; only other processes can be in the way."""
        lock = self._locks.get(pk)
        if lock is None:
            lock = self._locks[pk] = asyncio.Lock()
        return lock

    async def _head(self, conversation_id: str) -> Head | None:
        """None if it is deleted, too."""
        return living(await self._table.get(keys.head(conversation_id)))

    async def _of(self, person: str, conversation_id: str) -> Head:
        return owned(await self._head(conversation_id), person)

    async def _questions(self, conversation_id: str, offsets: Sequence[int]) -> Sequence[Question]:
        """None of them if the conversation has just been deleted."""
        places = [keys.entry(conversation_id, offset) for offset in offsets]
        if len(places) == 1:
            item = await self._table.get(places[0])
            found = [item] if item is not None else []
        else:
            items = await self._table.get_many(places)
            found = [items[key] for key in places if key in items]
        await texts.unpack(self._table, found)
        return [values.question(item) for item in found] if len(found) == len(places) else ()

    async def _change(self, conversation_id: str, sets: str, condition: str, **named: Any) -> Head:
        """The head's. Raises `ConditionFailed`, but not over what this very call has done."""
        return values.head(await self._change_item(keys.head(conversation_id), sets, condition, **named))

    async def _change_item(
        self, key: Key, sets: str, condition: str, *, rest: str = "", again: Sequence[float] = (), **named: Any
    ) -> Item:
        """The same of any item. `rest`: the clauses that set nothing. `again`: for what keeps everybody away where it
        was done and not heard of.
        """
        # Who hears nothing asks again, the client too by itself, and then the first try is in the way of the second.
        mark = secrets.token_hex(8)
        write = update(key, f"SET {sets}, #mark = :mark {rest}", condition, mark=mark, **named)
        try:
            return await insist(lambda: contend(lambda: self._table.change(write)), {"item": key.sk}, again)
        except ConditionFailed as error:
            if error.item.get("mark") != mark:
                raise
            return error.item

    async def _change_held(self, lease: Lease, sets: str, **named: Any) -> Head:
        try:
            return await self._change(lease.conversation_id, sets, HELD, **holder(lease), **named)
        except ConditionFailed:
            raise lost(lease) from None


def ttl(days: int) -> int:
    """DynamoDB deletes by its own clock, not by ours; it may be days late."""
    return int(time.time()) + days * 86_400


def living(item: Item | None) -> Head | None:
    return values.head(item) if item is not None and "deleted" not in item else None


def owned(head: Head | None, person: str) -> Head:
    if head is None or head.conversation.person != person:
        raise NotFound("No such conversation; listConversations shows yours.", code="unknown_conversation")
    return head


def holder(lease: Lease) -> dict[str, Any]:
    """The values of HELD."""
    return {"attempt": lease.attempt, "none": 0, "question": lease.question.offset}


def held(head: Head | None, lease: Lease) -> Head:
    if (
        head is None
        or head.attempt != lease.attempt
        or head.lease_until == 0
        or head.conversation.answered >= lease.question.offset
    ):
        raise lost(lease)
    return head


def lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"attempt {lease.attempt} no longer holds conversation {lease.conversation_id}")


def unchanged(key_item: Item | None, name: str) -> tuple[str, dict[str, Any]]:
    """The condition that an item is still as it was read; `name` differs each time it is written."""
    if key_item is None:
        return "attribute_not_exists(#pk)", {}
    return f"#{name} = :before", {"before": key_item[name]}
