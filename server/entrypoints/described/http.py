"""OpenAPI of the HTTP routes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from starlette.routing import Route

from server.channels import http_chat
from server.entrypoints.described.operations import OPERATIONS, SECURITY
from server.entrypoints.described.parts import Json
from server.entrypoints.described.release import REFERENCE, RELEASE
from server.entrypoints.schemas import (
    Alive,
    ErrorBody,
    EventsRefused,
    EventsTaken,
    Health,
    Ready,
    encode,
)
from server.entrypoints.shapes import ConversationList, ConversationShown, Deleted

OPENAPI = "/openapi.json"
SHOWN = (
    Health,
    Alive,
    Ready,
    ErrorBody,
    EventsTaken,
    EventsRefused,
    ConversationList,
    ConversationShown,
    Deleted,
    http_chat.ChatRequest,
    http_chat.ChatAnswer,
    *http_chat.EVENTS,
)


def openapi(routes: Iterable[Route]) -> bytes:
    """OpenAPI 3.1 of these routes, as far as they are for others than processes of ours, and of its own."""
    _, schemas = msgspec.json.schema_components(SHOWN, ref_template=REFERENCE)
    return encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Switchboard", "version": RELEASE},
            "paths": {**paths(routes), OPENAPI: OPERATIONS[OPENAPI]},
            "components": {"schemas": schemas, "securitySchemes": SECURITY},
        }
    )


def paths(routes: Iterable[Route]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for route in routes:
        for method, operation in OPERATIONS.get(route.path_format, {}).items():
            if method.upper() in (route.methods or ()):
                found.setdefault(route.path_format, {})[method] = operation
    return found
