"""Bring a database to the newest schema, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from server.backends.sql import again
from server.backends.sql.engine import SCHEMA_LOCK_SECONDS, at_leisure
from server.errors import ConfigError, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
# Alembic finds it by itself, once it is imported.
FOR_MYSQL = again.Again


def upgrade(engine: Engine) -> None:
    """Raises `ConfigError` when the database cannot be used or is newer than this program, `Unavailable` when it does
    not answer, or another process is upgrading it for longer than we wait.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with at_leisure(engine) as patient, patient.begin() as connection, upgrade_lock(connection):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigError(
            f"The database was written by a newer version of this server ({error}). Upgrade it."
        ) from error
    except OperationalError as error:
        if engine.dialect.name == "sqlite":
            raise ConfigError(f"The database cannot be used: {error.__cause__ or error}") from error
        raise Unavailable(f"The database of DATABASE_URL does not answer: {error.__cause__ or error}") from error
    except SQLAlchemyError as error:
        # The driver's own words name the host and the account, not the password.
        raise ConfigError(f"DATABASE_URL cannot be used: {error.__cause__ or error}") from error


@contextmanager
def upgrade_lock(connection: Connection) -> Iterator[None]:
    """SQLite's is the write lock that its transaction began with."""
    match connection.dialect.name:
        case "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('switchboard schema'))"))
            yield
        case "mysql" | "mariadb":
            name = "concat('switchboard schema ', database())"
            if connection.execute(text(f"SELECT GET_LOCK({name}, {SCHEMA_LOCK_SECONDS})")).scalar() != 1:
                raise Unavailable("Another process is upgrading the database.")
            try:
                yield
            finally:
                connection.execute(text(f"SELECT RELEASE_LOCK({name})"))
        case _:
            yield
