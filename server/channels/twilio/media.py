"""Pictures that people sent, fetched from where Twilio keeps them."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

import aiohttp

from server.errors import BadInput, Unavailable

# Only the first is told who we are; it leads on to the others.
API = "api.twilio.com"
# Nothing but a name, lest it be read as another by whoever connects.
STORE = re.compile(r"([a-z0-9-]+\.)+twiliocdn\.com")
MOST_BYTES = 16 * 1024 * 1024
MOST_HOPS = 3
FETCH_SECONDS = 5.0
HOPS = {301, 302, 303, 307, 308}
# A text may be quicker than its picture: 404 is "not yet", too.
NOT_NOW = {404, 408, 425, 429}


class Media:
    """`api`: whose address stands for Twilio's own, for tests."""

    def __init__(self, account: str, token: str, api: str) -> None:
        self._credentials = aiohttp.encode_basic_auth(account, token)
        self._api = urlsplit(api)

    async def fetch(self, url: str) -> bytes:
        """Raises `BadInput` for what is not at Twilio, or too large; `Unavailable` for what may be had later."""
        try:
            async with aiohttp.ClientSession() as http, asyncio.timeout(FETCH_SECONDS):
                return await self._fetch(http, url, MOST_HOPS)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable("A picture cannot be fetched from Twilio.", code="no_media") from error

    async def _fetch(self, http: aiohttp.ClientSession, url: str, hops: int) -> bytes:
        async with http.get(url, headers=self._headers(url), allow_redirects=False) as answered:
            if answered.status in HOPS and hops:
                return await self._fetch(http, answered.headers.get("Location", ""), hops - 1)
            if answered.status >= 500 or answered.status in NOT_NOW:
                raise Unavailable("Twilio does not give the picture now.", code="no_media")
            if answered.status != 200:
                raise BadInput("Twilio does not give the picture.", code="no_media")
            return await whole(answered)

    def _headers(self, url: str) -> dict[str, str]:
        """Raises `BadInput` for a place that is not Twilio's."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise BadInput("The picture has no address.", code="bad_media") from None
        if (parts.scheme, parts.netloc) in {("https", API), (self._api.scheme, self._api.netloc)}:
            return {"Authorization": self._credentials}
        if parts.scheme == "https" and STORE.fullmatch(parts.netloc):
            return {}
        raise BadInput("The picture is not at Twilio.", code="bad_media")


async def whole(answered: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in answered.content.iter_chunked(64 * 1024):
        content += piece
        if len(content) > MOST_BYTES:
            raise BadInput(f"The picture is larger than {MOST_BYTES} bytes.", code="media_too_large")
    return bytes(content)
