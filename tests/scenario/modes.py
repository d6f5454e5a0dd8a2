"""The ways in which the server runs a reply at the provider."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from tests.fakes.openai_server import FakeOpenAI

QUICK = {"POLL_FIRST_SECONDS": "0.05"}
MODES: Mapping[str, Mapping[str, object]] = {
    "stream": {},
    "background": {"RUN_MODE": "background", "OPENAI_BACKGROUND": "true", **QUICK},
    "threads": {"ENGINE": "threads", **QUICK},
}


async def settings_for(mode: str, provider: FakeOpenAI) -> Mapping[str, object]:
    """Where the mode wants an assistant at the provider, there is one."""
    if mode != "threads":
        return MODES[mode]
    async with httpx2.AsyncClient(headers={"authorization": "Bearer sk-1", "openai-beta": "assistants=v2"}) as http:
        answered = await http.post(f"{provider.base_url}/assistants", json={"model": "gpt-6.1-sol", "name": "one"})
    return {**MODES[mode], "ASSISTANT_ID": answered.json()["id"]}
