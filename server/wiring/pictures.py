"""Who makes pictures."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from server.assistant.pictures import Allowance, Claims, Flights, Painter, Pictures, Style
from server.ports import Accounts
from server.settings import Settings
from server.wiring.engines import connect_provider
from server.wiring.files import Shelf

SILENT_SECONDS = 15.0


async def open_pictures(settings: Settings, shelf: Shelf, accounts: Accounts, stack: AsyncExitStack) -> Pictures | None:
    """None where nobody makes any: the embedded model, OPENAI_IMAGE_MODEL=none."""
    if not settings.image_model:
        return None
    client = await stack.enter_async_context(connect_provider(settings))
    seconds = settings.image_timeout_in_seconds
    style = Style(settings.image_model, settings.openai_image_size, settings.openai_image_quality)
    flights = Flights(await stack.enter_async_context(asyncio.TaskGroup()))
    stack.callback(flights.end)
    return Pictures(
        shelf.files,
        shelf.redraw,
        Painter(client, style, seconds=seconds),
        # One that died keeps nobody waiting for a whole picture's time.
        Claims(shelf.files, seconds=min(SILENT_SECONDS, seconds / 3)),
        flights,
        Allowance(accounts, settings.images_per_day),
        seconds=seconds,
        at_once=settings.images_at_once,
        for_phones=bool(settings.public_url),
    )
