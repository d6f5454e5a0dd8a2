"""AsyncAPI of the socket."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from msgspec import Struct

from server.channels.websocket import frames
from server.entrypoints.described.release import REFERENCE, RELEASE
from server.entrypoints.schemas import encode

HOW_TO_CONNECT = (
    "A token, as Authorization: Bearer T, the subprotocols `assistant.v1, bearer.T`, or ?Auth=T; the first one found."
    " ?stream=0: no deltas; ?format=html: `html` in replies. Close codes: 1009 your frame is too large, 1011 a fault of"
    " ours, 1012 the server is restarted, 4401 the token ran out or its person was signed out, 4408 you did not read,"
    " 4409 you did not answer pings, 4410 frames were lost between processes. After 1012 and 44xx: connect and resume."
)


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
            "info": {"title": "Switchboard socket", "version": RELEASE, "description": HOW_TO_CONNECT},
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
