"""A server with a provider that does what the test says."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import FakeOpenAI, openai_server
from tests.scenario.process import ServerProcess, Start, server_process
from tests.scenario.storm import SEED, Storm, quiet_port


@pytest.fixture
async def provider() -> AsyncIterator[FakeOpenAI]:
    """Checked at the end: nothing that was asked of it is against OpenAI's description."""
    async with openai_server() as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def start(provider: FakeOpenAI, tmp_path: Path) -> Start:
    """Starts the server on this test's folder and provider."""

    def started(*, command: Any = ("serve",), **settings: object) -> AbstractAsyncContextManager[ServerProcess]:
        values = {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-test-canary", **settings}
        return server_process(tmp_path, command=command, **values)

    return started


@pytest.fixture
async def server(start: Start) -> AsyncIterator[ServerProcess]:
    async with start() as process:
        yield process


@pytest.fixture
def storm(start: Start, provider: FakeOpenAI, tmp_path: Path) -> Storm:
    print(f"SEED={SEED}")  # Shown when the test fails.
    dice = random.Random(SEED)
    return Storm(start, provider, tmp_path, dice, quiet_port(dice))
