"""What is written once, although the connection to the database broke while it was committed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pytest
import sqlalchemy as sa

from server.backends.sql import SqlBackend, open_sql
from server.backends.sql.schema import writers
from server.errors import Unavailable
from server.model import Called, InboundMessage, Lease, Returned, ToolCall, ToolResult
from tests.databases import SERVERS, scratch_database
from tests.fakes.freezing_line import Break, Line, freezing_line

Result = TypeVar("Result")

# As both protocols send it. What else has the word in it is longer.
COMMIT = re.compile(rb"[\x00-\x1f]COMMIT(\x00|$)")
PORTS = {"mysql": 3306, "postgres": 5432}
LATER = 2**50
# Of accounts, on PostgreSQL.
SLOW_COMMITS = """
CREATE FUNCTION dally() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER dally AFTER INSERT ON accounts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION dally();
"""
CALLED = Called("", (ToolCall("c1", "t", "{}"), ToolCall("c2", "t", "{}")), "", None, None, "a@1")
RETURNED = Returned(ToolResult("c1", "one"))


@dataclass(frozen=True)
class Scene:
    """`straight`: the same database, past the line."""

    store: SqlBackend
    line: Line
    straight: str

    async def asked(self, message_id: str) -> str:
        conversation = await self.store.create("anna", "websocket", "a")
        await self.store.accept(InboundMessage("anna", conversation.id, message_id, "hi"))
        return conversation.id

    async def take(self, conversation_id: str) -> Lease:
        lease = await self.store.take(conversation_id, "w")
        assert lease is not None
        return lease

    def outside(self, change: sa.Executable) -> None:
        with sa.create_engine(self.straight, poolclass=sa.NullPool).begin() as connection:
            connection.execute(change)

    async def broken(self, when: Break, change: Callable[[], Awaitable[Result]]) -> Result:
        """What the change comes to whose commit is spoilt."""
        self.line.break_at(COMMIT, when)
        result = await change()
        assert self.line.has_broken
        return result


@asynccontextmanager
async def opened(server: str) -> AsyncIterator[Scene]:
    with scratch_database(SERVERS[server]) as straight:
        there = sa.make_url(straight)
        async with freezing_line(str(there.host), there.port or PORTS[server]) as line:
            url = there.set(host="127.0.0.1", port=line.port).render_as_string(hide_password=False)
            async with open_sql(url, sole=False, lease_seconds=30, most_waiting=10) as store:
                # With the first write a writer gets its row.
                await store.charge("first", 1, 1, LATER)
                yield Scene(store, line, straight)


@pytest.fixture(params=SERVERS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with opened(request.param) as one:
        yield one


async def test_what_a_turn_writes_is_written_once(scene: Scene) -> None:
    store = scene.store
    for when in Break:
        conversation_id = await scene.asked(when.name)
        lease = await scene.broken(when, partial(scene.take, conversation_id))
        assert (lease.attempt, lease.tries) == (1, 1)
        for step in (CALLED, RETURNED):
            await scene.broken(when, partial(store.note, lease, step))
        assert list(await store.steps(lease)) == [CALLED, RETURNED]
        await scene.broken(when, partial(store.fail, lease, 0))
        again = await scene.take(conversation_id)
        assert (again.attempt, again.failures) == (2, 1)
        await scene.broken(when, partial(store.hand_back, again))
        assert (await scene.take(conversation_id)).failures == 1


async def test_what_is_counted_and_what_is_moved_is_so_once(scene: Scene) -> None:
    store = scene.store
    for when in Break:
        assert await scene.broken(when, partial(store.charge, when.name, 1, 5, LATER))
        assert await store.charged(when.name) == 1
        assert await scene.broken(when, partial(store.keep_receipt, "sms", when.name, "failed", "30007"))
        for version in ("v1", "v2", "v3"):
            await store.keep_version("assistant", version, "{}")
            await store.point_alias("assistant", when.name, version)
        assert (await scene.broken(when, partial(store.roll_back, "assistant", when.name))).version == "v2"
        assert (await store.alias("assistant", when.name)).version == "v2"


async def test_writes_that_share_a_commit_are_all_done_once(scene: Scene) -> None:
    for when in Break:
        names = [f"{when.name}{number}" for number in range(3)]

        async def charge(names: Sequence[str]) -> list[bool]:
            return await asyncio.gather(*(scene.store.charge(name, 1, 100, LATER) for name in [*names] * 10))

        assert all(await scene.broken(when, partial(charge, names)))
        assert [await scene.store.charged(name) for name in names] == [10, 10, 10]


async def test_a_commit_that_takes_its_time_is_waited_for() -> None:
    async with opened("postgres") as scene:
        scene.outside(sa.text(SLOW_COMMITS))
        assert await scene.broken(Break.BEFORE_IT_IS_DONE, partial(scene.store.charge, "day", 1, 5, LATER))
        assert await scene.store.charged("day") == 1


async def test_where_nobody_can_tell_it_is_told_and_not_done_again() -> None:
    async with opened("postgres") as scene:
        scene.line.break_at(COMMIT, Break.BEFORE_IT_IS_ANSWERED, for_good=True)
        with pytest.raises(Unavailable):
            await scene.store.charge("day", 1, 5, LATER)
        scene.line.shut = False
        assert await scene.store.charged("day") == 1
        assert await scene.store.charge("day", 1, 5, LATER)


async def test_a_writer_that_was_forgotten_goes_on(scene: Scene) -> None:
    assert await scene.store.charge("day", 1, 5, LATER)
    scene.outside(writers.delete())
    assert await scene.store.charge("day", 1, 5, LATER)
    assert await scene.broken(Break.BEFORE_IT_IS_ANSWERED, partial(scene.store.charge, "day", 1, 5, LATER))
    assert await scene.store.charged("day") == 3
