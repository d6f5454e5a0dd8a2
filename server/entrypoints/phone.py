"""A phone and its provider in this terminal: to text a server that runs here, without an account."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.channels.twilio.pretend import posted_text, taken
from server.errors import ConfigError, Unavailable
from server.settings import LOOPBACK, Settings
from server.wiring.twilio import TEXTS

MESSAGES = "/2010-04-01/Accounts/{account}/Messages.json"
HOW = "TWILIO_API_URL=http://127.0.0.1:8010 PUBLIC_URL=http://127.0.0.1:8000, and any account, token and number"
# After the first message of a reply, for the others.
MORE_SECONDS = 3.0
POST_SECONDS = 15.0
# Who waits for longer is told that some texts have no answer.
QUIET_SECONDS = 15.0
UNANSWERED = "A number that may not write, or wrote STOP, is not answered."


class Phone:
    """What it is sent, in order."""

    def __init__(self, account: str) -> None:
        self._account = account
        self.messages: asyncio.Queue[Mapping[str, str]] = asyncio.Queue()

    async def take(self, request: Request) -> Response:
        asked = {name: "\n".join(values) for name, values in parse_qs((await request.body()).decode()).items()}
        self.messages.put_nowait(asked)
        return JSONResponse(taken(self._account, asked), 201)

    async def list(self, _request: Request) -> Response:
        """A phone that answers every send leaves no doubt to be asked about."""
        return JSONResponse({"messages": [], "page": 0, "page_size": 50, "next_page_uri": None})

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route(MESSAGES, self.take, methods=["POST"]), Route(MESSAGES, self.list, methods=["GET"])]
        )


def text(settings: Settings, channel: str, sender: str, messages: Sequence[str]) -> None:
    """Send them, and print what comes back."""
    asyncio.run(texting(settings, channel, sender, messages))


async def texting(settings: Settings, channel: str, sender: str, messages: Sequence[str]) -> None:
    check(settings, channel)
    phone = Phone(settings.twilio_account_sid)
    async with listening(phone.app(), settings.twilio_api_url, "TWILIO_API_URL"):
        for words in messages:
            await send(settings, channel, sender, words)
        await show_replies(phone.messages, settings)


async def show_replies(messages: asyncio.Queue[Mapping[str, str]], settings: Settings) -> None:
    message = await first(messages, settings.response_timeout_in_seconds + settings.text_pause_seconds)
    if message is None:
        raise Unavailable(f"Nothing came back. {UNANSWERED}")
    while message is not None:
        print(message.get("Body", ""), *filter(None, [message.get("MediaUrl")]), sep="\n")
        message = await heard(messages, MORE_SECONDS)


async def first(
    messages: asyncio.Queue[Mapping[str, str]], seconds: float, quiet: float = QUIET_SECONDS
) -> Mapping[str, str] | None:
    if (message := await heard(messages, min(quiet, seconds))) is not None or seconds <= quiet:
        return message
    print(f"Nothing yet; Ctrl-C ends the waiting. {UNANSWERED}", file=sys.stderr)
    return await heard(messages, seconds - quiet)


async def heard(messages: asyncio.Queue[Mapping[str, str]], seconds: float) -> Mapping[str, str] | None:
    try:
        return await asyncio.wait_for(messages.get(), seconds)
    except TimeoutError:
        return None


def check(settings: Settings, channel: str) -> None:
    if not settings.uses_twilio or urlsplit(settings.twilio_api_url).hostname not in LOOPBACK:
        raise ConfigError(f"This plays Twilio on this machine; give the server and this command the same {HOW}.")
    if not number_of(settings, channel):
        missing = "TWILIO_WHATSAPP_NUMBER" if channel == "whatsapp" else "TWILIO_PHONE_NUMBER"
        raise ConfigError(f"{missing} is missing; it is the number that you write to on this channel.")


def number_of(settings: Settings, channel: str) -> str:
    return settings.twilio_whatsapp_number if channel == "whatsapp" else settings.twilio_phone_number


async def send(settings: Settings, channel: str, sender: str, words: str) -> None:
    """Signed for PUBLIC_URL, posted to the server here."""
    body, headers = posted_text(
        settings.public_url + TEXTS,
        settings.twilio_account_sid,
        settings.twilio_auth_token.get_secret_value(),
        channel=channel,
        sender=sender,
        to=number_of(settings, channel),
        text=words,
    )
    status = await post(settings, TEXTS, body, headers)
    if status == 403:
        raise ConfigError("The server did not know the signature; give both the same TWILIO_ and PUBLIC_URL settings.")
    check_taken(status)


async def post(settings: Settings, path: str, body: bytes, headers: Mapping[str, str]) -> int:
    """To the server here; the status of its answer."""
    here = f"http://{settings.host}:{settings.port}"
    try:
        async with httpx2.AsyncClient(timeout=POST_SECONDS) as http:
            return (await http.post(here + path, content=body, headers=dict(headers))).status_code
    except httpx2.HTTPError as error:
        raise Unavailable(f"No server answers at {here}; start it with `make run`.") from error


def check_taken(status: int) -> None:
    if status != 200:
        raise Unavailable(f"The server answered {status}; its log says why.")


@asynccontextmanager
async def listening(app: Starlette, url: str, setting: str) -> AsyncIterator[None]:
    """Raises `ConfigError` where the port cannot be had."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    config.load()
    parts = urlsplit(url)

    def protocol() -> asyncio.Protocol:
        made: asyncio.Protocol = config.http_protocol_class(config, uvicorn.server.ServerState(), {})  # type: ignore[call-arg]
        return made

    try:
        server = await asyncio.get_running_loop().create_server(protocol, parts.hostname, parts.port or 80)
    except OSError as error:
        raise ConfigError(
            f"{setting}: {url} cannot be listened on; let another `text` end first, or give both another."
        ) from error
    try:
        yield
    finally:
        server.close()
