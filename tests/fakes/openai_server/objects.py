"""OpenAI's objects, built from what was asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

Json: TypeAlias = dict[str, Any]

# Sent back as they were asked, else with OpenAI's default.
_ECHOED: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": "",
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}


def response_object(body: Mapping[str, Any], response_id: str, created_at: int, status: str) -> Json:
    """A Response without output; `created_at` is seconds. `usage` is left out until there is one to tell."""
    asked = {name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()}
    return {
        **asked,
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "service_tier": "default",
    }


def message_item(item_id: str, status: str, content: list[Json]) -> Json:
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Json:
    call = {"id": item_id, "type": "function_call", "status": status}
    return {**call, "call_id": call_id, "name": name, "arguments": arguments}


def text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(refusal: str) -> Json:
    return {"type": "refusal", "refusal": refusal}


def usage(body: Mapping[str, Any], output_tokens: int) -> Json:
    """A quarter of the bytes of instructions and input, as JSON; one token per piece of the answer."""
    input_tokens = max(1, len(msgspec.json.encode([body.get("instructions"), body.get("input")])) // 4)
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def model_list(models: Mapping[str, str | None]) -> Json:
    """`models`: a name and the day it is shut down, or None."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "openai", "shutdown_date": day}
            for name, day in models.items()
        ],
    }
