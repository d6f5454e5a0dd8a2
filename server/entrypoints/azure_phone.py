"""A phone and all of Azure in this terminal: to text a server that runs here, without an account."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.channels.azure_sms.pretend import delivered_text, taken
from server.channels.azure_sms.sender import parse_connection_string
from server.entrypoints.event_grid import PATH, SECRET
from server.entrypoints.phone import check_taken, listening, post, show_replies
from server.errors import ConfigError
from server.settings import LOOPBACK, Settings

CONNECTION = "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING"
HOW = f"{CONNECTION}='endpoint=http://127.0.0.1:8011;accesskey=dHJ5' EVENT_GRID_SECRET=try PHONE_NUMBER=+15005550006"


class AzurePhone:
    """What it is sent, in order."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()

    async def take(self, request: Request) -> Response:
        asked = await request.json()
        self.messages.put_nowait({"Body": asked["message"]})
        return JSONResponse(taken(asked), 202)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/sms", self.take, methods=["POST"])])


def text(settings: Settings, sender: str, messages: Sequence[str]) -> None:
    """Send them, and print what comes back."""
    asyncio.run(texting(settings, sender, messages))


async def texting(settings: Settings, sender: str, messages: Sequence[str]) -> None:
    phone = AzurePhone()
    async with listening(phone.app(), address_of(settings), CONNECTION):
        for words in messages:
            await send(settings, sender, words)
        await show_replies(phone.messages, settings)


async def send(settings: Settings, sender: str, words: str) -> None:
    """With the secret that Event Grid would send along, to the server here."""
    headers = {"content-type": "application/json", SECRET: settings.event_grid_secret.get_secret_value()}
    status = await post(settings, PATH, delivered_text(sender, settings.phone_number, words), headers)
    if status in {401, 403}:
        raise ConfigError("The server did not know the secret; give both the same EVENT_GRID_SECRET.")
    check_taken(status)


def address_of(settings: Settings) -> str:
    connection = settings.azure_communication_service_connection_string.get_secret_value()
    address = parse_connection_string(connection)[0] if connection else ""
    if urlsplit(address).hostname not in LOOPBACK:
        raise ConfigError(f"This plays Azure on this machine; give the server and this command the same {HOW}.")
    return address
