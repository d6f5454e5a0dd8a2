"""The application as Starlette sees it: the routes, and what they answer about the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from server.entrypoints import conversations, nodes, schemas
from server.entrypoints.answers import answer
from server.entrypoints.schemas import request_id
from server.entrypoints.sockets import NoSocket, Socket
from server.errors import ServerError
from server.wiring import Server

logger = structlog.get_logger()

MOST_COUNTED = 10_000


def build_app(server: Server) -> ASGIApp:
    """Sockets go past Starlette's middleware and router: each layer would stay on the stack as long as the socket."""
    socket = Socket(server)
    paths = ("/ws", f"/{server.settings.stage}") if server.roles.sockets else ()
    sockets: dict[str, ASGIApp] = dict.fromkeys(paths, socket)
    elsewhere, http = NoSocket(), http_app(server)

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket":
            return sockets.get(scope["path"], elsewhere)(scope, receive, send)
        return http(scope, receive, send)

    return app


def http_app(server: Server) -> Starlette:
    return Starlette(
        routes=[
            Route("/", partial(health, server)),
            Route("/healthz", alive),
            Route("/readyz", partial(ready, server)),
            Route("/metrics", partial(figures, server)),
            Route("/api/conversations/{conversation_id}", partial(conversations.delete, server), methods=["DELETE"]),
            Route("/asyncapi.json", partial(document, schemas.asyncapi(server.settings.stage))),
            Route("/openapi.json", partial(document, schemas.openapi())),
            *nodes.routes(server),
        ],
        exception_handlers={HTTPException: http_error, Exception: crashed},
    )


async def health(server: Server, _request: Request) -> Response:
    return answer(schemas.Health("ok", server.model, server.assistant, len(server.hub)))


async def alive(_request: Request) -> Response:
    return answer(schemas.Alive("ok"))


async def ready(server: Server, _request: Request) -> Response:
    """Asks the store; a server that cannot reach it should get no new clients."""
    if server.draining.is_set():
        return answer(schemas.Ready("draining", {}), 503)
    try:
        async with asyncio.timeout(5):
            await server.log.waiting(1)
    except (ServerError, TimeoutError):
        return answer(schemas.Ready("unavailable", {"store": "unavailable"}), 503)
    return answer(schemas.Ready("ok", {"store": "ok"}))


async def figures(server: Server, _request: Request) -> Response:
    server.hub.measure()
    server.metrics.waiting.set(len(await server.log.waiting(MOST_COUNTED)))
    return Response(server.metrics.text(), media_type="text/plain; version=0.0.4")


async def document(content: bytes, _request: Request) -> Response:
    return Response(content, media_type="application/json")


async def http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  Starlette looks handlers up by type.
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return answer(schemas.error(code, error.detail, request_id()), error.status_code, error.headers)


async def crashed(request: Request, error: Exception) -> Response:
    identifier = request_id()
    logger.error("request_crashed", request_id=identifier, path=request.url.path, exc_info=error)
    return answer(schemas.error("internal", "Something went wrong here.", identifier), 500)
