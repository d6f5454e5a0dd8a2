"""`POST /api/chat`: one message in, its answer out, over the same inbox, turns and log as the sockets."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import Route

from server.entrypoints.chat_api.endpoint import ChatEndpoint
from server.wiring.server import Server

PATH = "/api/chat"


def routes(server: Server) -> Sequence[Route]:
    """None in a process that people do not talk to."""
    if not server.roles.sockets:
        return ()
    return (Route(PATH, ChatEndpoint(server), methods=["POST", "OPTIONS"]),)
