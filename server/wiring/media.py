"""Pictures that came with a text, to files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from server.channels.twilio.media import Media
from server.errors import Unavailable
from server.model import picture_key
from server.ports import Album
from server.settings import Settings
from server.wiring.files import Shelf

logger = structlog.get_logger()

# Each is in memory as a whole. One text brings up to ten.
AT_ONCE = 16
# The words of a text wait for its pictures, and the provider for both.
KEEP_SECONDS = 7.0
# Before what may pass is tried again.
PAUSES = (0.2, 0.5, 1.0, 2.0)


class KeptAlbum:
    """Implements the port Album: what people sent is redrawn, and kept. `seconds`: for all tries, with the `pauses`."""

    def __init__(
        self, media: Media, shelf: Shelf, *, seconds: float = KEEP_SECONDS, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._media = media
        self._shelf = shelf
        self._seconds = seconds
        self._pauses = pauses
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def keep(self, conversation_id: str, url: str) -> str:
        key = picture_key(conversation_id, url)
        try:
            async with asyncio.timeout(self._seconds):
                await self._keep(key, url)
        except TimeoutError:
            raise Unavailable("The picture cannot be had in time.", code="no_media") from None
        return key

    async def _keep(self, key: str, url: str) -> None:
        for pause in self._pauses:
            try:
                await self._try(key, url)
            except Unavailable as error:
                logger.info("picture_delayed", code=error.code, retry_in=pause)
                await asyncio.sleep(pause)
            else:
                return
        await self._try(key, url)

    async def _try(self, key: str, url: str) -> None:
        async with self._turns:
            if not await self._shelf.files.holds(key):
                await self._shelf.files.put(key, await self._shelf.redraw(await self._media.fetch(url)))


def make_album(settings: Settings, shelf: Shelf) -> Album | None:
    """None where nobody sends pictures."""
    if not settings.uses_twilio:
        return None
    token = settings.twilio_auth_token.get_secret_value()
    return KeptAlbum(Media(settings.twilio_account_sid, token, settings.twilio_api_url), shelf)
