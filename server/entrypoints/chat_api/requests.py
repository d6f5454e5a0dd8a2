"""A request's head and body, within bounds of size and time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from server.entrypoints.bodies import body_of, too_long
from server.entrypoints.gate import header
from server.errors import BadInput

# What a character of the message may take in JSON, and what else may stand around it.
BYTES_ESCAPED = 6
ROOM = 4 * 1024
STREAM = "text/event-stream"


class ClientLeft(Exception):
    """In the middle of its request."""


def check_type(scope: Scope) -> None:
    """Raises `BadInput`. A request that does not say what it is, is taken for JSON."""
    media = (header(scope, b"content-type") or "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise BadInput("Send JSON, with Content-Type: application/json.", code="bad_content_type")
    if (header(scope, b"content-encoding") or "identity").strip().lower() != "identity":
        raise BadInput("Send the JSON as it is, without a Content-Encoding.", code="bad_content_type")


def wants_stream(scope: Scope) -> bool:
    return STREAM in (header(scope, b"accept") or "").lower()


async def read_body(scope: Scope, receive: Receive, *, message_bytes: int, seconds: float) -> bytes:
    """Raises `BadInput`, and `ClientLeft`."""
    most = message_bytes * BYTES_ESCAPED + ROOM
    length = header(scope, b"content-length") or "0"
    if not length.isdecimal() or int(length) > most:
        raise too_long(most)
    try:
        async with asyncio.timeout(seconds):
            return await body_of(Request(scope, receive), most)
    except ClientDisconnect:
        raise ClientLeft from None
    except TimeoutError:
        raise BadInput(f"The request did not come within {seconds:g} seconds.", code="slow_request") from None
