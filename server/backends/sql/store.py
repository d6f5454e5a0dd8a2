"""Conversations, logs and leases in SQL. A change is one transaction, which locks the conversation's row first."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row

from server.backends.sql import rows
from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase, held
from server.errors import Conflict, NotFound, TooMany
from server.model import (
    Accepted,
    Conversation,
    Draft,
    Entry,
    InboundMessage,
    Lease,
    Page,
    Reply,
    Settled,
)

CLAIM_DAYS = 7
SIGN_OUT_DAYS = 31
NEWEST = 2**31 - 1


class SqlStore(SqlBase):
    """Implements the ports Conversations, Log and Leases."""

    # --- Conversations ---

    async def current(self, person: str, channel: str, assistant: str) -> Conversation:
        values = {"person": person, "channel": channel}
        row = await self._database.read(lambda connection: connection.execute(sql.CURRENT, values).first())
        if row is not None:
            return rows.conversation(row)
        return await self._database.write(lambda connection: self._current(connection, person, channel, assistant))

    def _current(self, connection: Connection, person: str, channel: str, assistant: str) -> Conversation:
        row = connection.execute(sql.CURRENT, {"person": person, "channel": channel}).first()
        return rows.conversation(row) if row is not None else self._create(connection, person, channel, assistant)

    async def create(self, person: str, channel: str, assistant: str) -> Conversation:
        return await self._database.write(lambda connection: self._create(connection, person, channel, assistant))

    def _create(self, connection: Connection, person: str, channel: str, assistant: str) -> Conversation:
        now = self._now()
        new = Conversation(
            f"c_{secrets.token_hex(12)}", person, channel, assistant, secrets.token_hex(6), 0, 0, now, now
        )
        connection.execute(sql.LEAVE_CURRENT, {"whose": person, "where": channel})
        connection.execute(sql.MAKE_CURRENT, {"person": person, "channel": channel, "conversation_id": new.id})
        connection.execute(sql.CREATE, rows.conversation_row(new))
        return new

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
        for statement in sql.FORGET_CONVERSATION:
            connection.execute(statement, {"key": conversation_id, "whose": person})

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
        if row.waiting and message.when_busy == "reject":
            raise TooMany("The assistant is still answering; wait for it.", code="busy", retry_after=1)
        if row.waiting >= self._most_waiting:
            raise TooMany(
                f"{row.waiting} messages of this conversation wait for their answer; wait for one.",
                code="too_many_waiting",
                retry_after=5,
            )
        return self._append_question(connection, message, row)

    def _claimed(self, connection: Connection, message: InboundMessage) -> Accepted | None:
        values = {"person": message.person, "message_id": message.message_id}
        row = connection.execute(sql.CLAIMED, values).first()
        if row is None:
            return None
        if row.text != message.text:
            raise Conflict("This messageId was used before with another text; take a new one.", code="id_conflict")
        return Accepted(row.conversation_id, message.message_id, row.offset, row.text, row.created_at, duplicate=True)

    def _append_question(self, connection: Connection, message: InboundMessage, row: Row[Any]) -> Accepted:
        now, offset = self._now(), row.head + 1
        if row.waiting and message.when_busy == "interrupt":
            self._cancel_waiting(connection, row)
        place = {"conversation_id": message.conversation_id, "offset": offset, "message_id": message.message_id}
        connection.execute(sql.CLAIM, {"person": message.person, "created_at": now, **place})
        connection.execute(sql.APPEND, {**place, **rows.NO_REPLY, "text": message.text, "created_at": now})
        head = {"key": message.conversation_id, "head": offset, "waiting": row.waiting + 1, "updated_at": now}
        connection.execute(sql.ACCEPTED, head)
        return Accepted(message.conversation_id, message.message_id, offset, message.text, now)

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        await self._database.write(lambda connection: self._cancel(connection, person, conversation_id, message_id))

    def _cancel(self, connection: Connection, person: str, conversation_id: str, message_id: str | None) -> None:
        row = self._lock(connection, conversation_id)
        if row is None or row.person != person:
            raise no_conversation()
        if row.waiting == 0:
            raise nothing_to_cancel()
        one = message_id or self._waiting_row(connection, row.id, row.answered).message_id
        marked = connection.execute(sql.CANCEL_ONE, {"key": row.id, "edge": row.answered, "one": one})
        if marked.rowcount == 0:
            raise nothing_to_cancel()
        connection.execute(sql.DUE, {"key": row.id, "due_at": 0})

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

    async def forget(self) -> None:
        """Let go of what is older than the promise to remember it."""
        await self._database.write(self._forget)

    def _forget(self, connection: Connection) -> None:
        for statement, days in ((sql.FORGET_CLAIMS, CLAIM_DAYS), (sql.FORGET_SIGN_OUTS, SIGN_OUT_DAYS)):
            connection.execute(statement, {"before": self._now() - days * 86_400_000})

    async def void_leases(self) -> None:
        """End every lease at once. Only for the one process that has the database to itself."""
        await self._database.write(lambda connection: connection.execute(sql.VOID_LEASES))

    # --- Leases ---

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        return await self._database.write(lambda connection: self._take(connection, conversation_id, owner))

    def _take(self, connection: Connection, conversation_id: str, owner: str) -> Lease | None:
        row, now = self._lock(connection, conversation_id), self._now()
        if row is None or row.waiting == 0 or row.lease_until > now or row.due_at > now:
            return None
        asked = self._waiting_row(connection, conversation_id, row.answered)
        tries, attempt = row.tries + 1, row.attempt + 1
        until = now + self._lease_ms
        connection.execute(
            sql.LEASED,
            {"key": row.id, "attempt": attempt, "lease_owner": owner, "lease_until": until, "tries": tries},
        )
        question = rows.question(asked)
        return Lease(
            conversation_id=row.id,
            person=row.person,
            channel=row.channel,
            assistant=row.assistant,
            attempt=attempt,
            question=question,
            tries=tries,
            failures=row.failures,
            cancelled=asked.cancelled,
            steps=row.steps,
            thread=row.thread,
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

    async def answer(self, lease: Lease, draft: Draft) -> Settled:
        return await self._database.write(lambda connection: self._answer(connection, lease, draft))

    def _answer(self, connection: Connection, lease: Lease, draft: Draft) -> Settled:
        row = self._lock(connection, lease.conversation_id)
        if row is not None and (settled := self._settled_before(connection, lease, row)) is not None:
            return settled
        row = held(row, lease)
        now, question = self._now(), lease.question
        reply = Reply(row.head + 1, question.offset, question.message_id, draft, now)
        connection.execute(sql.APPEND, rows.reply_row(lease, reply))
        if draft.code is not None:
            connection.execute(sql.BURY, rows.dead_letter_row(lease, draft.code, now))
        if row.steps:
            connection.execute(sql.FORGET_STEPS, {"key": row.id})
        follows = row.waiting > 1
        connection.execute(
            sql.ANSWERED,
            {
                "key": row.id,
                "head": reply.offset,
                "answered": question.offset,
                "waiting": row.waiting - 1,
                "tries": 1 if follows else 0,
                "failures": 0,
                "due_at": 0,
                "lease_until": now + self._lease_ms if follows else 0,
                "updated_at": now,
                "steps": 0,
            },
        )
        return Settled(reply, self._next(connection, lease, row.thread) if follows else None)

    def _settled_before(self, connection: Connection, lease: Lease, row: Row[Any]) -> Settled | None:
        """The same again, for a caller that could not know that its answer had been stored."""
        if row.answered < lease.question.offset or row.attempt != lease.attempt:
            return None
        stored = connection.execute(sql.REPLY_TO, {"key": row.id, "asked": lease.question.offset}).one()
        holds = row.lease_until > 0 and row.waiting > 0
        return Settled(rows.reply(stored), self._next(connection, lease, row.thread) if holds else None)

    def _next(self, connection: Connection, lease: Lease, thread: str | None) -> Lease:
        asked = self._waiting_row(connection, lease.conversation_id, lease.question.offset)
        question = rows.question(asked)
        return replace(lease, question=question, tries=1, failures=0, cancelled=asked.cancelled, steps=0, thread=thread)

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


def nothing_to_cancel() -> NotFound:
    return NotFound("Nothing waits for an answer here.", code="nothing_to_cancel")


def no_conversation() -> NotFound:
    return NotFound("No such conversation; listConversations shows yours.", code="unknown_conversation")
