"""What is noted about people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection

from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase
from server.model import MOST_NOTES, Note, check_note


class SqlNotes(SqlBase):
    """Implements the port Notes. A person's notes are numbered; of two that take the same number at once, one is
    refused by the database and done again.
    """

    async def add(self, person: str, key: str, text: str) -> None:
        check_note(text)
        await self._database.write(lambda connection: self._add(connection, person, digest(key), text))

    def _add(self, connection: Connection, person: str, key: str, text: str) -> None:
        if connection.execute(sql.NOTED_BEFORE, {"person": person, "note_key": key}).first() is not None:
            return
        number = 1 + (connection.execute(sql.NEWEST_NOTE, {"person": person}).scalar() or 0)
        row = {"person": person, "number": number, "note_key": key, "text": text, "created_at": self._now()}
        connection.execute(sql.ADD_NOTE, row)
        connection.execute(sql.FORGET_NOTES, {"whose": person, "edge": number - MOST_NOTES})

    async def of(self, person: str, limit: int) -> Sequence[Note]:
        values = {"person": person, "most": limit}
        found = await self._database.read(lambda connection: connection.execute(sql.NOTES, values).all())
        return [Note(row.text, row.created_at) for row in found]

    async def forget_notes(self, person: str) -> None:
        forgotten = sql.FORGET_ALL_NOTES, {"whose": person}
        await self._database.write(lambda connection: connection.execute(*forgotten))


def digest(key: str) -> str:
    """Keys may have any length."""
    return hashlib.sha256(key.encode()).hexdigest()
