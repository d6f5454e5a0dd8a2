"""What an operator does to a running system: sign people out, look after dead letters, find conversations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from server.backends.sql import rows
from server.backends.sql import statements as sql
from server.backends.sql.conversations import no_conversation
from server.backends.sql.store import SqlStore
from server.errors import NotFound
from server.model import Accepted, Conversation, DeadLetter, InboundMessage, SignOut, requeued_id


class SqlOffice(SqlStore):
    """Implements the ports SignOuts, DeadLetters and Directory, beside those of the store."""

    async def sign_out(self, person: str) -> None:
        await self._database.write(lambda connection: self._sign_out(connection, person))

    def _sign_out(self, connection: Connection, person: str) -> None:
        connection.execute(sql.FORGET_SIGN_OUT, {"who": person})
        connection.execute(sql.SIGN_OUT, {"person": person, "at": self._now()})

    async def signed_out_since(self, moment: int) -> Sequence[SignOut]:
        values = {"moment": moment}
        found = await self._database.read(lambda connection: connection.execute(sql.SIGNED_OUT_SINCE, values).all())
        return [SignOut(row.person, row.at) for row in found]

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        values = {"most": limit}
        found = await self._database.read(lambda connection: connection.execute(sql.NEWEST_LETTERS, values).all())
        return [rows.dead_letter(row) for row in found]

    async def dead_letter(self, conversation_id: str, offset: int) -> DeadLetter:
        values = {"key": conversation_id, "asked": offset}
        row = await self._database.read(lambda connection: connection.execute(sql.LETTER, values).first())
        if row is None:
            raise NotFound("There is no such dead letter.")
        return rows.dead_letter(row)

    async def look_up(self, conversation_id: str) -> Conversation:
        values = {"key": conversation_id}
        row = await self._database.read(lambda connection: connection.execute(sql.LOOK_UP, values).first())
        if row is None:
            raise no_conversation()
        return rows.conversation(row)

    async def callers(self, channel: str, after: str, limit: int) -> Sequence[str]:
        values = {"channel": channel, "after": after, "most": limit}
        found = await self._database.read(lambda connection: connection.execute(sql.CALLERS, values).all())
        return [row.person for row in found]

    async def requeue(self, letter: DeadLetter) -> Accepted:
        return await self._database.write(lambda connection: self._requeue(connection, letter))

    def _requeue(self, connection: Connection, letter: DeadLetter) -> Accepted:
        message = InboundMessage(letter.person, letter.conversation_id, requeued_id(letter), letter.question.text)
        accepted = self._accept(connection, message)
        connection.execute(sql.UNBURY, {"key": letter.conversation_id, "asked": letter.question.offset})
        return accepted
