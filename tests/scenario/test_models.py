"""At start the operator is told of models that the provider does not have, or will not have for long."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.openai_server import openai_server
from tests.scenario.process import ServerProcess, Start


def in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


async def printed(server: ServerProcess, word: str) -> str:
    async with asyncio.timeout(10):
        while not (found := [line for line in server.output if word in line]):
            await asyncio.sleep(0.01)
    return found[0]


@pytest.mark.parametrize(
    ("model", "word"), [("gpt-old", "model_ends"), ("gpt-none", "model_unknown"), ("gpt-new", "served")]
)
async def test_a_model_that_ends_or_is_unknown_is_named(start: Start, model: str, word: str) -> None:
    models = {"gpt-old": in_days(59), "gpt-new": in_days(61)}
    # Pictures by a model that is there.
    settings = {"OPENAI_MODEL": model, "OPENAI_IMAGE_MODEL": "gpt-new"}
    async with openai_server(models=models) as fake, start(OPENAI_BASE_URL=fake.base_url, **settings) as server:
        if word != "served":
            assert model in await printed(server, word)
            return
        await fake.until(lambda: any(one.path == "/v1/models" and one.ended for one in fake.requests))
        assert await server.stop() == 0
        assert not [line for line in server.output if "model_ends" in line or "model_unknown" in line]


async def test_a_provider_that_lists_nothing_is_no_obstacle(start: Start) -> None:
    async with start(OPENAI_BASE_URL="http://127.0.0.1:9/v1") as server:
        assert "provider_unreachable" in await printed(server, "models_not_listed")
