"""The objects of the Assistants API, built from what was asked. Pure. Times are seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.objects import Json, usage
from tests.fakes.openai_server.outputs import FunctionCall

ASSISTANT_DEFAULTS: Mapping[str, Any] = {
    "name": None,
    "description": None,
    "instructions": None,
    "tools": [],
    "tool_resources": None,
    "metadata": {},
    "temperature": 1.0,
    "top_p": 1.0,
    "response_format": "auto",
}
_RUN_ECHOED: Mapping[str, Any] = {
    "metadata": {},
    "temperature": 1.0,
    "top_p": 1.0,
    "max_prompt_tokens": None,
    "max_completion_tokens": None,
    "truncation_strategy": {"type": "auto", "last_messages": None},
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "response_format": "auto",
}
# The description has no word for a run that a filter stopped.
_RUN_INCOMPLETE: Mapping[Fault | None, Json] = {
    Fault.INCOMPLETE_LENGTH: {"reason": "max_completion_tokens"},
    Fault.INCOMPLETE_FILTER: {},
}
MESSAGE_INCOMPLETE: Mapping[Fault | None, str] = {
    Fault.INCOMPLETE_LENGTH: "max_tokens",
    Fault.INCOMPLETE_FILTER: "content_filter",
}
_ENDS = {
    "completed": "completed_at",
    "incomplete": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}


def assistant_object(body: Json, assistant_id: str, created_at: int) -> Json:
    own = {"id": assistant_id, "object": "assistant", "created_at": created_at}
    return {**own, "model": body["model"], **asked_or(ASSISTANT_DEFAULTS, body)}


def thread_object(body: Json, thread_id: str, created_at: int) -> Json:
    own = {"id": thread_id, "object": "thread", "created_at": created_at}
    return {**own, "tool_resources": body.get("tool_resources"), "metadata": body.get("metadata") or {}}


def message_object(body: Json, message_id: str, thread_id: str, created_at: int) -> Json:
    """`body`: as it is asked for, and what `reply_body` makes."""
    incomplete = body.get("incomplete_details")
    return {
        "id": message_id,
        "object": "thread.message",
        "created_at": created_at,
        "thread_id": thread_id,
        "status": "incomplete" if incomplete else "completed",
        "incomplete_details": incomplete,
        "completed_at": None if incomplete else created_at,
        "incomplete_at": created_at if incomplete else None,
        "role": body["role"],
        "content": _parts(body["content"]),
        "assistant_id": body.get("assistant_id"),
        "run_id": body.get("run_id"),
        "attachments": body.get("attachments") or [],
        "metadata": body.get("metadata") or {},
    }


def run_object(body: Json, ids: Json, fault: Fault | None, status: str, times: Json) -> Json:
    """`body`: with what the assistant adds; `ids`: id, thread_id; `times`: created_at, expires_at, ended_at."""
    ended: Json = dict.fromkeys(_ENDS.values())
    if status in _ENDS:
        ended[_ENDS[status]] = times["ended_at"]
    return {
        **ids,
        "object": "thread.run",
        "created_at": times["created_at"],
        "assistant_id": body["assistant_id"],
        "status": status,
        "required_action": None,
        "last_error": None,
        "expires_at": None if times["ended_at"] else times["expires_at"],
        "started_at": None if status == "queued" else times["created_at"],
        **ended,
        "incomplete_details": _RUN_INCOMPLETE.get(fault) if status == "incomplete" else None,
        "model": body["model"],
        "instructions": body["instructions"],
        "tools": body["tools"],
        "usage": None,
        **asked_or(_RUN_ECHOED, body),
    }


def required_action(calls: Sequence[FunctionCall]) -> Json:
    wanted = [
        {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": wanted}}


def run_usage(body: Json, tokens: int) -> Json:
    spent = usage(body, tokens)
    return {
        "prompt_tokens": spent["input_tokens"],
        "completion_tokens": spent["output_tokens"],
        "total_tokens": spent["total_tokens"],
    }


def deleted(kind: str, deleted_id: str) -> Json:
    return {"id": deleted_id, "object": f"{kind}.deleted", "deleted": True}


def asked_or(defaults: Mapping[str, Any], body: Json) -> Json:
    return {name: default if body.get(name) is None else body[name] for name, default in defaults.items()}


def text_of(message: Json) -> str:
    return "".join(part["text"]["value"] for part in message["content"] if part["type"] == "text")


def _parts(content: Any) -> list[Json]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_text(part["text"]) if part["type"] == "text" else part for part in parts]


def _text(text: str) -> Json:
    return {"type": "text", "text": {"value": text, "annotations": []}}
