"""Replies on their way to phones. In `outbox` is only what is not sent yet, so its size is not that of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select, true, update

from server.backends.sql import rows
from server.backends.sql.base import SqlBase
from server.backends.sql.schema import entries, outbox, outgoing_parts
from server.errors import LeaseLost
from server.model import Lease, Outgoing, Part, Reply, unposted

IN_CONVERSATION = outbox.c.conversation_id == bindparam("key")
ONE = IN_CONVERSATION & (outbox.c.offset == bindparam("which"))
earlier = outbox.alias()

FILE = insert(outbox)
HOW_MANY = select(func.count()).select_from(outbox).where(IN_CONVERSATION)
UNSENT = (
    select(outbox.c.conversation_id)
    .where(
        outbox.c.due_at <= bindparam("now"),
        ~exists().where(earlier.c.conversation_id == outbox.c.conversation_id, earlier.c.offset < outbox.c.offset),
    )
    .order_by(outbox.c.due_at)
    .limit(bindparam("most"))
)
OLDEST = select(outbox).where(IN_CONVERSATION).order_by(outbox.c.offset).limit(1)
LEND = (
    update(outbox)
    .where(ONE)
    .values(attempt=bindparam("tries"), owner=bindparam("sender"), lent=true(), due_at=bindparam("until"))
)
DUE = update(outbox).where(ONE).values(lent=bindparam("still"), due_at=bindparam("until"))
DROP = delete(outbox).where(ONE)
WORDS = select(entries).where(entries.c.conversation_id == bindparam("key"), entries.c.offset == bindparam("which"))

OF_REPLY = (outgoing_parts.c.conversation_id == bindparam("key")) & (outgoing_parts.c.offset == bindparam("which"))
PARTS = select(outgoing_parts).where(OF_REPLY).order_by(outgoing_parts.c.number)
FORGET_PART = delete(outgoing_parts).where(OF_REPLY, outgoing_parts.c.number == bindparam("index"))
NOTE_PART = insert(outgoing_parts)


class SqlOutbox(SqlBase):
    """Implements the port Outbox."""

    def _file(self, connection: Connection, lease: Lease, reply: Reply) -> bool:
        """False if there is no room for it."""
        if not reply.draft.text and not reply.draft.images:
            return True
        if connection.execute(HOW_MANY, {"key": lease.conversation_id}).scalar_one() >= self._most_unsent:
            connection.execute(NOTE_PART, part_row(lease.conversation_id, reply.offset, unposted(reply.created_at)))
            return False
        connection.execute(FILE, outbox_row(lease, reply))
        return True

    async def unsent(self, limit: int) -> Sequence[str]:
        values = {"now": self._now(), "most": limit}
        found = await self._database.read(lambda connection: connection.execute(UNSENT, values).all())
        return [row.conversation_id for row in found]

    async def take_outgoing(self, conversation_id: str, owner: str) -> Outgoing | None:
        return await self._database.write(lambda connection: self._take_outgoing(connection, conversation_id, owner))

    def _take_outgoing(self, connection: Connection, conversation_id: str, owner: str) -> Outgoing | None:
        head = self._lock(connection, conversation_id)
        row = connection.execute(OLDEST, {"key": conversation_id}).first()
        if head is None or row is None or row.due_at > self._now():
            return None
        return self._send_off(connection, head, row, owner)

    def _send_off(self, connection: Connection, head: Row[Any], row: Row[Any], owner: str) -> Outgoing:
        place, tries = {"key": head.id, "which": row.offset}, row.attempt + 1
        connection.execute(LEND, {**place, "tries": tries, "sender": owner, "until": self._now() + self._lease_ms})
        draft = rows.reply(connection.execute(WORDS, place).one()).draft
        return Outgoing(
            conversation_id=head.id,
            person=head.person,
            channel=head.channel,
            offset=row.offset,
            text=draft.text,
            images=draft.images,
            asked_at=row.asked_at,
            attempt=tries,
            tries=tries,
            parts=tuple(map(part, connection.execute(PARTS, place).all())),
        )

    async def note_part(self, outgoing: Outgoing, part: Part) -> Outgoing:
        return await self._database.write(lambda connection: self._note_part(connection, outgoing, part))

    def _note_part(self, connection: Connection, outgoing: Outgoing, part: Part) -> Outgoing:
        self._lent(connection, outgoing)
        connection.execute(FORGET_PART, {**place_of(outgoing), "index": part.index})
        connection.execute(NOTE_PART, part_row(outgoing.conversation_id, outgoing.offset, part))
        connection.execute(DUE, {**place_of(outgoing), "still": True, "until": self._now() + self._lease_ms})
        return outgoing.knowing(part)

    async def postpone(self, outgoing: Outgoing, seconds: float) -> None:
        await self._database.write(lambda connection: self._postpone(connection, outgoing, seconds))

    def _postpone(self, connection: Connection, outgoing: Outgoing, seconds: float) -> None:
        self._lent(connection, outgoing)
        until = self._now() + int(seconds * 1000)
        connection.execute(DUE, {**place_of(outgoing), "still": False, "until": until})

    async def sent(self, outgoing: Outgoing) -> Outgoing | None:
        return await self._database.write(lambda connection: self._sent(connection, outgoing))

    def _sent(self, connection: Connection, outgoing: Outgoing) -> Outgoing | None:
        head, row = self._lent(connection, outgoing)
        connection.execute(DROP, place_of(outgoing))
        following = connection.execute(OLDEST, {"key": head.id}).first()
        return None if following is None else self._send_off(connection, head, following, row.owner)

    async def parts_of(self, conversation_id: str, offset: int) -> Sequence[Part]:
        values = {"key": conversation_id, "which": offset}
        found = await self._database.read(lambda connection: connection.execute(PARTS, values).all())
        return list(map(part, found))

    def _lent(self, connection: Connection, outgoing: Outgoing) -> tuple[Row[Any], Row[Any]]:
        """The conversation's row, and that of the reply."""
        head = self._lock(connection, outgoing.conversation_id)
        row = connection.execute(OLDEST, {"key": outgoing.conversation_id}).first()
        now_lent = (row.offset, row.attempt) if row is not None and row.lent else None
        if head is None or row is None or now_lent != (outgoing.offset, outgoing.attempt):
            raise LeaseLost(f"attempt {outgoing.attempt} no longer sends reply {outgoing.offset}")
        return head, row


def place_of(outgoing: Outgoing) -> dict[str, Any]:
    return {"key": outgoing.conversation_id, "which": outgoing.offset}


def outbox_row(lease: Lease, reply: Reply) -> dict[str, Any]:
    newest = (lease.more or (lease.question,))[-1]
    return {
        "conversation_id": lease.conversation_id,
        "offset": reply.offset,
        "asked_at": newest.created_at,
        "attempt": 0,
        "owner": "",
        "lent": False,
        "due_at": reply.created_at,
    }


def part_row(conversation_id: str, offset: int, part: Part) -> dict[str, Any]:
    return {
        "conversation_id": conversation_id,
        "offset": offset,
        "number": part.index,
        "state": part.state,
        "began_at": part.began_at,
        "provider_id": part.provider_id,
        "code": part.code,
    }


def part(row: Row[Any]) -> Part:
    return Part(row.number, row.state, row.began_at, row.provider_id, row.code)
