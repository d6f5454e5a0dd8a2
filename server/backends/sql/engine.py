"""How each kind of database is connected to, so that no wait lacks an end: neither ours, nor that of others for us.

A process may be stopped in the middle of a transaction, or vanish with its host, and nobody tells the database. So the
database itself ends a transaction that has been idle for `IDLE_SECONDS`, and whoever waits for its rows gets them; a
process that comes back finds its connection gone, and does what it did anew.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError

from server.errors import ConfigError

BUSY_SECONDS = 5
RETRY_SECONDS = 0.02
IDLE_SECONDS = 10
NETWORK_SECONDS = 10
KEEPALIVE_SECONDS = 2
RECYCLE_SECONDS = 1800
SCHEMA_LOCK_SECONDS = 60
SCHEMA_SECONDS = 3600
DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "postgresql": "postgresql+psycopg",
}
POSTGRES_SESSION = {
    "statement_timeout": f"{NETWORK_SECONDS}s",
    "lock_timeout": f"{BUSY_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
}


def driver_url(url: str) -> URL:
    parsed = make_url(url)
    family = parsed.get_backend_name()
    if family not in DRIVERS:
        raise ConfigError(f"DATABASE_URL names {family!r}; use sqlite, mysql or postgresql.")
    return parsed.set(drivername=DRIVERS[family])


def make_engine(url: URL, *, pool_size: int, writes: bool) -> Engine:
    pool = {"pool_size": pool_size, "max_overflow": 0}
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, **pool, connect_args={"timeout": BUSY_SECONDS})
        prepare_sqlite(engine, writes=writes)
        return engine
    mysql = url.get_backend_name() == "mysql"
    isolation: Any = "READ COMMITTED" if writes else "AUTOCOMMIT"
    options = mysql_options(writes=writes) if mysql else postgres_options()
    engine = create_engine(
        url, **pool, isolation_level=isolation, pool_recycle=RECYCLE_SECONDS, connect_args=dict(options)
    )
    if mysql and writes:
        leave_the_idle(engine)
    return engine


def postgres_options() -> Mapping[str, Any]:
    """Who listens to a host that is gone sends nothing that could fail to arrive: the keepalives tell."""
    return {
        "connect_timeout": NETWORK_SECONDS,
        "options": session_of(POSTGRES_SESSION),
        "tcp_user_timeout": NETWORK_SECONDS * 1000,
        "keepalives_idle": NETWORK_SECONDS,
        "keepalives_interval": KEEPALIVE_SECONDS,
        "keepalives_count": NETWORK_SECONDS // KEEPALIVE_SECONDS,
    }


def session_of(limits: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in limits.items())


def mysql_options(*, writes: bool) -> Mapping[str, Any]:
    """MySQL knows no limit of an idle transaction, only one of an idle connection."""
    limits = {"innodb_lock_wait_timeout": BUSY_SECONDS, **({"wait_timeout": IDLE_SECONDS} if writes else {})}
    return {
        "connect_timeout": NETWORK_SECONDS,
        "read_timeout": NETWORK_SECONDS,
        "write_timeout": NETWORK_SECONDS,
        "charset": "utf8mb4",
        "init_command": "SET SESSION " + ", ".join(f"{name} = {value}" for name, value in limits.items()),
    }


@contextmanager
def at_leisure(engine: Engine) -> Iterator[Engine]:
    """For changes of the schema, which may take long where there is much: to begin, and to be done."""
    match engine.dialect.name:
        case "sqlite":
            yield engine
            return
        case "postgresql":
            limits = {
                **POSTGRES_SESSION,
                "statement_timeout": f"{SCHEMA_SECONDS}s",
                "lock_timeout": f"{SCHEMA_LOCK_SECONDS}s",
            }
            how = {**postgres_options(), "options": session_of(limits)}
        case _:
            limit = f"SET SESSION lock_wait_timeout = {SCHEMA_LOCK_SECONDS}"
            how = {**mysql_options(writes=False), "read_timeout": SCHEMA_SECONDS, "init_command": limit}
    patient = create_engine(engine.url, poolclass=NullPool, connect_args=how)
    try:
        yield patient
    finally:
        patient.dispose()


def leave_the_idle(engine: Engine) -> None:
    """Take no connection from the pool that the database may be about to close: another is made in its place."""

    def on_checkin(_raw: object, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def on_checkout(_raw: object, record: Any, _proxy: object) -> None:
        idle_since = record.info.pop("idle_since", None)
        if idle_since is not None and time.monotonic() - idle_since > IDLE_SECONDS / 2:
            raise DisconnectionError

    event.listen(engine, "checkin", on_checkin)
    event.listen(engine, "checkout", on_checkout)


def prepare_sqlite(engine: Engine, *, writes: bool) -> None:
    """Write-ahead log, synced before each commit returns; a transaction takes the write lock when it begins."""

    def on_connect(raw: Any, _record: object) -> None:
        # The driver's own transaction handling begins only at the first change.
        raw.isolation_level = None
        write_ahead(raw)
        raw.execute("PRAGMA synchronous=FULL")

    event.listen(engine, "connect", on_connect)
    if writes:
        event.listen(engine, "begin", begin_immediate)


def write_ahead(raw: sqlite3.Connection) -> None:
    """SQLite waits for no other connection here, whatever its time-out: two that read could wait for each other."""
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                raise
            time.sleep(random.uniform(0, RETRY_SECONDS))  # noqa: S311
        else:
            return


def begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
