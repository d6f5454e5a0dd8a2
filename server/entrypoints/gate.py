"""Who may open a socket: decided before the upgrade, so that a refusal is a plain HTTP answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from starlette.types import Scope

from server.auth.links import EXPIRED
from server.errors import (
    BadInput,
    Conflict,
    NotFound,
    ProviderFailed,
    ServerError,
    TooMany,
    Unauthorized,
    Unavailable,
)
from server.model import Principal
from server.settings import Settings
from server.wiring.server import Server

SUBPROTOCOL = "assistant.v1"
BEARER = "bearer."
# What the ids of requests begin with that wait for an answer among the sockets of their person.
WAITER = "w_"
BAD_INPUT = {
    "slow_request": 408,
    "message_too_long": 413,
    "request_too_long": 413,
    "bad_content_type": 415,
    "bad_body": 422,
}


def status_of(error: ServerError) -> int:
    match error:
        case BadInput():
            return BAD_INPUT.get(error.code, 400)
        case Unauthorized():
            return 401 if error.code == "no_token" else 403
        case NotFound():
            return 410 if error.code == EXPIRED else 404
        case Conflict() | TooMany(code="busy"):
            return 409
        case TooMany():
            return 429
        case ProviderFailed():
            return 502
        case Unavailable():
            return 503
        case _:
            return 400


async def admit(server: Server, scope: Scope) -> Principal:
    """Raises `Unauthorized` for a foreign origin, or a missing or bad token; `TooMany` above a limit of connections;
    `Unavailable` while the server ends, or nobody can say whether the token is good.
    """
    check_draining(server)
    check_origin(scope, server.settings)
    who = await verified(server, token_of(scope))
    check_limits(server, who.person)
    return who


def check_draining(server: Server) -> None:
    if server.draining.is_set():
        raise Unavailable("The server is about to stop; come back in a moment.", code="draining", retry_after=5)


async def identify(server: Server, scope: Scope) -> Principal:
    """Who asks over HTTP, where a token comes as a header only. Raises `Unauthorized`."""
    check_origin(scope, server.settings)
    return await verified(server, bearer_of(scope))


async def verified(server: Server, token: str | None) -> Principal:
    if token is None:
        raise Unauthorized(
            "No token. Send it as `Authorization: Bearer T`, as subprotocols `assistant.v1, bearer.T`, or as ?Auth=T.",
            code="no_token",
        )
    who = await server.verifier.verify(token)
    server.tenure.check(who)
    return who


def token_of(scope: Scope) -> str | None:
    """The first one found of the three places."""
    bearer = bearer_of(scope)
    if bearer is not None:
        return bearer
    for protocol in subprotocols(scope):
        if protocol.startswith(BEARER):
            return protocol.removeprefix(BEARER)
    return query(scope).get("Auth")


def bearer_of(scope: Scope) -> str | None:
    scheme, _, bearer = (header(scope, b"authorization") or "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else None


def header(scope: Scope, name: bytes) -> str | None:
    """The first of that name, which is in lower case."""
    for one, value in scope["headers"]:
        if one == name:
            text: str = value.decode("latin-1")
            return text
    return None


def query(scope: Scope) -> Mapping[str, str]:
    """What is named twice is what it was last."""
    text = scope["query_string"].decode("latin-1")
    return dict(parse_qsl(text, keep_blank_values=True)) if text else {}


def subprotocols(scope: Scope) -> Sequence[str]:
    offered: Sequence[str] = scope["subprotocols"]
    return offered


def check_origin(scope: Scope, settings: Settings) -> None:
    """Browsers say where a page came from; other clients say nothing, and are let through to the token."""
    origin = header(scope, b"origin")
    if origin is None or "*" in settings.allowed_origins or origin in settings.allowed_origins:
        return
    host = host_of(origin)
    if host and host in {header(scope, b"host"), urlsplit(settings.public_url).netloc}:
        return
    raise Unauthorized("Pages of this origin may not connect; ALLOWED_ORIGINS lists those that may.", code="bad_origin")


def host_of(origin: str) -> str:
    """Empty for what is no URL, or has none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


async def check_everywhere(server: Server, person: str) -> None:
    """Once a socket is registered: raises `TooMany` if that is one too many over all processes. After a crash, those
    that come back are not kept out by what the dead process held.
    """
    most, cluster = server.settings.connections_per_person, server.cluster
    if cluster is None or not most or sockets_among(await cluster.of(person)) <= most:
        return
    if sockets_among(await cluster.within_reach(person)) > most:
        raise too_many_of(most)


def check_limits(server: Server, person: str) -> None:
    most = server.settings.connections_per_person
    if most and sockets_among(one.id for one in server.hub.connections(person)) >= most:
        raise too_many_of(most)
    if len(server.hub) >= server.settings.connections:
        raise TooMany("The server is full; try again later.", code="too_many_connections", retry_after=30)


def sockets_among(connections: Iterable[str]) -> int:
    return sum(not one.startswith(WAITER) for one in connections)


def too_many_of(most: int) -> TooMany:
    return TooMany(f"You have {most} connections open; close one.", code="too_many_connections", retry_after=5)
