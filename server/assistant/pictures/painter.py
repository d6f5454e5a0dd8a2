"""Pictures by OpenAI's images API."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import aiohttp
import httpx2
import msgspec
import openai
import structlog

from server.assistant.client import CONNECT_SECONDS
from server.assistant.faults import provider_errors
from server.errors import InDoubt, ProviderFailed, Unavailable

logger = structlog.get_logger()

Quality: TypeAlias = Literal["auto", "low", "medium", "high", "xhigh", "max"]

PAUSES = (1.0, 3.0)
LONGEST_PAUSE = 20.0
BUSY = "provider_busy"
# By the names of the transport: those of the SDK do not tell a connection that broke later from one that never was.
NEVER_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
SORRY = "No picture can be made at the moment; it may work later."
NOT_AGAIN = "It is not tried again by itself; ask again later if you want it."
LOST = f"No picture came, though one may have been made. {NOT_AGAIN}"
REFUSALS = {"content_policy_violation", "image_content_policy_violation", "moderation_blocked"}
REFUSED = "The provider's rules for pictures do not allow this one, so it was not made. Another idea may be welcome."


class Painted(msgspec.Struct):
    b64_json: bytes


class Answer(msgspec.Struct):
    data: list[Painted]


@dataclass(frozen=True, slots=True)
class Style:
    """What a picture of the same description depends on besides. `size` is WIDTHxHEIGHT or auto."""

    model: str
    size: str
    quality: Quality


class Painter:
    """`seconds`: how long one request may take."""

    def __init__(self, client: openai.AsyncOpenAI, style: Style, *, seconds: float) -> None:
        self.style = style
        self._client = client
        self._timeout = httpx2.Timeout(seconds, connect=CONNECT_SECONDS)

    async def paint(self, description: str, person: str) -> bytes:
        """In whatever format the provider likes.

        Raises `ProviderFailed`, with the code `picture_refused` where the provider does not want to, `Unavailable`
        where it surely was not painted, and `InDoubt` where it may be: that is paid for, and not tried again.
        """
        for pause in PAUSES:
            try:
                return await self._ask(description, person)
            except Unavailable as error:
                wait = max(pause, error.retry_after or 0)
                if error.code != BUSY or wait > LONGEST_PAUSE:
                    raise
            await asyncio.sleep(wait)
        return await self._ask(description, person)

    async def _ask(self, description: str, person: str) -> bytes:
        with picture_errors():
            answer = await self._client.images.with_raw_response.generate(
                prompt=description,
                model=self.style.model,
                size=self.style.size,
                quality=self.style.quality,
                n=1,
                # Its newer name, safety_identifier, is one that not every server of this API knows yet.
                user=hashlib.sha256(person.encode()).hexdigest(),
                timeout=self._timeout,
            )
        return await asyncio.to_thread(first_of, answer.content)


def first_of(body: bytes) -> bytes:
    try:
        return msgspec.json.decode(body, type=Answer).data[0].b64_json
    except (msgspec.MsgspecError, UnicodeError, IndexError):
        raise InDoubt("The provider's picture was garbled.", code="provider_garbled") from None


@contextmanager
def picture_errors() -> Iterator[None]:
    """In words about pictures; the provider's own quote the description, and go no further."""
    surely_not = False
    try:
        with provider_errors():
            try:
                yield
            except openai.BadRequestError as error:
                if error.code not in REFUSALS:
                    raise
                logger.info("picture_refused", code=error.code, request=error.request_id)
                raise ProviderFailed(REFUSED, code="picture_refused") from None
            except openai.APIError as error:
                surely_not = was_not_begun(error)
                raise
    except Unavailable as error:
        if not surely_not:
            raise InDoubt(LOST, code="picture_in_doubt") from None
        raise Unavailable(SORRY, code=error.code, retry_after=error.retry_after) from None
    except ProviderFailed as error:
        if error.code != "provider_refused":
            raise
        raise ProviderFailed("The provider could not make this picture.", code="picture_failed") from None


def was_not_begun(error: openai.APIError) -> bool:
    """Whether the provider said so, or was never reached."""
    match error:
        case openai.APIStatusError(status_code=429):
            return True
        case openai.APIStatusError(status_code=503):
            # Without this header it may be of a proxy that lost the answer.
            return "retry-after" in error.response.headers
        case _:
            return any(isinstance(cause, NEVER_REACHED) for cause in causes_of(error))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__
