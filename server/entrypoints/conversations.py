"""Conversations over HTTP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from server.entrypoints.answers import refusal
from server.entrypoints.gate import identify
from server.errors import ServerError
from server.wiring import Server


async def delete(server: Server, request: Request) -> Response:
    """One's own, for good."""
    try:
        who = await identify(server, request.scope)
        await server.erasure.forget(who.person, request.path_params["conversation_id"])
    except ServerError as error:
        return refusal(error)
    return Response(status_code=204)
