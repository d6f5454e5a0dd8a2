"""The same server on a database of one's own."""

from __future__ import annotations

import pytest

from tests.databases import SERVERS, scratch_database
from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.client import client
from tests.scenario.process import Start


@pytest.mark.parametrize("database", SERVERS)
async def test_a_conversation_lives_in_the_database_named_by_the_url(
    start: Start, provider: FakeOpenAI, database: str
) -> None:
    with scratch_database(SERVERS[database]) as url:
        plain = url.replace("+pymysql", "").replace("+psycopg", "")
        async with start(DATABASE_URL=plain) as server:
            async with client(server) as anna:
                await anna.ask("Grüße 👩‍👩‍👧", messageId="m1")
            await server.kill()
        async with start(DATABASE_URL=plain) as server, client(server) as anna:
            assert anna.connected["offset"] == 2
            await anna.say("Grüße 👩‍👩‍👧", messageId="m1")
            assert (await anna.until("messageAccepted"))["duplicate"]
            await anna.ask("after")
    assert len(provider.questions) == 2
