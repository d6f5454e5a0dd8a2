"""The same server on a database of one's own, and on a table."""

from __future__ import annotations

import pytest

from tests.databases import SERVERS, scratch_database
from tests.fakes.openai_server import FakeOpenAI
from tests.ministack import Cloud
from tests.scenario.client import client
from tests.scenario.process import Start


@pytest.mark.parametrize("database", SERVERS)
async def test_a_conversation_lives_in_the_database_named_by_the_url(
    start: Start, provider: FakeOpenAI, database: str
) -> None:
    with scratch_database(SERVERS[database]) as url:
        await outlives(start, provider, DATABASE_URL=url.replace("+pymysql", "").replace("+psycopg", ""))


async def test_a_conversation_lives_in_the_table_named_by_the_settings(
    start: Start, provider: FakeOpenAI, cloud: Cloud
) -> None:
    cloud.empty_table()
    await outlives(start, provider, **cloud.table_settings())


async def outlives(start: Start, provider: FakeOpenAI, **settings: str) -> None:
    """What was said to a server that is killed, the next one knows."""
    async with start(**settings) as server:
        async with client(server) as anna:
            await anna.ask("Grüße 👩‍👩‍👧", messageId="m1")
        await server.kill()
    async with start(**settings) as server, client(server) as anna:
        assert anna.connected["offset"] == 2
        await anna.say("Grüße 👩‍👩‍👧", messageId="m1")
        assert (await anna.until("messageAccepted"))["duplicate"]
        await anna.ask("after")
    assert len(provider.questions) == 2
