"""What is said to a server, and who says it, is in no line of its log, no figure, and no error that it answers with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.fakes.azure_server import azure_server
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.twilio_server import twilio_server
from tests.scenario import canaries
from tests.scenario.canaries import Provider, Site, secrets, site
from tests.scenario.phones import twilio_settings
from tests.scenario.process import module_process
from tests.scenario.storm import DATABASE
from tests.scenario.texting import azure_settings

FLOWS = (
    *(canaries.by_socket, canaries.by_bytes, canaries.by_chat, canaries.by_links),
    *(canaries.by_twilio, canaries.by_azure, canaries.by_conversations),
)
LOUD = {
    "LOG_LEVEL": "debug",
    "LOG_FORMAT": "json",
    "OPENAI_LOG": "debug",
    "PYTHONASYNCIODEBUG": "1",
    "OPENAI_API_KEY": canaries.API_KEY,
    "INVENTORY_URL": "http://127.0.0.1:9",
    "WHATSAPP_ASSISTANT_ID": "images",
    "TEXTS_PER_MINUTE": 0,
    "MESSAGES_PER_MINUTE": 0,
}


@pytest.fixture(params=["sql", "aws"])
def kept(request: pytest.FixtureRequest) -> Mapping[str, object]:
    """Settings of where it is kept."""
    if request.param == "sql":
        return {}
    cloud = request.getfixturevalue("cloud")
    cloud.empty_table()
    settings: Mapping[str, object] = {**cloud.table_settings(), "BUCKET_NAME": cloud.settings["BUCKET_NAME"]}
    return settings


@pytest.mark.timeout(300)
async def test_no_secret_is_told_anywhere(provider: FakeOpenAI, kept: Mapping[str, object], tmp_path: Path) -> None:
    provider.script(normal=Provider())
    async with twilio_server() as twilio, azure_server() as azure:
        settings = {**twilio_settings(twilio), **azure_settings(azure), **LOUD, **kept}
        command = ("tests.scenario.loud", "serve")
        async with module_process(command, tmp_path, OPENAI_BASE_URL=provider.base_url, **settings) as server:
            async with site(server, twilio, azure) as known:
                for flow in FLOWS:
                    await flow(known)
                if (tmp_path / DATABASE).exists():
                    with broken(tmp_path / DATABASE):
                        await canaries.to_a_broken_store(known)
                figures = await metrics(known)
            assert await server.stop() == 0
    told = {"log": server.printed().split("No wscat?")[-1], "metrics": figures, "errors": "\n".join(known.errors)}
    assert {word for word in ("message_accepted", "webhook_refused", "tool_called") if word in told["log"]}
    leaks = found(told, secrets(server, known))
    assert leaks == [], "\n".join(leaks)


def found(told: Mapping[str, str], hidden: Mapping[str, Sequence[str]]) -> list[str]:
    """Who told what, with the line."""
    return [
        f"{name} in {where}: {line[:600]}"
        for where, text in told.items()
        for line in text.splitlines()
        for name, words in hidden.items()
        if any(word in line for word in words)
    ]


async def metrics(known: Site) -> str:
    async with httpx2.AsyncClient(base_url=known.server.http) as http:
        return (await http.get("/metrics")).text


@contextmanager
def broken(database: Path) -> Iterator[None]:
    """A table is not there for a while."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.execute("ALTER TABLE entries RENAME TO mislaid")
        connection.execute("ALTER TABLE conversations RENAME TO mislaid_too")
        connection.commit()
        yield
        connection.execute("ALTER TABLE mislaid RENAME TO entries")
        connection.execute("ALTER TABLE mislaid_too RENAME TO conversations")
        connection.commit()
