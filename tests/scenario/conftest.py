"""A server with a provider that does what the test says."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from server.auth.local_pool import FILE_NAME, LocalUserPool
from tests.fakes.azure_server import FakeAzure, azure_server
from tests.fakes.openai_server import FakeOpenAI, openai_server
from tests.fakes.twilio_server import FakeTwilio, twilio_server
from tests.ministack import Cloud
from tests.ports import quiet_port
from tests.scenario.phones import Phone, twilio_settings
from tests.scenario.process import ServerProcess, Start, server_process
from tests.scenario.storm import SEED, Storm

# Checkers look at every run.
KEPT_REQUESTS = 200_000


@pytest.fixture
async def provider() -> AsyncIterator[FakeOpenAI]:
    """Checked at the end: nothing that was asked of it is against OpenAI's description."""
    async with openai_server(kept_requests=KEPT_REQUESTS) as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture(scope="session")
def user_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of one; to make it takes longer than most of what is done with it."""
    folder = tmp_path_factory.mktemp("user_pool")
    LocalUserPool.open(folder)
    return folder / FILE_NAME


@pytest.fixture
def start(provider: FakeOpenAI, tmp_path: Path, user_pool: Path) -> Start:
    """Starts the server on this test's folder and provider."""
    shutil.copy(user_pool, tmp_path)

    def started(*, command: Any = ("serve",), **settings: object) -> AbstractAsyncContextManager[ServerProcess]:
        values = {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-test-canary", **settings}
        return server_process(tmp_path, command=command, **values)

    return started


@pytest.fixture
async def server(start: Start) -> AsyncIterator[ServerProcess]:
    async with start() as process:
        yield process


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as fake:
        yield fake


@pytest.fixture
async def sms() -> AsyncIterator[FakeAzure]:
    """Azure's SMS."""
    async with azure_server() as fake:
        yield fake


@pytest.fixture(params=["sql", "aws"])
def kept(request: pytest.FixtureRequest) -> dict[str, object]:
    """Settings of where everything is kept: a database and a folder, or AWS with all that the cluster has there."""
    if request.param == "sql":
        return {}
    cloud: Cloud = request.getfixturevalue("cloud")
    cloud.empty()
    return {**cloud.cluster_settings()}


@pytest.fixture
async def phone(kept: dict[str, object], start: Start, twilio: FakeTwilio) -> AsyncIterator[Phone]:
    async with start(**kept, **twilio_settings(twilio)) as server:
        yield Phone(twilio, server)


@pytest.fixture
def storm(start: Start, provider: FakeOpenAI, tmp_path: Path) -> Storm:
    print(f"SEED={SEED}")  # Shown when the test fails.
    return Storm(start, provider, tmp_path, random.Random(SEED), quiet_port())
