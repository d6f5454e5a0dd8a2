"""The composition root: settings in, a running server out. Who opens, closes."""

from __future__ import annotations

from server.wiring.auth import cognito_token, local_pool
from server.wiring.mirrors import open_mirror
from server.wiring.server import EVERY_ROLE, Roles, Server, open_server
from server.wiring.stores import open_office
from server.wiring.tools import unknown_tools

__all__ = [
    "EVERY_ROLE",
    "Roles",
    "Server",
    "cognito_token",
    "local_pool",
    "open_mirror",
    "open_office",
    "open_server",
    "unknown_tools",
]
