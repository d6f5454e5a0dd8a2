"""Every backend and every engine that claims the ports.

A test gets a `store` that is empty, or a `bench` with an engine, and never asks which one it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest
import sqlalchemy as sa

from server.backends.dynamodb import DynamoBackend, open_dynamodb
from server.backends.memory import MemoryStore
from server.backends.sql import SqlBackend, open_sql
from server.backends.sql.database import Database
from server.backends.sql.migrate import upgrade
from server.backends.sql.schema import metadata
from server.backends.sql.sole import SoleBackend
from tests.databases import SERVERS, scratch_database
from tests.engines import KINDS, Bench, open_bench
from tests.ministack import Cloud

LEASE_SECONDS = 30
MOST_WAITING = 5
MOST_UNSENT = 4
PAGE_BYTES = 1_000
SOLE = "sole.db"

Store: TypeAlias = MemoryStore | SqlBackend | DynamoBackend
Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]


class Clock:
    """Seconds since 1970, in the test's hand."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session", params=["memory", "sqlite", "sole", "mysql", "postgres", "dynamodb"])
def backend_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a backend keeps things, made for this run; nothing for the one that keeps nothing."""
    match request.param:
        case "memory":
            yield ""
        case "sqlite":
            yield f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/contract.db"
        case "sole":
            yield f"sqlite:///{tmp_path_factory.mktemp('sole')}/{SOLE}"
        case "dynamodb":
            yield f"dynamodb:{request.getfixturevalue('cloud').settings['TABLE_NAME']}"
        case server:
            with scratch_database(SERVERS[server]) as url:
                yield url


@pytest.fixture
def open_store(backend_url: str, clock: Clock, request: pytest.FixtureRequest) -> Opener:
    """Opens the store, again and again with what was kept; the first time it is empty."""
    if not backend_url:
        return memory_opener(clock)
    if backend_url.startswith("dynamodb:"):
        return dynamodb_opener(request.getfixturevalue("cloud"), request.getfixturevalue("monkeypatch"), clock)
    empty(backend_url)
    if backend_url.endswith(SOLE):
        return sole_opener(backend_url, clock)
    return lambda: open_sql(
        backend_url,
        sole=False,
        lease_seconds=LEASE_SECONDS,
        most_waiting=MOST_WAITING,
        most_unsent=MOST_UNSENT,
        page_bytes=PAGE_BYTES,
        clock=clock,
    )


def memory_opener(clock: Clock) -> Opener:
    store = MemoryStore(
        clock=clock,
        lease_seconds=LEASE_SECONDS,
        most_waiting=MOST_WAITING,
        most_unsent=MOST_UNSENT,
        page_bytes=PAGE_BYTES,
    )

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        yield store

    return opened


def sole_opener(url: str, clock: Clock) -> Opener:
    """What a server without another beside it has, but for the end of all leases when it starts: one at a time."""
    there: list[Store] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        if there:
            yield there[0]
            return
        async with Database(url, clock=clock) as database:
            await asyncio.to_thread(upgrade, database.engine)
            store = SoleBackend(
                database,
                clock=clock,
                lease_seconds=LEASE_SECONDS,
                most_waiting=MOST_WAITING,
                most_unsent=MOST_UNSENT,
                page_bytes=PAGE_BYTES,
            )
            there.append(store)
            yield store
            there.clear()

    return opened


def dynamodb_opener(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Opener:
    """With the rights of a server, no others."""
    cloud.empty_table()
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    return lambda: open_dynamodb(
        cloud.settings["TABLE_NAME"],
        lease_seconds=LEASE_SECONDS,
        most_waiting=MOST_WAITING,
        most_unsent=MOST_UNSENT,
        page_bytes=PAGE_BYTES,
        clock=clock,
    )


def empty(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for table in sa.inspect(connection).get_table_names():
            if table in metadata.tables:
                connection.execute(metadata.tables[table].delete())
    engine.dispose()


@pytest.fixture
async def store(open_store: Opener) -> AsyncIterator[Store]:
    async with open_store() as opened:
        yield opened


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with open_bench(KINDS[request.param]) as opened:
        yield opened


@pytest.fixture(params=[name for name, kind in KINDS.items() if kind.outlives])
async def lasting(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """One whose runs outlive us."""
    async with open_bench(KINDS[request.param]) as opened:
        yield opened
