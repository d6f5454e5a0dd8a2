"""The provider's own object for an assistant."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from assistant_scripts.desk import Desk
from server.assistant.client import connect
from server.assistant.mirror import Mirror
from server.backends.memory import MemoryStore
from server.errors import ProviderFailed
from server.model import Definition
from tests.fakes.openai_server import FakeOpenAI, openai_server

OLD = Definition(name="support", instructions="Be kind.", description="For orders", temperature=0.5)
NEW = Definition(name="support", instructions="Be brief.", model="another-model")


@pytest.fixture
async def provider() -> AsyncIterator[FakeOpenAI]:
    async with openai_server() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
async def mirror(provider: FakeOpenAI) -> AsyncIterator[Mirror]:
    async with connect(provider.base_url, "sk-test", silence_seconds=5) as client:
        yield Mirror(client, "usual-model")


async def test_an_object_is_made_and_then_changed(mirror: Mirror, provider: FakeOpenAI) -> None:
    made = await mirror.put(None, OLD, "1" * 64)
    kept = provider.kept.assistants[made]
    assert (kept["name"], kept["description"], kept["instructions"]) == ("support", "For orders", "Be kind.")
    assert (kept["model"], kept["temperature"], kept["metadata"]) == ("usual-model", 0.5, {"version": "1" * 64})
    assert await mirror.put(made, NEW, "2" * 64) == made
    kept = provider.kept.assistants[made]
    assert (kept["instructions"], kept["description"], kept["model"]) == ("Be brief.", "", "another-model")


async def test_one_that_is_gone_there_is_made_anew(mirror: Mirror, provider: FakeOpenAI) -> None:
    made = await mirror.put(None, OLD, "1")
    await mirror.delete(made)
    assert provider.kept.assistants == {}
    await mirror.delete(made)
    again = await mirror.put(made, OLD, "1")
    assert again != made
    assert list(provider.kept.assistants) == [again]


async def test_a_server_without_assistants_is_a_clear_error(mirror: Mirror, provider: FakeOpenAI) -> None:
    made = await mirror.put(None, OLD, "1")
    provider.assistants_gone = True
    for known in (None, made):
        with pytest.raises(ProviderFailed, match=r"127\.0\.0\.1 does not serve Assistants.*2026-08-26"):
            await mirror.put(known, OLD, "1")
    await mirror.delete(made)


async def test_a_dry_run_makes_no_object(mirror: Mirror, provider: FakeOpenAI) -> None:
    store = MemoryStore(lease_seconds=30, most_waiting=5)
    desk = Desk(store, mirror, {}, stage="dev", dry_run=True)
    assert (await desk.create(OLD)).provider_id is None
    assert provider.requests == []
