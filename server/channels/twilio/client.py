"""Twilio's REST API through its own library, and what goes wrong there in our words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import structlog
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from server.errors import InDoubt, ProviderFailed, Unavailable

logger = structlog.get_logger()

PUBLIC_API = "https://api.twilio.com"
ANSWER_SECONDS = 8.0
# The person told Twilio to stop; some numbers of ours may not write to them.
OPTED_OUT = 21610
REFUSED_US = {401, 403}
TOO_MANY = 429
# Twilio's own word for it; a 503 without it may be of a proxy that lost the answer.
NOT_NOW = 20503


class Wire(AsyncTwilioHttpClient):  # type: ignore[misc]  # It says nothing of its types.
    """The library's own client, with a time-out, towards `api`; it logs nothing, for URLs hold numbers."""

    def __init__(self, account: str, token: str, api: str, answer_seconds: float) -> None:
        super().__init__(pool_connections=False)
        self._api = api
        self._answer_seconds = answer_seconds
        headers = {"Authorization": aiohttp.encode_basic_auth(account, token)}
        self.session = aiohttp.ClientSession(headers=headers)

    async def request(self, method: str, url: str, **options: Any) -> Any:
        # The library would name us in a way that aiohttp gives up.
        ours = {"auth": None, "timeout": self._answer_seconds}
        return await super().request(method, self._api + url.removeprefix(PUBLIC_API), **{**options, **ours})

    def log_request(self, kwargs: Any) -> None: ...

    def log_response(self, status_code: int, response: Any) -> None: ...


@asynccontextmanager
async def open_client(
    account: str, token: str, api: str = PUBLIC_API, *, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[Client]:
    async with Wire(account, token, api, answer_seconds) as wire:
        # An edge or region of the environment would lead it elsewhere.
        yield Client(account, token, http_client=wire, environment={"TWILIO_EDGE": "", "TWILIO_REGION": ""})


@contextmanager
def sending() -> Iterator[None]:
    """Raises `Unavailable` where nothing was sent, `ProviderFailed` where nothing ever will be, else `InDoubt`."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unavailable("Twilio cannot be reached.", code="twilio_unreachable") from error
    except TwilioRestException as error:
        raise refusal(error) from error
    except (aiohttp.ClientError, TimeoutError, OSError, TwilioException, ValueError) as error:
        raise InDoubt("Twilio did not say whether it took the message.", code="twilio_silent") from error


def refusal(error: TwilioRestException) -> Unavailable | ProviderFailed | InDoubt:
    if error.status in REFUSED_US:
        # The operator can mend it.
        logger.error("twilio_refused_us", status=error.status)
        return Unavailable("Twilio does not let us send.", code="provider_key")
    if error.status == TOO_MANY or error.code == NOT_NOW:
        return Unavailable("Twilio wants us to come back later.", code=f"twilio_{error.code or error.status}")
    if error.status >= 500:
        return InDoubt("Twilio failed, and may have taken the message.", code=f"twilio_{error.code or error.status}")
    code = "opted_out" if error.code == OPTED_OUT else f"twilio_{error.code or error.status}"
    return ProviderFailed("Twilio does not take this message.", code=code)


@contextmanager
def asking() -> Iterator[None]:
    """Raises `Unavailable` for whatever keeps Twilio from answering a question."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, TwilioException, ValueError) as error:
        raise Unavailable("Twilio does not say.", code="twilio_silent") from error
