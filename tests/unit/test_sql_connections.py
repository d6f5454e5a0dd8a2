"""How SQL lets go of sockets and processes: none too early, and not in the way of who writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from server.backends.sql import SqlBackend, open_sql
from server.backends.sql.base import PIECE
from server.backends.sql.schema import connections, nodes
from server.model import Place
from tests.databases import SERVERS, scratch_database

A, B = "http://10.0.0.1:8000", "http://10.0.0.2:8000"
OPTIONS: dict[str, Any] = {"sole": False, "lease_seconds": 30, "most_waiting": 10}
GRACE = 600


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/test.db"
        return
    with scratch_database(SERVERS[request.param]) as scratch:
        yield scratch


async def many_sockets(store: SqlBackend, node: str, number: int, until: float) -> None:
    rows = [
        {"id": f"{node}{one}", "person": f"p{one}", "node": node, "expires_at": int(until * 1000)}
        for one in range(number)
    ]
    await store._database.write(lambda connection: connection.execute(connections.insert(), rows))


async def left(store: SqlBackend, table: sa.Table) -> int | None:
    count = sa.select(sa.func.count()).select_from(table)
    return await store._database.read(lambda connection: connection.execute(count).scalar())


def deletions(store: SqlBackend) -> list[int]:
    """How many sockets each statement takes away, from now on."""
    taken: list[int] = []

    def see(_connection: object, cursor: Any, statement: str, *_rest: object) -> None:
        if statement.startswith("DELETE FROM connections"):
            taken.append(cursor.rowcount)

    sa.event.listen(store._database.engine, "after_cursor_execute", see)
    return taken


async def test_the_heartbeat_of_a_process_that_is_known_looks_at_no_socket(url: str) -> None:
    async with open_sql(url, **OPTIONS) as store:
        await store.beat(A, 20)
        made: list[str] = []
        for engine in (store._database.engine, store._database._read_engine):
            sa.event.listen(engine, "before_cursor_execute", lambda *event: made.append(event[2]))
        assert await store.beat(A, 20)
        assert made
        assert not any("connections" in statement for statement in made)


async def test_a_process_that_begins_anew_lets_go_of_what_it_had_in_pieces(url: str) -> None:
    async with open_sql(url, **OPTIONS, clock=lambda: 1_000.0) as store:
        for node in (A, B):
            await store.beat(node, 20)
            await many_sockets(store, node, PIECE + 1, until=2_000)
        await store.beat(A, 0)
        taken = deletions(store)
        assert not await store.beat(A, 20)
        assert taken == [PIECE, 1, 0]
        assert await left(store, connections) == PIECE + 1


async def test_what_is_over_for_long_is_let_go_in_pieces(url: str) -> None:
    now = 1_000.0
    async with open_sql(url, **OPTIONS, clock=lambda: now) as store:
        await store.beat(A, 20)
        await many_sockets(store, A, PIECE + 1, until=now + 5_000)
        await store.beat(B, 10_000)
        await many_sockets(store, B, PIECE + 1, until=now + 20)
        await store.register(Place("anna", "k", B), now + 5_000)
        taken = deletions(store)
        now += 20 + GRACE - 1
        await store.forget()
        assert (taken, await left(store, nodes)) == ([], 2)
        now += 2
        await store.forget()
        assert taken == [PIECE, 1, PIECE, 1]
        assert [await left(store, table) for table in (nodes, connections)] == [1, 1]


async def test_a_process_that_was_let_go_of_hears_of_it(url: str) -> None:
    now, ahead = 1_000.0, 0
    async with open_sql(url, **OPTIONS, clock=lambda: now + ahead) as store:
        await store.beat(A, 20)
        ahead = 20 + GRACE
        await store.forget()
        ahead = 0
        assert not await store.beat(A, 20)
