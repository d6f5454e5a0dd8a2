"""Reading a request: is it one that OpenAI would serve, and what is the question? Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tests.fakes.openai_server.faults import Denial
from tests.fakes.openai_server.objects import Json

BAD_KEY = "bad-key"


def key_denial(headers: Mapping[str, str]) -> Denial | None:
    """Any key is good but an empty one and `BAD_KEY`. Names of headers are lower case."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        return Denial(401, "You didn't provide an API key.")
    if key.strip() == BAD_KEY:
        return Denial(401, "Incorrect API key provided.", code="invalid_api_key")
    return None


def parse_object(data: bytes) -> Json | None:
    """None if it is not a JSON object."""
    try:
        body = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return None
    return body if isinstance(body, dict) else None


def body_denial(body: Json) -> Denial | None:
    """What OpenAI would not take, and what the fake does not serve."""
    if not isinstance(body.get("model"), str):
        return Denial(400, "Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
    if not isinstance(body.get("input"), str | list):
        return Denial(400, "Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    if not isinstance(body.get("stream"), bool | None):
        return Denial(400, "Invalid type for 'stream': expected a boolean.", code="invalid_type", param="stream")
    return _not_kept(body)


def question(body: Json) -> str:
    """The text of the last user message; empty if there is none."""
    asked = body["input"]
    if isinstance(asked, str):
        return asked
    said = [item for item in asked if isinstance(item, dict) and item.get("role") == "user"]
    return _text(said[-1].get("content")) if said else ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part.get("text", "") for part in parts if isinstance(part, dict))


def _not_kept(body: Json) -> Denial | None:
    """The fake keeps nothing, so there is nothing to go on from, and no run goes on without its connection."""
    previous, conversation = body.get("previous_response_id"), body.get("conversation")
    if previous is not None:
        message = f"Previous response with id '{previous}' not found."
        return Denial(400, message, code="previous_response_not_found", param="previous_response_id")
    if conversation is not None:
        return Denial(404, "Conversation not found.", param="conversation")
    if body.get("background"):
        return Denial(400, "Background mode is not served here.", code="unsupported_parameter", param="background")
    return None
