"""What SQL promises beyond the ports: one schema, group commit, dead letters, leases that a restart voids."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from server.backends.sql import open_sql
from server.backends.sql.database import Database, make_engine
from server.backends.sql.migrate import upgrade
from server.backends.sql.schema import claims, dead_letters, metadata
from server.errors import ConfigError, NotFound, Unavailable
from server.model import Draft, InboundMessage

numbers = sa.Table("numbers", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/test.db"


def test_the_migrations_make_the_schema_that_the_queries_see(tmp_path: Path) -> None:
    engine = sa.create_engine(url(tmp_path), poolclass=sa.NullPool)
    upgrade(engine)
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_processes_that_start_at_once_upgrade_once(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def start() -> None:
        engine = make_engine(sa.make_url(url(tmp_path)), pool_size=1, writes=True)
        try:
            upgrade(engine)
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)
        engine.dispose()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_database_from_the_future_is_refused(tmp_path: Path) -> None:
    engine = sa.create_engine(url(tmp_path), poolclass=sa.NullPool)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer version"):
        upgrade(engine)


async def test_writes_that_wait_share_a_commit_and_keep_their_order(tmp_path: Path) -> None:
    commits = 0
    async with Database(url(tmp_path)) as database:
        await database.write(lambda connection: numbers.create(connection))
        sa.event.listen(database.engine, "commit", lambda _connection: count())

        def count() -> None:
            nonlocal commits
            commits += 1

        def insert(number: int) -> int:
            return number

        finished: list[int] = []

        async def write(number: int) -> None:
            def operation(connection: sa.Connection) -> int:
                time.sleep(0.001)
                connection.execute(numbers.insert(), {"number": number})
                return insert(number)

            finished.append(await database.write(operation))

        await asyncio.gather(*(write(number) for number in range(100)))
        assert finished == list(range(100))
        assert commits < 20


async def test_one_bad_write_harms_no_other_in_its_batch(tmp_path: Path) -> None:
    async with Database(url(tmp_path)) as database:
        await database.write(lambda connection: numbers.create(connection))

        def insert(number: int) -> asyncio.Future[object]:
            return asyncio.ensure_future(
                database.write(lambda connection: connection.execute(numbers.insert(), {"number": number}))
            )

        results = await asyncio.gather(*map(insert, (1, 2, 2, 3)), return_exceptions=True)
        assert [isinstance(result, Unavailable) for result in results] == [False, False, True, False]
        found = await database.read(lambda connection: connection.execute(sa.select(numbers.c.number)).scalars().all())
        assert sorted(found) == [1, 2, 3]


async def test_a_writer_that_is_behind_says_so(tmp_path: Path) -> None:
    async with Database(url(tmp_path), backlog=2) as database:
        release = threading.Event()
        first = asyncio.create_task(database.write(lambda _connection: release.wait(5)))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(database.write(lambda _connection: True)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await database.write(lambda _connection: True)
        release.set()
        assert await asyncio.gather(first, *rest) == [True, True, True]


async def test_a_commit_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    async with Database(url(tmp_path)) as database:

        def pragma(name: str) -> object:
            return lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar()

        assert await database.write(pragma("journal_mode")) == "wal"  # type: ignore[arg-type]
        assert await database.write(pragma("synchronous")) == 2  # type: ignore[arg-type]


async def test_a_restart_of_the_sole_process_voids_leases_at_once(tmp_path: Path) -> None:
    async with open_sql(url(tmp_path), sole=True, lease_seconds=30, most_waiting=10) as store:
        conversation = await store.create("anna", "websocket", "a")
        await store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
        assert await store.take(conversation.id, "killed") is not None
    async with open_sql(url(tmp_path), sole=True, lease_seconds=30, most_waiting=10) as store:
        lease = await store.take(conversation.id, "next")
        assert lease is not None
        assert (lease.attempt, lease.tries) == (2, 2)


async def test_errors_are_filed_under_dead_letters_and_old_claims_are_let_go(tmp_path: Path) -> None:
    now = [1_000_000.0]
    options = {"sole": True, "lease_seconds": 30, "most_waiting": 10, "clock": lambda: now[0]}
    async with open_sql(url(tmp_path), **options) as store:  # type: ignore[arg-type]
        conversation = await store.create("anna", "websocket", "a")
        await store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
        lease = await store.take(conversation.id, "w")
        assert lease is not None
        await store.answer(lease, Draft("sorry", "error", code="timeout"))
        with pytest.raises(NotFound):
            await store.find("ben", conversation.id)
    now[0] += 8 * 86_400
    async with open_sql(url(tmp_path), **options):  # type: ignore[arg-type]
        pass
    engine = sa.create_engine(url(tmp_path), poolclass=sa.NullPool)
    with engine.connect() as connection:
        [letter] = connection.execute(sa.select(dead_letters)).all()
        assert (letter.conversation_id, letter.offset, letter.code) == (conversation.id, 1, "timeout")
        assert connection.execute(sa.select(claims)).all() == []


@pytest.mark.parametrize("kind", ["write", "read"])
async def test_a_fault_of_ours_in_one_operation_ends_neither_the_thread_nor_the_others(
    tmp_path: Path, kind: str
) -> None:
    async with Database(url(tmp_path)) as database:
        await database.write(lambda connection: numbers.create(connection))
        call = database.write if kind == "write" else database.read

        def half_done(connection: sa.Connection) -> None:
            if kind == "write":
                connection.execute(numbers.insert(), {"number": 1})
            raise ZeroDivisionError

        results = await asyncio.gather(call(lambda _: "fine"), call(half_done), return_exceptions=True)
        assert results[0] == "fine"
        assert isinstance(results[1], ZeroDivisionError)
        assert await database.read(lambda connection: connection.execute(sa.select(numbers)).all()) == []
