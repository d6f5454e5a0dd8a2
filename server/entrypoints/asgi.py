"""The application as Starlette sees it: the routes, and what they answer about the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from server.entrypoints import chat_api, conversations, described, event_grid, files, nodes, schemas, webhooks
from server.entrypoints.answers import answer, refusal
from server.entrypoints.schemas import request_id
from server.entrypoints.sockets import NoSocket, Socket
from server.errors import ServerError, Unavailable
from server.wiring.server import Server

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
        return answered(server, http, scope, receive, send)

    return app


async def answered(server: Server, http: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """A process that ends in a hurry still tells whoever waits."""
    try:
        await http(scope, receive, send)
    except asyncio.CancelledError:
        if not server.draining.is_set():
            raise
        with suppress(RuntimeError):
            await refusal(Unavailable("This server was stopped; try again.", code="draining"))(scope, receive, send)


def http_app(server: Server) -> Starlette:
    routes = [
        Route("/healthz", alive),
        Route("/readyz", partial(ready, server)),
        Route("/metrics", partial(figures, server)),
        *(for_people(server) if server.roles.sockets else ()),
        *nodes.routes(server),
    ]
    if server.roles.sockets:
        routes.append(Route(described.OPENAPI, partial(document, described.openapi(routes))))
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: http_error, ClientDisconnect: nobody_hears, Exception: crashed},
    )
    # A redirect would lead where the Host header says.
    app.router.redirect_slashes = False
    return app


def for_people(server: Server) -> Sequence[Route]:
    return (
        Route("/", partial(health, server)),
        *chat_api.routes(server),
        *conversations.routes(server),
        *webhooks.routes(server),
        *event_grid.routes(server),
        *files.routes(server.shelf.files, server.shelf.links),
        Route("/asyncapi.json", partial(document, described.asyncapi(server.settings.stage))),
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


async def nobody_hears(_request: Request, _error: Exception) -> Response:
    """The client went away in the middle of its request."""
    return Response(status_code=400)


async def crashed(_request: Request, error: Exception) -> Response:
    """Its path stays out of the log: numbers and names of files are in paths."""
    identifier = request_id()
    logger.error("request_crashed", request_id=identifier, exc_info=error)
    return answer(schemas.error("internal", "Something went wrong here.", identifier), 500)
