"""What a shop has in stock."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Annotated, Any, Self
from urllib.parse import quote

import httpx2
import structlog
from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from server.assistant.tools.tool import Given, tool
from server.errors import Unavailable
from server.model import Caller

logger = structlog.get_logger()

ATTEMPTS = 3
ATTEMPT_SECONDS = 2.5
PAUSE_SECONDS = 0.25
MOST_BYTES = 1024 * 1024

BOOKS: TypeAdapter[list[dict[str, JsonValue]]] = TypeAdapter(list[dict[str, JsonValue]])


class Inventory:
    """A shop: `GET <url>/books` answers a JSON array of books, whose `type` is their genre. Open it with `async with`.

    Asked again, up to three times, while it is slow, fails or cannot be reached.
    """

    def __init__(self, url: str, *, attempt_seconds: float = ATTEMPT_SECONDS) -> None:
        self._attempt_seconds = attempt_seconds
        self._url = f"{url}/books"
        # A proxy from the environment cannot reach our loopback. Unpacked on the way, a body would outgrow its limit.
        self._http = httpx2.AsyncClient(
            trust_env=url.startswith("https:"),
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def books(self, key: str) -> list[dict[str, JsonValue]]:
        """`key` is the same in every attempt at one call. Raises `Unavailable`."""
        for attempt in range(ATTEMPTS):
            if attempt > 0:
                await asyncio.sleep(PAUSE_SECONDS * attempt)
            try:
                async with asyncio.timeout(self._attempt_seconds):
                    return BOOKS.validate_json(await self._fetch(key))
            except (TimeoutError, httpx2.TransportError, Busy) as error:
                logger.warning("inventory_failed", kind=type(error).__name__, attempt=attempt + 1)
            except ValidationError:
                raise out_of_order("body") from None
        raise Unavailable("The inventory does not answer at the moment.")

    async def _fetch(self, key: str) -> bytes:
        body = bytearray()
        headers = {"Idempotency-Key": quote(key, safe="")}
        async with self._http.stream("GET", self._url, headers=headers) as response:
            if response.status_code == httpx2.codes.TOO_MANY_REQUESTS or response.is_server_error:
                raise Busy
            if response.status_code != httpx2.codes.OK:
                raise out_of_order(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise out_of_order("size")
        return bytes(body)


class Busy(Exception):
    """Another attempt may succeed."""


def out_of_order(what: str) -> Unavailable:
    logger.error("inventory_out_of_order", what=what)
    return Unavailable("The inventory is out of order.")


@tool()
async def get_inventory(
    caller: Caller,
    inventory: Given[Inventory],
    genre: Annotated[str | None, Field(description="only books of this genre; null: all")] = None,
) -> dict[str, Any]:
    """The books that the shop has, and all genres it has them in. Use it before you recommend or promise a book."""
    books = await inventory.books(caller.key)
    genres = sorted({str(book["type"]) for book in books if "type" in book})
    if genre is not None:
        books = [book for book in books if str(book.get("type", "")).casefold() == genre.strip().casefold()]
    return {"genres": genres, "books": books}
