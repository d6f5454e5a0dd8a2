"""Texts out through Azure Communication Services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from azure.communication.sms.aio import SmsClient
from azure.core.credentials import AzureKeyCredential

from server.channels.azure_sms.faults import azure_errors, refusal, unknown
from server.channels.azure_sms.repeats import REMEMBERED_MS, Repeatable, RepeatPolicy, repeatable
from server.errors import ConfigError, InDoubt, ProviderFailed, Unavailable
from server.model import Doubt, Piece
from server.model.splitter import with_links

# From a text, and links to the pictures that go with it.
Split: TypeAlias = Callable[[str, Sequence[str]], Sequence[Piece]]

# Before the service forgets a request, with time for the clocks to differ and for an answer.
ASKED_AGAIN_MS = REMEMBERED_MS - 60_000
TOO_LATE = 412
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class AzureSender:
    """Implements the port Sender. `number` is the sender's, in E.164; `split` makes texts of a reply."""

    def __init__(
        self,
        client: SmsClient,
        number: str,
        split: Split,
        *,
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._number = number
        self._split = split
        self._seconds = seconds
        self._clock = clock

    def parts(self, text: str, links: Sequence[str]) -> Sequence[Piece]:
        return self._split(text, links)

    def stands_for_rest(self, *, began_at: int, asked_at: int) -> bool:  # noqa: ARG002
        return False

    async def send(
        self,
        number: str,
        text: str,
        media: Sequence[str],
        *,
        key: str,
        began_at: int,
        asked_at: int,  # noqa: ARG002
    ) -> str:
        """Pictures go as links. The service has no word for how long a text is worth sending."""
        return await self._send(number, with_links(text, media), Repeatable(key, began_at))

    async def settle(self, number: str, text: str, media: Sequence[str], doubt: Doubt) -> str | None:
        """Asks for the same again: the service then tells what came of it, or does it now, but never both."""
        if self._clock() * 1000 - doubt.began_at > ASKED_AGAIN_MS:
            raise forgotten()
        try:
            return await self._send(number, with_links(text, media), Repeatable(doubt.key, doubt.began_at))
        except InDoubt as error:
            raise Unavailable(error.message, code=error.code) from None

    async def _send(self, number: str, text: str, request: Repeatable) -> str:
        with azure_errors(), repeatable(request):
            async with asyncio.timeout(self._seconds):
                results: Any = await self._client.send(
                    self._number, number, text, enable_delivery_report=True, tag=request.id
                )
        return message_id_of(results)


def message_id_of(results: Sequence[Any]) -> str:
    """The request was accepted; whether its one recipient was, is said apart."""
    if len(results) != 1:
        raise unknown()
    [one] = results
    if one.successful and one.message_id:
        return str(one.message_id)
    if one.http_status_code == TOO_LATE:
        raise forgotten()
    raise refusal(one.http_status_code or 500, one.error_message or "")


def forgotten() -> ProviderFailed:
    """Rather lost than sent twice."""
    return ProviderFailed("Azure no longer knows whether it sent this text.", code="provider_in_doubt")


@asynccontextmanager
async def open_sender(
    *, connection_string: str, endpoint: str, number: str, split: Split, seconds: float
) -> AsyncIterator[AzureSender]:
    """By connection string, or else as the identity that this machine has at `endpoint`. `seconds`: for one text."""
    async with AsyncExitStack() as stack:
        if connection_string:
            address, credential = parse_connection_string(connection_string)
        else:
            address, credential = endpoint, await stack.enter_async_context(machine_identity())
        client = SmsClient(
            address,
            credential,
            per_call_policies=[RepeatPolicy()],
            # Whether to ask again is the outbox' to decide.
            retry_total=0,
            permit_redirects=False,
            connection_timeout=min(5.0, seconds),
            read_timeout=seconds,
        )
        yield AzureSender(await stack.enter_async_context(client), number, split, seconds=seconds)


def machine_identity() -> Any:
    # It looks at a good part of Azure's libraries: only who has no connection string waits for them.
    from azure.identity.aio import DefaultAzureCredential

    return DefaultAzureCredential()


def parse_connection_string(text: str) -> tuple[str, AzureKeyCredential]:
    """The SDK's own way drops the scheme, and with it servers on loopback. Raises `ConfigError`, without the key."""
    words = dict(part.partition("=")[::2] for part in text.split(";") if part)
    fields = {name.strip().lower(): value for name, value in words.items()}
    address, key = fields.get("endpoint", "").rstrip("/"), fields.get("accesskey", "")
    if not is_private(address) or not key:
        raise ConfigError(
            "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING must look like endpoint=https://...;accesskey=... (http only"
            " on loopback); copy it from the resource's page `Keys` at Azure"
        )
    return address, AzureKeyCredential(key)


def is_private(address: str) -> bool:
    """Nobody on the way there reads what is texted."""
    try:
        url = urlsplit(address)
    except ValueError:
        return False
    return (url.scheme == "https" and bool(url.hostname)) or (url.scheme == "http" and url.hostname in LOOPBACK)
