"""What SQL promises beyond the ports: one schema, group commit, dead letters, leases that a restart voids."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from server.backends.sql import open_sql
from server.backends.sql.base import PIECE
from server.backends.sql.database import Database
from server.backends.sql.engine import BUSY_SECONDS, IDLE_SECONDS, at_leisure, make_engine
from server.backends.sql.migrate import MIGRATIONS, upgrade
from server.backends.sql.schema import accounts, claims, dead_letters, metadata, receipts, sign_outs, writers
from server.errors import ConfigError, NotFound, Unavailable
from server.model import Draft, InboundMessage, Question
from tests.databases import SERVERS, scratch_database
from tests.ports import quiet_port

numbers = sa.Table("numbers", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/test.db"


def test_the_migrations_make_the_schema_that_the_queries_see(tmp_path: Path) -> None:
    engine = sa.create_engine(url(tmp_path), poolclass=sa.NullPool)
    upgrade(engine)
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


async def test_a_row_with_a_time_only_is_an_opt_out(tmp_path: Path) -> None:
    engine = sa.create_engine(url(tmp_path), poolclass=sa.NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        connection.execute(sa.text("INSERT INTO opt_outs (person, channel, at) VALUES ('anna', 'sms', 5)"))
    async with open_sql(url(tmp_path), sole=True, lease_seconds=30, most_waiting=5) as store:
        assert await store.opted_out("anna", "sms")
        assert not await store.opt_in("anna", "sms", 4, "t4")
        assert await store.opt_in("anna", "sms", 6, "t6")
        assert not await store.opted_out("anna", "sms")


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


def test_a_process_that_starts_waits_for_another_that_writes_the_new_file(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "test.db", isolation_level=None, check_same_thread=False) as other:
        other.execute("CREATE TABLE anything (x)")
        other.execute("BEGIN IMMEDIATE")
        soon = threading.Timer(0.3, other.execute, ["COMMIT"])
        soon.start()
        engine = make_engine(sa.make_url(url(tmp_path)), pool_size=1, writes=True)
        upgrade(engine)
        soon.join()
        engine.dispose()
    other.close()


def test_an_upgrade_that_mysql_did_in_part_goes_on_behind_that() -> None:
    with scratch_database(SERVERS["mysql"]) as url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        upgrade(engine)
        for version in sorted(MIGRATIONS.glob("versions/0*.py")):
            with engine.begin() as connection:
                connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{version.name[:4]}'"))
            upgrade(engine)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE alembic_version"))
        upgrade(engine)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("server", SERVERS)
def test_an_upgrade_may_take_longer_than_anything_else(server: str) -> None:
    with scratch_database(SERVERS[server]) as url:
        engine = make_engine(sa.make_url(url), pool_size=1, writes=True)
        with engine.connect() as connection:
            assert is_limited(connection)
        with at_leisure(engine) as patient, patient.connect() as connection:
            assert not is_limited(connection)
        engine.dispose()


def is_limited(connection: sa.Connection) -> bool:
    """Whether a statement must be over within seconds, for the database or for us."""
    if connection.dialect.name == "postgresql":
        return connection.execute(sa.text("SHOW statement_timeout")).scalar() != "1h"
    raw: Any = connection.connection.driver_connection
    return bool(raw._read_timeout < 60)


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+psycopg"])
def test_a_database_that_does_not_answer_may_answer_soon(scheme: str) -> None:
    engine = make_engine(sa.make_url(f"{scheme}://root@127.0.0.1:{quiet_port()}/x"), pool_size=1, writes=True)
    with pytest.raises(Unavailable, match="does not answer"):
        upgrade(engine)
    engine.dispose()


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


async def test_a_turn_that_waits_for_no_quiet_makes_eleven_statements_in_three_transactions(tmp_path: Path) -> None:
    async with open_sql(url(tmp_path), sole=False, lease_seconds=30, most_waiting=10) as store:
        conversation = await store.current("anna", "websocket", "a")
        made: list[str] = []

        def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            made.append(statement.split()[0])

        sa.event.listen(store._database.engine, "before_cursor_execute", count)
        await store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
        lease = await store.take(conversation.id, "w")
        assert lease is not None
        await store.answer(lease, Draft("fine", "stop"))
    changes = [one for one in made if one != "BEGIN"]
    assert changes == [
        *("SELECT", "SELECT", "INSERT", "INSERT", "UPDATE"),
        *("SELECT", "SELECT", "UPDATE"),
        *("SELECT", "INSERT", "UPDATE"),
    ]


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


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
async def test_a_process_that_falls_silent_in_a_transaction_keeps_nobody_from_its_rows(server: str) -> None:
    options: dict[str, Any] = {"sole": False, "lease_seconds": 30, "most_waiting": 10}
    locked, thawed = threading.Event(), threading.Event()
    with scratch_database(SERVERS[server]) as url:
        async with open_sql(url, **options) as frozen, open_sql(url, **options) as other:
            conversation_id = (await frozen.create("anna", "websocket", "a")).id

            def fall_silent(connection: sa.Connection) -> int:
                accepted = frozen._accept(connection, InboundMessage("anna", conversation_id, "frozen", "hi"))
                locked.set()
                thawed.wait(60)
                return accepted.offset

            silent = asyncio.create_task(frozen._database.write(fall_silent))
            await asyncio.to_thread(locked.wait, 10)
            try:
                async with asyncio.timeout(IDLE_SECONDS + 2 * BUSY_SECONDS):
                    accepted = await other.accept(InboundMessage("anna", conversation_id, "other", "hi"))
            finally:
                thawed.set()
            assert (accepted.offset, await silent) == (1, 2)
            entries = (await other.after(conversation_id, 0, 10)).entries
            assert [one.message_id for one in entries if isinstance(one, Question)] == ["other", "frozen"]


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
async def test_no_write_begins_on_a_connection_that_the_database_closed_meanwhile(server: str) -> None:
    with scratch_database(SERVERS[server]) as url:
        async with Database(url) as database:
            await asyncio.to_thread(upgrade, database.engine)
            attempts = 0

            def write(connection: sa.Connection) -> object:
                nonlocal attempts
                attempts += 1
                return connection.execute(sa.text("SELECT 1")).scalar()

            assert await database.write(write) == 1
            await asyncio.sleep(IDLE_SECONDS + 1)
            assert (await database.write(write), attempts) == (1, 2)


async def test_a_restart_of_the_sole_process_voids_leases_at_once(tmp_path: Path) -> None:
    async with open_sql(url(tmp_path), sole=True, lease_seconds=30, most_waiting=10) as store:
        conversation = await store.create("anna", "websocket", "a")
        await store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
        assert await store.take(conversation.id, "killed") is not None
    async with open_sql(url(tmp_path), sole=True, lease_seconds=30, most_waiting=10) as store:
        lease = await store.take(conversation.id, "next")
        assert lease is not None
        assert (lease.attempt, lease.tries) == (2, 2)


async def test_what_a_killed_sender_held_is_left_alone_by_a_restart_until_the_loan_runs_out(tmp_path: Path) -> None:
    now = [1_000_000.0]
    options = {"sole": True, "lease_seconds": 30, "most_waiting": 10, "clock": lambda: now[0]}
    async with open_sql(url(tmp_path), **options) as store:  # type: ignore[arg-type]
        conversation = await store.create("tel:+4915112345678", "sms", "a")
        await store.accept(InboundMessage("tel:+4915112345678", conversation.id, "m1", "hi"))
        lease = await store.take(conversation.id, "killed")
        assert lease is not None
        await store.answer(lease, Draft("fine", "stop"), post=True)
        assert await store.take_outgoing(conversation.id, "killed") is not None
    async with open_sql(url(tmp_path), **options) as store:  # type: ignore[arg-type]
        assert await store.take_outgoing(conversation.id, "next") is None
        now[0] += 30
        outgoing = await store.take_outgoing(conversation.id, "next")
        assert outgoing is not None
        assert (outgoing.text, outgoing.tries) == ("fine", 2)


async def test_a_store_opens_before_it_lets_go_of_what_is_old_and_then_does_so_at_once(tmp_path: Path) -> None:
    now = 1_790_000_000.0
    options: dict[str, Any] = {"sole": True, "lease_seconds": 30, "most_waiting": 10, "clock": lambda: now}
    async with open_sql(url(tmp_path), **options) as store:
        await store.charge("texts", 1, 5, int(now * 1000))
    now += 1
    async with open_sql(url(tmp_path), **options) as store:
        assert await store.charged("texts") == 1
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(store.run())
            while await store.charged("texts"):
                await asyncio.sleep(0.01)
            running.cancel()


async def test_a_store_lets_go_of_what_is_old_again_and_again(tmp_path: Path) -> None:
    now = 1_790_000_000.0
    opened = open_sql(url(tmp_path), sole=True, lease_seconds=30, most_waiting=10, clock=lambda: now)
    async with opened as store, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(store.run(0.01))
        for name in ("first", "second"):
            await store.charge(name, 1, 5, int(now * 1000))
            now += 1
            while await store.charged(name):
                await asyncio.sleep(0.01)
        running.cancel()


@pytest.fixture(params=["sqlite", *SERVERS])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield url(tmp_path)
        return
    with scratch_database(SERVERS[request.param]) as scratch:
        yield scratch


async def test_what_is_old_is_let_go_in_pieces_and_others_write_in_between(any_url: str) -> None:
    now = 1_790_000_000.0
    ages = {claims: 7, sign_outs: 31, receipts: 30, accounts: 0}
    async with open_sql(any_url, sole=False, lease_seconds=30, most_waiting=10, clock=lambda: now) as store:
        # All of one age, as accounts are that end with the day.
        await store._database.write(lambda connection: make_old(connection, int(now * 1000), ages))
        pieces: list[int] = []

        def count(_connection: object, cursor: Any, statement: str, *_rest: object) -> None:
            if statement.startswith("DELETE"):
                pieces.append(cursor.rowcount)

        sa.event.listen(store._database.engine, "after_cursor_execute", count)
        forgetting = asyncio.create_task(store.forget())
        await asyncio.sleep(0)
        assert await store.charge("texts", 1, 5, int(now * 1000) + 1)
        assert not forgetting.done()
        await forgetting
        assert pieces == [PIECE, PIECE, 1] * len(ages)
        left = await store._database.read(
            lambda connection: [
                connection.execute(sa.select(sa.func.count()).select_from(one)).scalar() for one in ages
            ]
        )
        assert left == [1, 1, 1, 2]


def make_old(connection: sa.Connection, now: int, ages: Mapping[sa.Table, int]) -> None:
    """Two pieces of each table and a row more, and one that is young enough."""
    for table, days in ages.items():
        old = [kept_row(table, f"old{number}", now - days * 86_400_000 - 1) for number in range(2 * PIECE + 1)]
        connection.execute(table.insert(), [*old, kept_row(table, "young", now - days * 86_400_000)])


def kept_row(table: sa.Table, name: str, at: int) -> dict[str, object]:
    row = {column.name: at if isinstance(column.type, sa.BigInteger) else 0 for column in table.columns}
    return row | {column.name: name for column in table.columns if isinstance(column.type, sa.String)}


async def test_writers_that_were_silent_for_a_week_are_forgotten(tmp_path: Path) -> None:
    now = 1_790_000_000.0
    async with open_sql(url(tmp_path), sole=True, lease_seconds=30, most_waiting=10, clock=lambda: now) as store:
        await store._database.write(lambda connection: make_old(connection, int(now * 1000), {writers: 7}))
        await store.forget()
        found = await store._database.read(lambda connection: connection.execute(sa.select(writers.c.id)).all())
        assert [row.id for row in found] == ["young"]


async def test_old_receipts_and_accounts_are_let_go(tmp_path: Path) -> None:
    now = [1_000_000.0]
    options = {"sole": True, "lease_seconds": 30, "most_waiting": 10, "clock": lambda: now[0]}
    async with open_sql(url(tmp_path), **options) as store:  # type: ignore[arg-type]
        await store.keep_receipt("sms", "SM1", "sent", None)
        await store.charge("day", 3, 10, int(now[0] * 1000) + 1_000)
    now[0] += 31 * 86_400
    async with open_sql(url(tmp_path), **options) as store:  # type: ignore[arg-type]
        await store.forget()
    engine = sa.create_engine(url(tmp_path), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.execute(sa.select(receipts)).all() == connection.execute(sa.select(accounts)).all() == []


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
    async with open_sql(url(tmp_path), **options) as store:  # type: ignore[arg-type]
        await store.forget()
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
