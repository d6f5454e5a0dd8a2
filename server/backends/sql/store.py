"""Conversations, logs and leases in SQL. A change is one transaction, which locks the conversation's row first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row

from server.backends.sql import rows
from server.backends.sql import statements as sql
from server.backends.sql.base import held
from server.backends.sql.conversations import SqlConversations, no_conversation
from server.backends.sql.line import NextTurn, SqlLine
from server.backends.sql.outbox import SqlOutbox
from server.backends.sql.upkeep import CLAIM_DAYS, DAY_MS
from server.errors import Conflict, NotFound
from server.model import (
    Accepted,
    Draft,
    Entry,
    InboundMessage,
    Lease,
    Page,
    Settled,
)

NEWEST = 2**31 - 1


class SqlStore(SqlConversations, SqlLine, SqlOutbox):
    """Implements the ports Log, Claims and Leases, beside that of the conversations."""

    # --- Log ---

    async def accept(self, message: InboundMessage) -> Accepted:
        return await self._database.write(lambda connection: self._accept(connection, message))

    def _accept(self, connection: Connection, message: InboundMessage) -> Accepted:
        earlier = self._claimed(connection, message)
        if earlier is not None:
            return earlier
        row = self._lock(connection, message.conversation_id)
        if row is None or row.person != message.person:
            raise no_conversation()
        message.check_room(row.waiting, self._most_waiting)
        return self._append_question(connection, message, row)

    def _claimed(self, connection: Connection, message: InboundMessage) -> Accepted | None:
        for one in message.ids:
            row = connection.execute(sql.CLAIMED, {"person": message.person, "message_id": one}).first()
            if row is None:
                continue
            if row.created_at <= self._oldest_claim():
                # Whether or not the message gets in, this counts for nothing.
                connection.execute(sql.UNCLAIM, {"whose": message.person, "used": one})
                continue
            if row.text is None:
                # Its conversation was deleted.
                place = (row.conversation_id, message.message_id, row.offset, message.text, row.created_at)
                return Accepted(*place, duplicate=True)
            if row.message_id == message.message_id and row.text != message.text:
                raise Conflict(
                    "This messageId or key was used before with another text; take a new one.", code="id_conflict"
                )
            return Accepted(row.conversation_id, row.message_id, row.offset, row.text, row.created_at, duplicate=True)
        return None

    def _append_question(self, connection: Connection, message: InboundMessage, row: Row[Any]) -> Accepted:
        now, offset = self._now(), row.head + 1
        if row.waiting and message.when_busy == "interrupt":
            self._cancel_waiting(connection, row)
        place = {"conversation_id": message.conversation_id, "offset": offset, "created_at": now}
        for one in message.ids:
            connection.execute(sql.CLAIM, {"person": message.person, "message_id": one, **place})
        asked = {"message_id": message.message_id, "text": message.text, "quiet": message.quiet_ms}
        connection.execute(sql.APPEND, {**place, **rows.NO_REPLY, **asked})
        head = {"head": offset, "waiting": row.waiting + 1, "created_at": row.created_at if row.head else now}
        connection.execute(sql.ACCEPTED, {"key": message.conversation_id, **head, "updated_at": now})
        joins = bool(message.quiet) and self._put_off(connection, row)
        return Accepted(message.conversation_id, message.message_id, offset, message.text, now, joins=joins)

    async def knows(self, person: str, message_ids: Sequence[str]) -> bool:
        values = {"person": person, "message_ids": list(message_ids), "since": self._oldest_claim()}
        return await self._database.read(lambda connection: connection.execute(sql.KNOWN, values).first() is not None)

    def _oldest_claim(self) -> int:
        return self._now() - CLAIM_DAYS * DAY_MS

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        await self._database.write(lambda connection: self._cancel(connection, person, conversation_id, message_id))

    def _cancel(self, connection: Connection, person: str, conversation_id: str, message_id: str | None) -> None:
        row = self._lock(connection, conversation_id)
        if row is None or row.person != person:
            raise no_conversation()
        if not self._cancel_one(connection, row, message_id):
            raise NotFound("Nothing waits for an answer here.", code="nothing_to_cancel")

    def _cancel_waiting(self, connection: Connection, row: Row[Any]) -> None:
        connection.execute(sql.CANCEL_WAITING, {"key": row.id, "edge": row.answered})
        connection.execute(sql.DUE, {"key": row.id, "due_at": 0})

    async def after(self, conversation_id: str, offset: int, limit: int) -> Page:
        return await self._page(sql.AFTER, conversation_id, offset, limit)

    async def before(self, conversation_id: str, offset: int | None, limit: int) -> Page:
        page = await self._page(sql.BEFORE, conversation_id, NEWEST if offset is None else offset, limit)
        return Page(page.entries[::-1], page.more)

    async def _page(self, statement: Any, conversation_id: str, edge: int, limit: int) -> Page:
        values = {"key": conversation_id, "edge": edge, "most": limit + 1}
        return await self._database.read(lambda connection: self._cut(connection.execute(statement, values), limit))

    def _cut(self, found: Any, limit: int) -> Page:
        kept: list[Entry] = []
        size = 0
        for row in found:
            size += len(row.text.encode())
            if len(kept) == limit or (kept and size > self._page_bytes):
                return Page(tuple(kept), more=True)
            kept.append(rows.entry(row))
        return Page(tuple(kept), more=False)

    async def waiting(self, limit: int) -> Sequence[str]:
        values = {"now": self._now(), "most": limit}
        found = await self._database.read(lambda connection: connection.execute(sql.WAITING, values).all())
        return [row.id for row in found]

    # --- Leases ---

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        return await self._database.write(lambda connection: self._take(connection, conversation_id, owner))

    def _take(self, connection: Connection, conversation_id: str, owner: str) -> Lease | None:
        row, now = self._lock(connection, conversation_id), self._now()
        if row is None or row.waiting == 0 or row.lease_until > now or row.due_at > now:
            return None
        turn = self._next_turn(connection, row.id, row.answered, row.through)
        if turn.due > now:
            connection.execute(sql.DUE, {"key": row.id, "due_at": turn.due})
            return None
        tries, attempt = row.tries + 1, row.attempt + 1
        until = now + self._lease_ms
        connection.execute(
            sql.LEASED,
            {"key": row.id, "attempt": attempt, "lease_owner": owner, "lease_until": until, "tries": tries},
        )
        if turn.through != row.through:
            connection.execute(sql.BEGUN, {"key": row.id, "through": turn.through})
        question, *more = turn.questions
        return Lease(
            conversation_id=row.id,
            person=row.person,
            channel=row.channel,
            assistant=row.assistant,
            attempt=attempt,
            question=question,
            tries=tries,
            failures=row.failures,
            cancelled=turn.cancelled,
            steps=row.steps,
            thread=row.thread,
            more=tuple(more),
        )

    async def owner(self, conversation_id: str) -> str | None:
        values = {"key": conversation_id, "now": self._now()}
        return await self._database.read(lambda connection: connection.execute(sql.OWNER, values).scalar())

    async def renew(self, lease: Lease) -> Lease:
        return await self._database.write(lambda connection: self._renew(connection, lease))

    def _renew(self, connection: Connection, lease: Lease) -> Lease:
        row = self._held(connection, lease)
        connection.execute(sql.RENEWED, {"key": row.id, "lease_until": self._now() + self._lease_ms})
        return replace(lease, cancelled=self._waiting_row(connection, row.id, row.answered).cancelled)

    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        return await self._database.write(lambda connection: self._answer(connection, lease, draft, post=post))

    def _answer(self, connection: Connection, lease: Lease, draft: Draft, *, post: bool) -> Settled:
        row = self._lock(connection, lease.conversation_id)
        if row is not None and (settled := self._settled_before(connection, lease, row)) is not None:
            return settled
        row = held(row, lease)
        now = self._now()
        reply = lease.reply(row.head + 1, draft, now)
        connection.execute(sql.APPEND, rows.reply_row(lease, reply))
        unposted = post and not self._file(connection, lease, reply)
        if draft.code is not None:
            connection.execute(sql.BURY, rows.dead_letter_row(lease, draft.code, now))
        if row.steps:
            connection.execute(sql.FORGET_STEPS, {"key": row.id})
        waiting = row.waiting - len(lease.questions)
        turn = self._next_turn(connection, row.id, reply.last, 0) if waiting else None
        follows = turn if turn is not None and turn.due <= now else None
        connection.execute(
            sql.ANSWERED,
            {
                "key": row.id,
                "head": reply.offset,
                "answered": reply.last,
                "waiting": waiting,
                "tries": 1 if follows else 0,
                "failures": 0,
                "due_at": turn.due if turn and not follows else 0,
                "lease_until": now + self._lease_ms if follows else 0,
                "updated_at": now,
                "steps": 0,
                "through": follows.through if follows else 0,
            },
        )
        return Settled(reply, following(lease, follows, row.thread) if follows else None, unposted)

    def _settled_before(self, connection: Connection, lease: Lease, row: Row[Any]) -> Settled | None:
        """The same again, for a caller that could not know that its answer had been stored."""
        if row.answered < lease.question.offset or row.attempt != lease.attempt:
            return None
        stored = connection.execute(sql.REPLY_TO, {"key": row.id, "asked": lease.question.offset}).one()
        if row.lease_until == 0 or row.waiting == 0:
            return Settled(rows.reply(stored), None)
        turn = self._next_turn(connection, row.id, row.answered, row.through)
        return Settled(rows.reply(stored), following(lease, turn, row.thread))

    async def fail(self, lease: Lease, retry_after: float) -> None:
        await self._database.write(lambda connection: self._fail(connection, lease, retry_after))

    def _fail(self, connection: Connection, lease: Lease, retry_after: float) -> None:
        row = self._held(connection, lease)
        due = self._now() + int(retry_after * 1000)
        connection.execute(sql.FAILED, {"key": row.id, "failures": row.failures + 1, "lease_until": 0, "due_at": due})

    async def hand_back(self, lease: Lease) -> None:
        await self._database.write(lambda connection: self._hand_back(connection, lease))

    def _hand_back(self, connection: Connection, lease: Lease) -> None:
        row = self._held(connection, lease)
        connection.execute(sql.RENEWED, {"key": row.id, "lease_until": 0})


def following(lease: Lease, turn: NextTurn, thread: str | None) -> Lease:
    """The same lease, on the turn that comes next."""
    question, *more = turn.questions
    one = replace(lease, question=question, more=tuple(more), cancelled=turn.cancelled)
    return replace(one, tries=1, failures=0, steps=0, thread=thread)
