"""What other processes of the cluster ask of this one."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.backends.peers import parcels
from server.delivery.cluster import Cluster
from server.entrypoints.answers import refusal
from server.entrypoints.bodies import body_of
from server.entrypoints.gate import bearer_of
from server.entrypoints.session import FRAME_BYTES
from server.errors import BadInput, ConnectionGone, ServerError, Unauthorized
from server.model import Frame
from server.wiring.server import Server

Handler: TypeAlias = Callable[[Server, Cluster, Request], Awaitable[Response]]

GONE = 410


def routes(server: Server) -> Sequence[Route]:
    """None where this process is not one of several."""
    cluster = server.cluster
    if cluster is None:
        return ()

    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(path, partial(trusted, server, cluster, handler), methods=[method])

    return (
        route(parcels.PUSHES, take, "POST"),
        route(parcels.PUSHES + "/{connection_id}", push, "POST"),
        route(parcels.REPLIES + "/{person:path}", replies, "GET"),
    )


async def trusted(server: Server, cluster: Cluster, handler: Handler, request: Request) -> Response:
    """Refused before the body is read."""
    secret = server.settings.cluster_secret.get_secret_value()
    if not hmac.compare_digest((bearer_of(request.scope) or "").encode(), secret.encode()):
        return refusal(Unauthorized("Only processes of this cluster may ask this."))
    return await handler(server, cluster, request)


async def take(server: Server, _cluster: Cluster, request: Request) -> Response:
    """In the order given. The answer names the sockets that are gone."""
    try:
        sent = parcels.read_parcels(await body_of(request, parcels.CALL_BYTES))
    except msgspec.MsgspecError as error:
        return refusal(BadInput(f"These are no parcels: {error}"))
    except BadInput as error:
        return refusal(error)
    gone: dict[tuple[str, str], None] = {}
    for parcel in sent:
        match parcel:
            case parcels.Look(conversation_id):
                server.worker.look_soon(conversation_id)
            case parcels.Missed(connection_id, conversation_id):
                server.hub.catch_up(connection_id, conversation_id)
            case parcels.Push(connection_id, person, attempt):
                try:
                    await server.hub.push(connection_id, parcel.frame(), attempt)
                except ConnectionGone:
                    gone[person, connection_id] = None
    return Response(parcels.encode(parcels.Gone(list(gone))), media_type="application/msgpack")


async def push(_server: Server, cluster: Cluster, request: Request) -> Response:
    """One frame as it is, whichever process holds the socket: API Gateway's contract."""
    try:
        frame = Frame(await body_of(request, FRAME_BYTES))
        await cluster.hand(request.path_params["connection_id"], frame)
    except ConnectionGone:
        return Response(status_code=GONE)
    except ServerError as error:
        return refusal(error)
    return Response()


async def replies(server: Server, cluster: Cluster, request: Request) -> Response:
    """From now on, what is said goes to sockets that were registered before this was asked."""
    person = request.path_params["person"]
    cluster.forget(person)
    said = list(server.router.under_way(person))
    return Response(parcels.encode(said), media_type="application/msgpack")
