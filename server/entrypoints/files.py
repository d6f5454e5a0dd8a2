"""Files that this server serves itself, to whoever has a link that is in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from server.auth.links import Links
from server.entrypoints.answers import refusal
from server.errors import ServerError
from server.model import disposition
from server.ports import ServedFiles

logger = structlog.get_logger()

# Who reads slower than this would keep a connection for ever.
SEND_SECONDS = 120


class Bounded(StreamingResponse):
    """Broken off after `seconds`; uvicorn closes the connection of an answer without its end."""

    seconds: float = SEND_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            logger.info("file_not_read")


def routes(files: ServedFiles, links: Links | None) -> Sequence[Route]:
    """None where people fetch them elsewhere."""
    return [] if links is None else [Route("/files/{key:path}", partial(show, files, links))]


async def show(files: ServedFiles, links: Links, request: Request) -> Response:
    """HEAD too. What is not theirs to see is never even looked for."""
    key, query = request.path_params["key"], request.query_params
    try:
        seconds = links.check(key, query.get("until", ""), query.get("sig", ""))
        content_type, size, pieces = await files.open(key)
    except ServerError as error:
        answered = refusal(error)
        answered.headers["cache-control"] = "no-store"
        return answered
    headers = headers_of(content_type, size, seconds)
    return Response(headers=headers) if request.method == "HEAD" else Bounded(pieces, headers=headers)


def headers_of(content_type: str, size: int, seconds: int) -> Mapping[str, str]:
    return {
        "content-type": content_type,
        "content-length": str(size),
        "content-disposition": disposition(content_type),
        "cache-control": f"private, max-age={seconds}, immutable",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "cross-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
