"""Bring a database to the newest schema, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from server.errors import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_SECONDS = 60


def upgrade(engine: Engine) -> None:
    """Raises `ConfigError` when the database cannot be reached or is newer than this program."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.begin() as connection, upgrade_lock(connection):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigError(
            f"The database was written by a newer version of this server ({error}). Upgrade it."
        ) from error
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
            connection.execute(text(f"SELECT GET_LOCK({name}, {LOCK_SECONDS})"))
            try:
                yield
            finally:
                connection.execute(text(f"SELECT RELEASE_LOCK({name})"))
        case _:
            yield
