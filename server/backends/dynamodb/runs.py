"""The steps of turns under way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from typing import Any, TypeAlias

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.base import HELD, held, holder, lost, ttl
from server.backends.dynamodb.errors import ConditionFailed, contend
from server.backends.dynamodb.items import Item, Key
from server.backends.dynamodb.leases import DynamoLeases
from server.backends.dynamodb.log import digest
from server.backends.dynamodb.table import put, update
from server.errors import Unavailable
from server.model import Lease, Step

STEP_DAYS = 31
MOST_UNSURE = 1_000

# Conversation, attempt, digest of the step.
Unsure: TypeAlias = tuple[str, int, str]


class DynamoRuns(DynamoLeases):
    """Implements the port Runs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Later attempts have higher numbers; within one, the processes that work on it follow each other in time.
        self._order = count(time.time_ns())
        # Keys of steps of which it is not known whether they were stored, for when that is asked for again.
        self._unsure: dict[Unsure, Key] = {}

    async def note(self, lease: Lease, step: Step) -> None:
        async with self._in_turn(lease.conversation_id):
            text = values.step_text(step)
            same = (lease.conversation_id, lease.attempt, digest(text))
            key = self._unsure.pop(same, None) or self._step_key(lease)
            try:
                await self._note(lease, {**key._asdict(), "kind": type(step).__name__, "ttl": ttl(STEP_DAYS)}, text)
            except Unavailable:
                self._remember(same, key)
                raise

    def _remember(self, same: Unsure, key: Key) -> None:
        """Bounded: the one that came first goes first."""
        if len(self._unsure) >= MOST_UNSURE:
            del self._unsure[next(iter(self._unsure))]
        self._unsure[same] = key

    def _step_key(self, lease: Lease) -> Key:
        return keys.step(lease.conversation_id, lease.question.offset, lease.attempt, next(self._order))

    async def _note(self, lease: Lease, item: Item, text: str) -> None:
        parts = await texts.packed(item, text)
        counted = update(keys.head(lease.conversation_id), "SET #steps = #steps + :one", HELD, one=1, **holder(lease))
        writes = (counted, put(item, "attribute_not_exists(#pk)"), *parts)
        try:
            await contend(lambda: self._table.transact(*writes))
        except ConditionFailed as error:
            if error.found[0] is not None:
                raise lost(lease) from None

    async def steps(self, lease: Lease) -> Sequence[Step]:
        found = await self._table.query(
            "#pk = :pk AND begins_with(#sk, :steps)",
            pk=keys.conversation(lease.conversation_id),
            steps=keys.steps(lease.question.offset),
        )
        await texts.unpack(self._table, found)
        held(await self._head(lease.conversation_id), lease)
        return [values.step(item) for item in found]

    async def bind(self, lease: Lease, thread: str) -> None:
        await self._change_held(lease, "#thread = :thread", thread=thread)
