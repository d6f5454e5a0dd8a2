"""What the SDK's errors, and the service's results, mean: surely not sent, never to be sent, or nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import structlog
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
)

from server.channels.azure_sms.events import said_no
from server.errors import InDoubt, ProviderFailed, ServerError, Unavailable

logger = structlog.get_logger()

REFUSED_US = {401, 403}
NOT_NOW = {429}
# A time-out of theirs, and a repeat of what is still under way.
UNDER_WAY = {408, 409}
DEFAULT_PAUSE = 1.0


@contextmanager
def azure_errors() -> Iterator[None]:
    """None of the SDK's errors is kept as a cause: they quote what was sent."""
    try:
        yield
    except TimeoutError:
        problem: ServerError = unknown()
    except AzureError as error:
        problem = meaning_of(error)
    else:
        return
    raise problem


def meaning_of(error: AzureError) -> ServerError:
    match error:
        case ClientAuthenticationError(status_code=None):
            logger.error("azure_sms_no_identity")
            return refused_us()
        case HttpResponseError(status_code=int(status)):
            return refusal(status, "", pause_of(error))
        case ServiceRequestTimeoutError():
            return unreachable()
        # Under this name the SDK also reports connections that broke after the request was written.
        case ServiceRequestError(inner_exception=aiohttp.ClientConnectorError()):
            return unreachable()
        case _:
            return unknown()


def refusal(status: int, said: str, pause: float | None = None) -> ServerError:
    """Of a request, or of its one recipient."""
    if said_no(said):
        return ProviderFailed("The person wants no texts from this number.", code="opted_out")
    if status in REFUSED_US:
        logger.error("azure_sms_refused_us", status=status)
        return refused_us()
    if status in NOT_NOW:
        return Unavailable("Azure wants fewer texts at a time.", code="provider_busy", retry_after=pause)
    if status in UNDER_WAY or not 400 <= status < 500:
        return unknown()
    return ProviderFailed("Azure does not send this text.", code=f"azure_{status}")


def pause_of(error: HttpResponseError) -> float:
    response: Any = error.response
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (AttributeError, KeyError, ValueError):
        return DEFAULT_PAUSE


def refused_us() -> Unavailable:
    """The operator can mend it."""
    return Unavailable("Azure does not let us send.", code="provider_key")


def unreachable() -> Unavailable:
    return Unavailable("Azure cannot be reached.", code="provider_unreachable")


def unknown() -> InDoubt:
    return InDoubt("Azure may have sent this text.", code="provider_in_doubt")
