"""A client of the debate endpoint, as an application developer would write it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import httpx2

from tests.scenario.process import ServerProcess

PATIENCE = 60
Event: TypeAlias = tuple[str, Any]


class Chat:
    """A person with a token, or somebody without one; `conversation_id` is that of the last answer."""

    def __init__(self, http: httpx2.AsyncClient, token: str) -> None:
        self.http = http
        self.headers = {"authorization": f"Bearer {token}"} if token else {}
        self.conversation_id: str | None = None

    async def post(self, text: Any, conversation_id: str | None = None, **headers: str) -> httpx2.Response:
        body = {"conversation_id": conversation_id, "message": text}
        return await self.http.post("/api/chat", json=body, headers=self.headers | named(headers))

    async def say(self, text: str, **headers: str) -> list[str]:
        """In the same conversation; the messages of the answer, each with its role."""
        answered = await self.post(text, self.conversation_id, **headers)
        assert answered.status_code == 200, answered.text
        self.conversation_id = answered.json()["conversation_id"]
        return shown(answered.json())

    @asynccontextmanager
    async def stream(
        self, text: str, conversation_id: str | None = None, **headers: str
    ) -> AsyncIterator[AsyncIterator[Event]]:
        body = {"conversation_id": conversation_id, "message": text}
        head = self.headers | named(headers) | {"accept": "text/event-stream"}
        async with self.http.stream("POST", "/api/chat", json=body, headers=head) as answered:
            assert answered.headers["content-type"] == "text/event-stream", await answered.aread()
            yield events(answered)


def named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def shown(answer: Any) -> list[str]:
    return [f"{one['role']}: {one['message']}" for one in answer["message"]]


async def events(answered: httpx2.Response) -> AsyncIterator[Event]:
    """Heartbeats as ("", None)."""
    name = ""
    async for line in answered.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield "", None


def told(seen: list[Event]) -> str:
    """What a client has shown of the answer."""
    text = ""
    for name, data in seen:
        text = {"delta": text + data["text"] if name == "delta" else "", "restart": ""}.get(name, text)
    return text


def code_of(answered: httpx2.Response) -> tuple[int, str]:
    """Status and code. Every refusal has the house's body."""
    error = answered.json()["error"]
    assert set(error) == {"code", "message", "retryable", "requestId"}
    assert answered.headers["content-type"] == "application/json"
    return answered.status_code, error["code"]


@asynccontextmanager
async def chat(server: ServerProcess, user: str = "anna") -> AsyncIterator[Chat]:
    """Without a token where the user is nobody."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=server.http, timeout=PATIENCE, limits=limits) as http:
        yield Chat(http, server.token(user) if user else "")
