"""Whose conversations there are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import Connection

from server.backends.sql import rows
from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase
from server.errors import NotFound
from server.model import PHONES, Conversation


class SqlConversations(SqlBase):
    """Implements the port Conversations."""

    async def current(
        self, person: str, channel: str, assistant: str, *, since: int = 0, ended: str | None = None
    ) -> Conversation:
        values = {"person": person, "channel": channel}
        row = await self._database.read(lambda connection: connection.execute(sql.CURRENT, values).first())
        if row is not None and (known := rows.conversation(row)).goes_on(since, ended):
            return known
        return await self._database.write(
            lambda connection: self._current(connection, person, channel, assistant, since, ended)
        )

    def _current(
        self, connection: Connection, person: str, channel: str, assistant: str, since: int, ended: str | None
    ) -> Conversation:
        row = connection.execute(sql.CURRENT, {"person": person, "channel": channel}).first()
        if row is None:
            # Of several processes the database lets one do it; the others ask again.
            return self._begin(connection, self._new(person, channel, assistant))
        if (known := rows.conversation(row)).goes_on(since, ended):
            return known
        new = self._new(person, channel, assistant)
        places = {"whose": person, "where": channel, "old": row.id, "new": new.id}
        if connection.execute(sql.TAKE_OVER, places).rowcount == 0:
            # Another process was first.
            return self._current(connection, person, channel, assistant, since, ended)
        connection.execute(sql.CREATE, rows.conversation_row(new))
        return new

    async def create(self, person: str, channel: str, assistant: str) -> Conversation:
        return await self._database.write(lambda connection: self._create(connection, person, channel, assistant))

    def _create(self, connection: Connection, person: str, channel: str, assistant: str) -> Conversation:
        connection.execute(sql.LEAVE_CURRENT, {"whose": person, "where": channel})
        return self._begin(connection, self._new(person, channel, assistant))

    def _begin(self, connection: Connection, new: Conversation) -> Conversation:
        places = {"person": new.person, "channel": new.channel, "conversation_id": new.id}
        connection.execute(sql.MAKE_CURRENT, places)
        connection.execute(sql.CREATE, rows.conversation_row(new))
        return new

    def _new(self, person: str, channel: str, assistant: str) -> Conversation:
        now = self._now()
        return Conversation(
            f"c_{secrets.token_hex(12)}", person, channel, assistant, secrets.token_hex(6), 0, 0, now, now
        )

    async def find(self, person: str, conversation_id: str) -> Conversation:
        values = {"key": conversation_id, "person": person}
        row = await self._database.read(lambda connection: connection.execute(sql.FIND, values).first())
        if row is None:
            raise no_conversation()
        return rows.conversation(row)

    async def recent(self, person: str, limit: int) -> Sequence[Conversation]:
        values = {"person": person, "most": limit}
        found = await self._database.read(lambda connection: connection.execute(sql.RECENT, values).all())
        return [rows.conversation(row) for row in found]

    async def delete(self, person: str, conversation_id: str) -> None:
        await self._database.write(lambda connection: self._delete(connection, person, conversation_id))

    def _delete(self, connection: Connection, person: str, conversation_id: str) -> None:
        row = self._lock(connection, conversation_id)
        if row is None or row.person != person:
            raise no_conversation()
        gone = {"key": conversation_id, "whose": person}
        for statement in sql.FORGET_CONVERSATION:
            connection.execute(statement, gone)
        if row.channel not in PHONES:
            connection.execute(sql.FORGET_CLAIMS, gone)


def no_conversation() -> NotFound:
    return NotFound("No such conversation; listConversations shows yours.", code="unknown_conversation")
