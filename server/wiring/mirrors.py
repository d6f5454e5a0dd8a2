"""The assistants at the provider, where its protocol wants them there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.assistant.mirror import Mirror
from server.settings import Settings
from server.wiring.engines import connect_provider


@asynccontextmanager
async def open_mirror(settings: Settings) -> AsyncIterator[Mirror | None]:
    """None where the engine needs no objects at the provider."""
    if settings.engine == "threads":
        async with connect_provider(settings) as client:
            yield Mirror(client, settings.model)
    else:
        yield None
