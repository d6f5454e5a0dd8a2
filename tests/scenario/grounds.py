"""Where a cluster keeps what it keeps, and what may go wrong there."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass

import psycopg

from server.backends.dynamodb import open_dynamodb
from server.backends.sql import open_sql
from server.settings import Settings
from tests.databases import SERVERS, scratch_database
from tests.fakes.faulty_dynamodb import Fault, Proxy, faulty_dynamodb
from tests.ministack import Cloud
from tests.scenario.history import Store

# What is shown at length is shown of the lease that servers have unless they are told.
LEASE_SECONDS: float = Settings.model_fields["lease_seconds"].default if os.environ.get("MINUTES") else 4
MOST_WAITING = 100


@dataclass(frozen=True)
class Ground:
    """`opened`: what is kept, seen from outside. `troubles`: by name, what goes wrong while a block lasts."""

    settings: Mapping[str, object]
    opened: Callable[[], AbstractAsyncContextManager[Store]]
    troubles: Mapping[str, Callable[[], AbstractAsyncContextManager[None]]]


@contextmanager
def postgres() -> Iterator[Ground]:
    with scratch_database(SERVERS["postgres"]) as made:
        url = made.replace("+psycopg", "")

        def opened() -> AbstractAsyncContextManager[Store]:
            return open_sql(url, sole=False, lease_seconds=LEASE_SECONDS, most_waiting=MOST_WAITING)

        yield Ground({"DATABASE_URL": url}, opened, {"severed": lambda: severed(url)})


@asynccontextmanager
async def severed(url: str) -> AsyncIterator[None]:
    """The database hangs up on everybody, once at the begin and once at the end."""
    await asyncio.to_thread(hang_up, url)
    yield
    await asyncio.to_thread(hang_up, url)


def hang_up(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@asynccontextmanager
async def aws(cloud: Cloud, dice: random.Random) -> AsyncIterator[Ground]:
    """What the servers ask of AWS goes through a proxy."""
    cloud.empty_table()
    cloud.client("sqs").purge_queue(QueueUrl=cloud.settings["QUEUE_URL"])

    def opened() -> AbstractAsyncContextManager[Store]:
        return open_dynamodb(
            cloud.settings["TABLE_NAME"],
            endpoint_url=cloud.emulator.url,
            lease_seconds=LEASE_SECONDS,
            most_waiting=MOST_WAITING,
        )

    async with faulty_dynamodb(cloud.emulator.url) as proxy:
        queue = {"QUEUE_URL": cloud.settings["QUEUE_URL"]}
        settings = {**cloud.table_settings(), **queue, "AWS_ENDPOINT_URL": proxy.url}
        yield Ground(settings, opened, moods(proxy, dice))


def moods(proxy: Proxy, dice: random.Random) -> Mapping[str, Callable[[], AbstractAsyncContextManager[None]]]:
    def of_some(fault: Fault, share: float, *operations: str) -> Callable[[], AbstractAsyncContextManager[None]]:
        def mood(operation: str) -> Fault | None:
            named = not operations or operation in operations
            return fault if named and dice.random() < share else None

        return lambda: in_mood(proxy, mood)

    return {
        "throttled": of_some(Fault.THROTTLED, 0.4),
        "broken": of_some(Fault.BROKEN, 1),
        "unheard": of_some(Fault.UNHEARD, 0.2),
        "late rings": of_some(Fault.LATE, 0.7, "ReceiveMessage"),
        "doubled rings": of_some(Fault.AGAIN, 0.5, "ReceiveMessage"),
    }


@asynccontextmanager
async def in_mood(proxy: Proxy, mood: Callable[[str], Fault | None]) -> AsyncIterator[None]:
    proxy.mood = mood
    yield
    proxy.mood = lambda operation: None
