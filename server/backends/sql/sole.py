"""The store of a process that has its database to itself, but for an operator's commands."""

from __future__ import annotations

from typing import Any

from server.backends.sql import rows
from server.backends.sql import statements as sql
from server.backends.sql.backend import SqlBackend
from server.backends.sql.heads import Heads
from server.model import Accepted, Conversation, DeadLetter, Draft, InboundMessage, Lease, Settled

MOST_HEADS = 10_000


class SoleBackend(SqlBackend):
    """Reads a person's current conversation once for all the sockets that come before it changes.

    The one change that an operator makes from another process is to ask a dead letter again. So a conversation that has
    any is read each time; and only this process files them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heads = Heads(MOST_HEADS)

    async def current(
        self, person: str, channel: str, assistant: str, *, since: int = 0, ended: str | None = None
    ) -> Conversation:
        known = self._heads.get(person, channel)
        if known is not None and known.goes_on(since, ended):
            return known
        return await self._learn(person, channel, assistant, since, ended)

    async def _learn(self, person: str, channel: str, assistant: str, since: int, ended: str | None) -> Conversation:
        values, moves = {"person": person, "channel": channel}, self._heads.moves
        row = await self._database.read(lambda connection: connection.execute(sql.HEAD, values).first())
        if row is not None and (found := rows.conversation(row)).goes_on(since, ended):
            if not row.has_letters:
                self._heads.learn(found, moves)
            return found
        with self._heads.moving(person):
            return await super().current(person, channel, assistant, since=since, ended=ended)

    async def create(self, person: str, channel: str, assistant: str) -> Conversation:
        with self._heads.moving(person):
            return await super().create(person, channel, assistant)

    async def delete(self, person: str, conversation_id: str) -> None:
        with self._heads.moving(person):
            await super().delete(person, conversation_id)

    async def accept(self, message: InboundMessage) -> Accepted:
        with self._heads.moving(message.person):
            return await super().accept(message)

    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        with self._heads.moving(lease.person):
            return await super().answer(lease, draft, post=post)

    async def requeue(self, letter: DeadLetter) -> Accepted:
        with self._heads.moving(letter.person):
            return await super().requeue(letter)

    async def bind(self, lease: Lease, thread: str) -> None:
        with self._heads.moving(lease.person):
            await super().bind(lease, thread)
