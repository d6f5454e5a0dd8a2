"""Where things are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from filelock import FileLock, Timeout

from server.backends.memory import MemoryStore
from server.backends.sql import SqlBackend, open_sql
from server.errors import ConfigError
from server.settings import Settings

if TYPE_CHECKING:
    from server.backends.dynamodb import DynamoBackend

Missing: TypeAlias = Literal["refuse", "make", "pretend"]
Store: TypeAlias = Union[SqlBackend, MemoryStore, "DynamoBackend"]


async def open_store(settings: Settings, stack: AsyncExitStack) -> Store:
    if settings.backend == "aws":
        return await open_aws_store(settings, stack)
    if settings.backend == "memory":
        return MemoryStore(lease_seconds=settings.lease_seconds, most_waiting=settings.waiting_per_conversation)
    ours = not settings.database_url.get_secret_value()
    if ours:
        lock_data_dir(settings, stack)
    return await open_sql_store(settings, stack, sole=ours)


async def open_sql_store(settings: Settings, stack: AsyncExitStack, *, sole: bool) -> SqlBackend:
    return await stack.enter_async_context(
        open_sql(
            settings.database,
            sole=sole,
            lease_seconds=settings.lease_seconds,
            most_waiting=settings.waiting_per_conversation,
        )
    )


async def open_aws_store(settings: Settings, stack: AsyncExitStack) -> DynamoBackend:
    # AWS's libraries take their time to load: only who uses them waits for them.
    from server.backends.dynamodb import open_dynamodb

    return await stack.enter_async_context(
        open_dynamodb(
            settings.table_name,
            region=settings.aws_region,
            endpoint_url=settings.aws_endpoint_url,
            lease_seconds=settings.lease_seconds,
            most_waiting=settings.waiting_per_conversation,
        )
    )


@asynccontextmanager
async def open_office(settings: Settings, missing: Missing = "refuse") -> AsyncIterator[Store]:
    """The store alone, beside a server that may be running. Raises `ConfigError` where there is none to share.

    `missing`: where no server was ever started, refuse, make the store, or pretend that there is an empty one.
    """
    if settings.backend == "memory":
        raise ConfigError("BACKEND=memory keeps everything inside the server; there is nothing to work on from here.")
    if settings.database_file is not None and not settings.database_file.exists():
        if missing == "pretend":
            yield MemoryStore(lease_seconds=settings.lease_seconds, most_waiting=settings.waiting_per_conversation)
            return
        if missing == "refuse":
            raise ConfigError(f"No server has worked on DATA_DIR={settings.data_dir} yet; name the folder of yours.")
        make_data_dir(settings)
    async with AsyncExitStack() as stack:
        if settings.backend == "aws":
            yield await open_aws_store(settings, stack)
        else:
            yield await open_sql_store(settings, stack, sole=False)


def lock_data_dir(settings: Settings, stack: AsyncExitStack) -> None:
    """The system lets go of the lock when the process ends, however it ends."""
    make_data_dir(settings)
    lock = FileLock(settings.data_dir / "server.lock")
    try:
        stack.enter_context(lock.acquire(timeout=0))
    except Timeout:
        raise ConfigError(
            f"Another server works on DATA_DIR={settings.data_dir}; stop it, or give this one a folder of its own."
        ) from None
    except OSError as error:
        raise not_writable(settings, error) from None


def make_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise not_writable(settings, error) from None


def not_writable(settings: Settings, error: OSError) -> ConfigError:
    return ConfigError(f"DATA_DIR={settings.data_dir} cannot be written to ({error.strerror}); take another folder.")
