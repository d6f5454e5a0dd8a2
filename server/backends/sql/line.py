"""What waits in a conversation, and what of it the next turn answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from server.backends.sql import rows
from server.backends.sql import statements as sql
from server.backends.sql.base import SqlBase
from server.model import Question, breath_of, breaths, due


@dataclass(frozen=True, slots=True)
class NextTurn:
    """`due`: not before; 0: at once. `through`: the offset of the last question, if they wait for quiet; else 0."""

    questions: tuple[Question, ...]
    cancelled: bool
    due: int = 0
    through: int = 0


class SqlLine(SqlBase):
    def _next_turn(self, connection: Connection, conversation_id: str, answered: int, through: int) -> NextTurn:
        """Something waits. `through`: what the turn was begun with; 0: it was not."""
        oldest = self._waiting_row(connection, conversation_id, answered)
        if not oldest.quiet:
            return NextTurn((rows.question(oldest),), oldest.cancelled)
        line = self._line(connection, conversation_id, answered)
        first = breaths(map(rows.waiting, line), through)[0]
        values = {"key": conversation_id, "answered": answered, "last": first[-1].offset}
        questions = tuple(map(rows.question, connection.execute(sql.QUESTIONS, values)))
        return NextTurn(questions, oldest.cancelled, 0 if through else due(first), first[-1].offset)

    def _line(self, connection: Connection, conversation_id: str, answered: int) -> Sequence[Any]:
        return connection.execute(sql.LINE, {"key": conversation_id, "answered": answered}).all()

    def _put_off(self, connection: Connection, row: Row[Any]) -> bool:
        """A message came that waits for quiet; a turn that was begun before is not concerned. Whether it will be
        answered together with others.
        """
        turns = breaths(map(rows.waiting, self._line(connection, row.id, row.answered)), row.through)
        if row.tries == 0:
            connection.execute(sql.DUE, {"key": row.id, "due_at": due(turns[0])})
        return len(turns[-1]) > 1

    def _cancel_one(self, connection: Connection, row: Row[Any], message_id: str | None) -> bool:
        """And what was asked in one breath with it. False if there is no such question."""
        line = self._line(connection, row.id, row.answered)
        offset = next((one.offset for one in line if message_id in {None, one.message_id}), None)
        if offset is None:
            return False
        breath = breath_of(offset, breaths(map(rows.waiting, line), row.through))
        edges = {"edge": breath[0].offset - 1, "last": breath[-1].offset}
        connection.execute(sql.CANCEL_SOME, {"key": row.id, **edges})
        connection.execute(sql.DUE, {"key": row.id, "due_at": 0})
        return True
