"""What is noted about people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import aclosing

from server.backends.dynamodb import keys
from server.backends.dynamodb.base import DynamoBase, unchanged
from server.backends.dynamodb.errors import read_and_change
from server.backends.dynamodb.items import Item, key_of
from server.backends.dynamodb.table import Write, delete, put
from server.model import MOST_NOTES, Note, check_note


class DynamoNotes(DynamoBase):
    """Implements the port Notes. A person's notes are numbered."""

    async def add(self, person: str, key: str, text: str) -> None:
        check_note(text)
        digest = hashlib.sha256(key.encode()).hexdigest()
        async with self._in_turn(keys.user(person)):
            await read_and_change(lambda: self._add(person, digest, text))

    async def _add(self, person: str, digest: str, text: str) -> None:
        counted, used = keys.notes(person), keys.noted(person, digest)
        found = await self._table.get_many([counted, used])
        if used in found:
            return
        number = found[counted]["newest"] + 1 if counted in found else 1
        condition, before = unchanged(found.get(counted), "newest")
        note = {"digest": digest, "text": text, "createdAt": self._now()}
        await self._table.transact(
            put({**counted._asdict(), "newest": number}, condition, **before),
            put({**used._asdict(), "number": number}),
            put({**keys.note(person, number)._asdict(), **note}),
            *await self._forgotten(person, number - MOST_NOTES),
        )

    async def _forgotten(self, person: str, number: int) -> list[Write]:
        """What goes with the note of this number."""
        key = keys.note(person, number)
        old = await self._table.get(key) if number > 0 else None
        return [] if old is None else [delete(key), delete(keys.noted(person, old["digest"]))]

    async def of(self, person: str, limit: int) -> Sequence[Note]:
        if limit < 1:
            return ()
        found: Sequence[Item] = await self._table.query(
            "#pk = :pk AND begins_with(#sk, :notes)",
            backwards=True,
            most=limit,
            pk=keys.user(person),
            notes="note#",
        )
        return [Note(item["text"], item["createdAt"]) for item in found]

    async def forget_notes(self, person: str) -> None:
        whose = keys.user(person)
        pages = self._table.pages("#pk = :pk AND begins_with(#sk, :note)", fields="#pk, #sk", pk=whose, note="note")
        async with self._in_turn(whose), aclosing(pages):
            async for page in pages:
                await self._table.delete_many([key_of(item) for item in page])
