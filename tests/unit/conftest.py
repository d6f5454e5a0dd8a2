"""OpenAI's fake, two clients of it, the engine of its threads; and a store on DynamoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from openai import AsyncOpenAI

from tests.engines import KINDS, Bench, open_bench
from tests.fakes.openai_server import FakeOpenAI, openai_server
from tests.fakes.openai_server.client import plain_client, real_client
from tests.fakes.openai_server.threads_client import Talk, talking
from tests.ministack import Cloud
from tests.unit.dynamodb_scene import Scene, open_scene


@pytest.fixture
async def fake() -> AsyncIterator[FakeOpenAI]:
    """Checked at the end: nothing that it was asked, and nothing that it said, is against OpenAI's description."""
    async with openai_server() as server:
        yield server
        assert server.violations == []


@pytest.fixture
async def client(fake: FakeOpenAI) -> AsyncIterator[AsyncOpenAI]:
    async with real_client(fake.base_url) as real:
        yield real


@pytest.fixture
async def http(fake: FakeOpenAI) -> AsyncIterator[httpx2.AsyncClient]:
    async with plain_client(fake.base_url) as plain:
        yield plain


@pytest.fixture
async def talk(fake: FakeOpenAI) -> AsyncIterator[Talk]:
    async with talking(fake) as one:
        yield one


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with open_bench(KINDS["threads"]) as opened:
        yield opened


@pytest.fixture
async def scene(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    async with open_scene(cloud) as opened:
        yield opened
