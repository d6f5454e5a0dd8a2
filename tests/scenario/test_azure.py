"""Azure OpenAI: another address, another header, the same replies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.openai_server.app import make_app
from tests.fakes.openai_server.wire import HOST, listening
from tests.scenario.client import client
from tests.scenario.process import Start
from tests.scenario.test_faults import asked_once

KEY = "azure-key-canary"


class AzureFront:
    """Azure's paths and its key header, before OpenAI's API. Keeps the query strings that it saw."""

    def __init__(self, behind: ASGIApp) -> None:
        self._behind = behind
        self.queries: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        path = str(scope["path"]).removeprefix("/openai").removeprefix("/v1")
        key = headers.get(b"api-key", b"bad-key")
        self.queries.append(scope["query_string"])
        kept = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        known = {"path": f"/v1{path}", "headers": [*kept, (b"authorization", b"Bearer " + key)]}
        await self._behind({**scope, **known}, receive, send)


@asynccontextmanager
async def azure(provider: FakeOpenAI) -> AsyncIterator[tuple[str, AzureFront]]:
    front = AzureFront(make_app(provider))
    async with listening(front, 0) as port:
        yield f"http://{HOST}:{port}", front


@pytest.mark.parametrize("version", ["", "2026-08-01-preview"])
@pytest.mark.parametrize("mode", ["stream", "background"])
async def test_a_deployment_answers(start: Start, provider: FakeOpenAI, version: str, mode: str) -> None:
    async with azure(provider) as (endpoint, front):
        settings = {
            "OPENAI_BASE_URL": "",
            "OPENAI_API_KEY": "",
            "AZURE_OPENAI_ENDPOINT": endpoint,
            "AZURE_OPENAI_KEY": KEY,
            "AZURE_OPENAI_MODEL": "our-deployment",
            "AZURE_OPENAI_API_VERSION": version,
            "RUN_MODE": mode,
            "POLL_FIRST_SECONDS": 0.05,
        }
        async with start(**settings) as server, client(server) as anna:
            assert (await asked_once(anna, "hello"))["message"] == "You said: hello"
        [question] = provider.questions
        assert question.body["model"] == "our-deployment"
        assert all((b"api-version=" in query) == bool(version) for query in front.queries)
        assert KEY not in server.printed()
        assert "model_unknown" not in server.printed()


async def test_a_key_that_azure_does_not_take_is_the_operators_business(start: Start, provider: FakeOpenAI) -> None:
    async with azure(provider) as (endpoint, _):
        settings = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "AZURE_OPENAI_ENDPOINT": endpoint}
        async with start(**settings, AZURE_OPENAI_KEY="bad-key", AZURE_OPENAI_MODEL="m") as server:
            async with client(server) as anna:
                assert (await anna.ask("hello"))["code"] == "provider_key"
            assert await server.stop() == 0
            assert '"code":"provider_key","level":"error"' in server.printed()
