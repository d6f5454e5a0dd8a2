"""The real client, asking the fake: what OpenAI's own code makes of the bytes on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent

from tests.fakes.openai_server.validation import description_path

KEY = {"authorization": "Bearer any"}
STREAM = {"model": "m", "input": "hi", "stream": True}
ABC = ("a", " b", " c")
OPENING = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"]

described = pytest.mark.skipif(
    description_path() is None, reason="OpenAI's description is not beside the repository, nor in OPENAI_DESCRIPTION"
)


def real_client(base_url: str) -> AsyncOpenAI:
    """Without retries. To be closed by the caller."""
    return AsyncOpenAI(base_url=base_url, api_key="sk-any", max_retries=0)


def plain_client(base_url: str, timeout: float = 5) -> httpx2.AsyncClient:
    """With a good key. To be closed by the caller."""
    return httpx2.AsyncClient(base_url=base_url, headers=KEY, timeout=timeout)


async def told(client: AsyncOpenAI, text: str = "hi") -> list[ResponseStreamEvent]:
    """The events of one streamed response."""
    return [event async for event in _stream(client, text)]


async def told_until(error: type[Exception], client: AsyncOpenAI) -> list[ResponseStreamEvent]:
    """What the client was told before it raised the error."""
    events: list[ResponseStreamEvent] = []
    with pytest.raises(error):
        await _collect(events, client)
    return events


async def whole(client: AsyncOpenAI, text: str = "hi") -> Response:
    """One response that is not streamed."""
    return await client.responses.create(model="m", input=text)


async def begun(client: AsyncOpenAI, text: str = "hi", **metadata: str) -> Response:
    """A response in the background, as it is told of at its creation."""
    return await client.responses.create(model="m", input=text, background=True, store=True, metadata=metadata)


async def over(client: AsyncOpenAI, response: Response) -> Response:
    """The response once it has ended."""
    while response.status in ("queued", "in_progress"):
        await asyncio.sleep(0.005)
        response = await client.responses.retrieve(response.id)
    return response


def types(events: Sequence[ResponseStreamEvent]) -> list[str]:
    return [event.type for event in events]


def deltas(events: Sequence[ResponseStreamEvent]) -> list[str]:
    return [event.delta for event in events if event.type == "response.output_text.delta"]


async def _stream(client: AsyncOpenAI, text: str) -> AsyncIterator[ResponseStreamEvent]:
    async for event in await client.responses.create(model="m", input=text, stream=True):
        yield event


async def _collect(events: list[ResponseStreamEvent], client: AsyncOpenAI) -> None:
    source = _stream(client, "hi")
    while True:
        events.append(await anext(source))
