"""Transactions that are done or not when they end, also where nobody heard which."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from server.backends.sql.schema import writers

Result = TypeVar("Result")

OF_WRITER = writers.c.id == bindparam("writer")
ENROLL = insert(writers)
SIGN = update(writers).where(OF_WRITER).values(done=bindparam("number"), at=bindparam("now"))
# Waits for a transaction of this writer that is still ending.
DONE = select(writers.c.done).where(OF_WRITER).with_for_update()
# Seconds between looks. With what a look itself may wait, longer than the database lets a transaction be idle.
PAUSES = (0.1, 1.0, 2.0, 2.0)


class Unheard(Exception):
    """Nobody can tell whether it was done."""


class Commits:
    """The transactions of one writer, one after another.

    A connection may break after the database was told to commit, and before it says that it has. So each transaction
    writes its number into a row that is this writer's own, and who did not hear looks there. In front of SQLite there
    is no connection that breaks, and no such row.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._signs = engine.dialect.name != "sqlite"
        self._writer = ""
        self._number = 0

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """In one transaction. What it raises was not done, but for `Unheard`."""
        if self._signs and not self._writer:
            self._enroll()
        with self._engine.connect() as connection:
            result = work(connection)
            if self._signs:
                self._sign(connection)
            failure = end(connection)
        if failure is not None and not (self._signs and self._was_done()):
            raise failure
        return result

    def _enroll(self) -> None:
        """Under a name that no earlier try has taken, if that was not heard of either."""
        writer = secrets.token_hex(16)
        with self._engine.begin() as connection:
            connection.execute(ENROLL, {"id": writer, "done": 0, "at": self._now()})
        self._writer = writer

    def _sign(self, connection: Connection) -> None:
        self._number += 1
        values = {"writer": self._writer, "number": self._number, "now": self._now()}
        if not connection.execute(SIGN, values).rowcount:
            # Forgotten, after a long silence.
            self._writer = ""
            raise LookupError("this writer has no row")

    def _was_done(self) -> bool:
        for pause in PAUSES:
            try:
                with self._engine.begin() as connection:
                    return connection.execute(DONE, {"writer": self._writer}).scalar() == self._number
            except SQLAlchemyError:
                time.sleep(pause)
        raise Unheard

    def _now(self) -> int:
        return int(self._clock() * 1000)


def end(connection: Connection) -> SQLAlchemyError | None:
    """Commit; what went wrong."""
    try:
        connection.commit()
    except SQLAlchemyError as error:
        return error
    return None
