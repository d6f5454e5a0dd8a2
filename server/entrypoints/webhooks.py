"""What providers of phone channels post to us: translate, call, translate back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.channels.twilio import Webhook
from server.entrypoints.answers import refusal
from server.entrypoints.bodies import body_of
from server.errors import Refused, ServerError, Unavailable
from server.wiring.server import Server
from server.wiring.twilio import STATUS, TEXTS

logger = structlog.get_logger()

MOST_BYTES = 64 * 1024
# Twilio waits for fifteen.
ANSWER_SECONDS = 10
# We have nothing to say yet: the reply is sent when it is there.
NOTHING_YET = '<?xml version="1.0" encoding="UTF-8"?><Response/>'

Take: TypeAlias = Callable[[str, Mapping[str, str], bytes], Awaitable[Response]]


def routes(server: Server) -> Sequence[Route]:
    """None where no provider is set up."""
    if server.twilio is None:
        return ()
    webhook = server.twilio.webhook
    return (
        Route(TEXTS, partial(posted, partial(take_text, server, webhook)), methods=["POST"]),
        Route(STATUS, partial(posted, partial(take_status, server, webhook)), methods=["POST"]),
    )


async def take_text(server: Server, webhook: Webhook, target: str, headers: Mapping[str, str], body: bytes) -> Response:
    await server.door.take(webhook.text(target, headers, body))
    return Response(NOTHING_YET, media_type="text/xml")


async def take_status(
    server: Server, webhook: Webhook, target: str, headers: Mapping[str, str], body: bytes
) -> Response:
    told = webhook.delivery(target, headers, body)
    if told is not None:
        await server.reports.take(told.channel, told.provider_id, told.status, told.code, number=told.number)
    return Response(status_code=204)


async def posted(take: Take, request: Request) -> Response:
    """Trouble of ours is a 503: the provider comes again."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            body = await body_of(request, MOST_BYTES)
            return await take(target_of(request), headers_of(request), body)
    except Refused as error:
        logger.info("webhook_refused", path=request.url.path, code=error.code)
        return refusal(error)
    except (ServerError, TimeoutError) as error:
        logger.warning("webhook_failed", path=request.url.path, code=getattr(error, "code", "timeout"))
        return refusal(Unavailable("Something is wrong here. Please come again.", retry_after=1))


def target_of(request: Request) -> str:
    """Path and query as they came."""
    query = request.scope["query_string"].decode("latin-1")
    return request.url.path + (f"?{query}" if query else "")


def headers_of(request: Request) -> Mapping[str, str]:
    """Of what comes twice, all together: nobody who signs does that."""
    return {name: ",".join(request.headers.getlist(name)) for name in request.headers}
