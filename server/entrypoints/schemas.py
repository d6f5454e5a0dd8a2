"""The machine-readable descriptions of the wire, made of the types that the server itself parses with."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_args

import msgspec
from msgspec import Struct

from server.channels.websocket import frames

JSON = "application/json"
REFERENCE = "#/components/schemas/{name}"
HOW_TO_CONNECT = (
    "A token, as Authorization: Bearer T, the subprotocols `assistant.v1, bearer.T`, or ?Auth=T; the first one found."
)


class Health(Struct, frozen=True):
    """What is running here."""

    status: str
    model: str
    assistant: str
    connections: int


class Alive(Struct, frozen=True):
    """The process answers."""

    status: str


class Ready(Struct, frozen=True):
    """Whether new clients are welcome, and what each dependency says."""

    status: str
    dependencies: dict[str, str]


class ErrorDetail(Struct, frozen=True, rename="camel"):
    code: str
    message: str
    retryable: bool
    request_id: str


class ErrorBody(Struct, frozen=True):
    """Every refusal over HTTP."""

    error: ErrorDetail


encode = msgspec.json.Encoder().encode


def request_id() -> str:
    return f"r_{secrets.token_hex(8)}"


def error(code: str, message: str, identifier: str, *, retryable: bool = False) -> ErrorBody:
    return ErrorBody(ErrorDetail(code, message, retryable, identifier))


def asyncapi(stage: str) -> bytes:
    """AsyncAPI 3.0 of the socket."""
    incoming, outgoing = get_args(frames.ClientFrame), get_args(frames.ServerFrame)
    _, schemas = msgspec.json.schema_components((*incoming, *outgoing), ref_template=REFERENCE)
    channel = {
        "messages": {one.__name__: {"$ref": f"#/components/messages/{one.__name__}"} for one in incoming + outgoing}
    }
    return encode(
        {
            "asyncapi": "3.0.0",
            "info": {"title": "Switchboard socket", "version": release(), "description": HOW_TO_CONNECT},
            "channels": {
                "socket": {"address": "/ws", **channel},
                "stage": {"address": f"/{stage}", **channel},
            },
            "operations": {
                "receiveFromClient": operation("receive", incoming),
                "sendToClient": operation("send", outgoing),
            },
            "components": {
                "messages": {one.__name__: message(one) for one in incoming + outgoing},
                "schemas": schemas,
            },
        }
    )


def operation(action: str, types: Sequence[type[Struct]]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/socket"},
        "messages": [{"$ref": f"#/channels/socket/messages/{one.__name__}"} for one in types],
    }


def message(frame: type[Struct]) -> dict[str, Any]:
    return {
        "name": frame.__struct_config__.tag,
        "contentType": "application/json",
        "summary": inspect.getdoc(frame),
        "payload": {"$ref": REFERENCE.format(name=frame.__name__)},
    }


def openapi() -> bytes:
    """OpenAPI 3.1 of the HTTP routes."""
    _, schemas = msgspec.json.schema_components((Health, Alive, Ready, ErrorBody), ref_template=REFERENCE)
    return encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Switchboard", "version": release()},
            "paths": {
                "/": {"get": route("What is running here", {"200": Health})},
                "/healthz": {"get": route("Is the process alive?", {"200": Alive})},
                "/readyz": {"get": route("Is it ready for clients?", {"200": Ready, "503": Ready})},
                "/metrics": {"get": route("Figures, in Prometheus' text format", {"200": None}, "text/plain")},
                "/api/conversations/{conversationId}": {"delete": DELETE_CONVERSATION},
                "/asyncapi.json": {"get": route("The socket, described", {"200": None})},
                "/openapi.json": {"get": route("This", {"200": None})},
            },
            "components": {"schemas": schemas, "securitySchemes": {"token": BEARER}},
        }
    )


def route(summary: str, answers: dict[str, type[Struct] | None], media: str = JSON) -> dict[str, Any]:
    """What it answers, by status; `media` is the type of an answer that has none of ours."""
    answered = {status: response(kind, media) for status, kind in answers.items()}
    return {"summary": summary, "responses": {**answered, "default": response(ErrorBody, JSON)}}


def response(kind: type[Struct] | None, media: str) -> dict[str, Any]:
    if kind is None:
        return {"description": "A document.", "content": {media: {}}}
    schema = {"$ref": REFERENCE.format(name=kind.__name__)}
    return {"description": inspect.getdoc(kind), "content": {JSON: {"schema": schema}}}


PATH_ID = {"name": "conversationId", "in": "path", "required": True, "schema": {"type": "string"}}
BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
DELETE_CONVERSATION = {
    **route("Forget one of your conversations, and all that was said in it", {"401": ErrorBody, "404": ErrorBody}),
    "parameters": [PATH_ID],
    "security": [{"token": []}],
}
DELETE_CONVERSATION["responses"]["204"] = {"description": "It is gone."}


def release() -> str:
    try:
        return version("switchboard")
    except PackageNotFoundError:
        return "0.1.0"
