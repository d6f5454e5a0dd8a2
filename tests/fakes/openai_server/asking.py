"""Reading a request: is it one that OpenAI would serve, and what is the question? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tests.fakes.openai_server.faults import Denial, Denied
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
    return _not_served(body)


def wants(body: Json, name: str) -> None:
    """Raises `Denied` where the field is missing."""
    if body.get(name) is None:
        message = f"Missing required parameter: '{name}'."
        raise Denied(Denial(400, message, code="missing_required_parameter", param=name))


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


def unanswered(asked: Iterable[Json], earlier: Iterable[str]) -> Denial | None:
    """Each call of the input, and of the response before it (`earlier`), needs its output, and each output its call."""
    items = [item for item in asked if isinstance(item, dict)]
    outputs = [item.get("call_id") for item in items if item.get("type") == "function_call_output"]
    called = [*earlier, *(item.get("call_id") for item in items if item.get("type") == "function_call")]
    for call_id in called:
        if call_id not in outputs:
            return Denial(400, f"No tool output found for function call {call_id}.", param="input")
    for call_id in outputs:
        if call_id not in called:
            return Denial(400, f"No tool call found for function call output with call_id {call_id}.", param="input")
    return None


def _not_served(body: Json) -> Denial | None:
    """The fake keeps no conversations, and streams no run that goes on without its connection."""
    if body.get("conversation") is not None:
        return Denial(404, "Conversation not found.", param="conversation")
    if body.get("background") and body.get("stream"):
        message = "Background mode is not streamed here."
        return Denial(400, message, code="unsupported_parameter", param="stream")
    return None
