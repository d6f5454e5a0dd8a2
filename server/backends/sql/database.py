"""How statements reach the database: one thread writes, a few read, and the event loop never waits for a disk.

SQLAlchemy runs synchronously in those threads: with its asyncio extension each statement crosses threads four times,
here a whole batch of transactions crosses once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from server.backends.sql.commits import Commits, Unheard
from server.backends.sql.engine import driver_url, make_engine
from server.errors import ServerError, Unavailable

logger = structlog.get_logger()

Result = TypeVar("Result")
Operation = Callable[[Connection], Result]

READERS = 2
READ_BATCH = 8
WRITE_BATCH = 128


@dataclass(frozen=True, slots=True)
class Call:
    operation: Operation[Any]
    future: asyncio.Future[Any]


class Lane:
    """Threads that take what waits, up to `batch` calls at a time, and answer them together, in the order they came."""

    def __init__(self, name: str, answer: Callable[[Sequence[Operation[Any]]], list[Any]], *, threads: int, batch: int):
        self._answer = answer
        self._batch = batch
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """After all that was called."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def waiting(self) -> int:
        return self._calls.qsize()

    async def call(self, operation: Operation[Result]) -> Result:
        future: asyncio.Future[Result] = self._loop.create_future()
        self._calls.put(Call(operation, future))
        return await future

    def _run(self) -> None:
        while (first := self._calls.get()) is not None:
            calls, ended = self._gather(first)
            outcomes = self._answer([call.operation for call in calls])
            self._loop.call_soon_threadsafe(settle, calls, outcomes)
            if ended:
                return

    def _gather(self, first: Call) -> tuple[list[Call], bool]:
        calls = [first]
        while len(calls) < self._batch:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            if call is None:
                return calls, True
            calls.append(call)
        return calls, False


class Database:
    """A database with group commit. Open it with `async with`."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time, backlog: int = 10_000) -> None:
        self._url = driver_url(url)
        self._backlog = backlog
        self._write_engine = make_engine(self._url, pool_size=1, writes=True)
        self._read_engine = make_engine(self._url, pool_size=READERS, writes=False)
        self._commits = Commits(self._write_engine, clock)
        self._writes = Lane("sql-write", self._commit, threads=1, batch=WRITE_BATCH)
        self._reads = Lane("sql-read", self._look_up, threads=READERS, batch=READ_BATCH)

    async def __aenter__(self) -> Self:
        self._writes.start()
        self._reads.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writes.stop()
        await self._reads.stop()
        self._write_engine.dispose()
        self._read_engine.dispose()

    @property
    def engine(self) -> Engine:
        """For migrations, before the first write."""
        return self._write_engine

    async def write(self, operation: Operation[Result]) -> Result:
        """Run it in a transaction and return once that is durable; results come in the order of the calls.

        Operations that wait while one transaction commits share the next. An operation raises `ServerError`s before its
        first change or not at all, and may be run again after one that failed. `Unavailable` may leave it open whether
        it was done: where the connection broke while that was decided, and no other could be had.
        """
        if self._writes.waiting() >= self._backlog:
            raise Unavailable("The database is behind; try again in a moment.", retry_after=1)
        return await self._writes.call(operation)

    async def read(self, operation: Operation[Result]) -> Result:
        """Run it outside the writer; it sees every write that has returned."""
        return await self._reads.call(operation)

    def _look_up(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        try:
            with self._read_engine.connect() as connection:
                return [attempt(operation, connection) for operation in operations]
        except Exception:  # noqa: BLE001
            # Each anew, so that only the culprit fails, on a connection that was not broken meanwhile.
            return [self._look_up_alone(operation) for operation in operations]

    def _look_up_alone(self, operation: Operation[Any]) -> Any:
        try:
            with self._read_engine.connect() as connection:
                return attempt(operation, connection)
        except Exception as error:  # noqa: BLE001
            return outcome_of(error)

    def _commit(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        """All in one transaction; if the database objects, one by one, so that only the culprit fails."""
        try:
            return self._commits.run(lambda connection: [attempt(one, connection) for one in operations])
        except Unheard as error:
            return [unavailable(error) for _ in operations]
        except Exception:  # noqa: BLE001
            return [self._commit_alone(operation) for operation in operations]

    def _commit_alone(self, operation: Operation[Any]) -> Any:
        """Twice, because a lost race or a connection that died meanwhile is cured by asking again."""
        for last in (False, True):
            try:
                return self._commits.run(partial(attempt, operation))
            except Exception as error:  # noqa: BLE001
                if last or isinstance(error, Unheard):
                    return outcome_of(error)
        raise AssertionError("unreachable")


def attempt(operation: Operation[Any], connection: Connection) -> Any:
    try:
        return operation(connection)
    except ServerError as refusal:
        return refusal


def settle(calls: Sequence[Call], outcomes: Sequence[Any]) -> None:
    for call, outcome in zip(calls, outcomes, strict=True):
        if call.future.done():
            continue
        if isinstance(outcome, BaseException):
            call.future.set_exception(outcome)
        else:
            call.future.set_result(outcome)


def outcome_of(error: Exception) -> Exception:
    """For the caller: the thread goes on, whatever it was."""
    return unavailable(error) if isinstance(error, SQLAlchemyError | Unheard) else error


def unavailable(error: Exception) -> Unavailable:
    # Only the kind is logged: a driver's message quotes the statement's values.
    logger.error("database_failed", kind=type(error).__name__, cause=type(error.__cause__).__name__)
    return Unavailable("The database does not answer; try again in a moment.", retry_after=1)
