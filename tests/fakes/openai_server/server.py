"""Put together: a fake that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.fakes.openai_server.app import make_app
from tests.fakes.openai_server.fake import KEPT_REQUESTS, MODELS, FakeOpenAI
from tests.fakes.openai_server.script import ECHO, Answer, Choose
from tests.fakes.openai_server.validation import Inspector, description_path, load_description
from tests.fakes.openai_server.wire import HOST, listening


@asynccontextmanager
async def openai_server(
    *answers: Answer,
    normal: Answer | Choose = ECHO,
    models: Mapping[str, str | None] = MODELS,
    assistants_gone: bool = False,
    validate: bool = True,
    port: int = 0,
    kept_requests: int = KEPT_REQUESTS,
) -> AsyncIterator[FakeOpenAI]:
    """A fake that answers as scripted (see `FakeOpenAI.script`) until the block ends; then every connection is cut.

    `models`: their names, each with the day it is shut down or None. `assistants_gone`: 404 to everything under
    /assistants and /threads. Without OpenAI's description nothing is validated.
    """
    path = description_path() if validate else None
    inspector = Inspector(load_description(path) if path else None)
    fake = FakeOpenAI(inspector, answers, normal, models, assistants_gone, kept_requests)
    async with listening(make_app(fake), port) as port:
        fake.base_url = f"http://{HOST}:{port}/v1"
        yield fake
