"""The real client on the Assistants wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from openai import AsyncOpenAI
from openai.types.beta.threads import Message, Run

from tests.fakes.openai_server.client import real_client
from tests.fakes.openai_server.fake import FakeOpenAI

BETA = {"openai-beta": "assistants=v2"}

assistants_are_deprecated = pytest.mark.filterwarnings("ignore:(The Assistants API is )?deprecated:DeprecationWarning")


@dataclass(frozen=True, slots=True)
class Talk:
    """One assistant and one thread."""

    client: AsyncOpenAI
    assistant_id: str
    thread_id: str

    def hasty(self) -> Talk:
        """The same, with a client that soon gives up."""
        return replace(self, client=self.client.with_options(timeout=0.2))

    async def say(self, text: str) -> Message:
        return await self.client.beta.threads.messages.create(self.thread_id, role="user", content=text)

    async def begin(self, **metadata: str) -> Run:
        return await self.client.beta.threads.runs.create(
            self.thread_id, assistant_id=self.assistant_id, metadata=metadata
        )

    async def look(self, run: Run) -> Run:
        return await self.client.beta.threads.runs.retrieve(run.id, thread_id=self.thread_id)

    async def cancel(self, run: Run) -> Run:
        return await self.client.beta.threads.runs.cancel(run.id, thread_id=self.thread_id)

    async def submit(self, run: Run, **outputs: str) -> Run:
        return await self.client.beta.threads.runs.submit_tool_outputs(
            run.id,
            thread_id=self.thread_id,
            tool_outputs=[{"tool_call_id": name, "output": text} for name, text in outputs.items()],
        )

    async def settled(self, run: Run) -> Run:
        """The run once it has ended, or wants something."""
        while run.status in ("queued", "in_progress", "cancelling"):
            await asyncio.sleep(0.005)
            run = await self.look(run)
        return run

    async def said(self) -> list[str]:
        """The texts of all messages, oldest first."""
        listed = self.client.beta.threads.messages.list(self.thread_id, order="asc")
        return [part.text.value async for one in listed for part in one.content if part.type == "text"]


@asynccontextmanager
async def talking(fake: FakeOpenAI) -> AsyncIterator[Talk]:
    """With a message in it."""
    async with real_client(fake.base_url) as client:
        assistant = await client.beta.assistants.create(model="m", instructions="Be kind.")
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "hi"}])
        yield Talk(client, assistant.id, thread.id)
