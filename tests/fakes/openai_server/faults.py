"""What can go wrong, by name, and the errors OpenAI answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """What is wrong with an answer.

    Those marked "at" happen once the answer's first `at` tokens are out. A request without `stream` has no middle:
    it gets half of its JSON where the stream would break, and a fault that only a stream can have leaves it alone.
    A run (a background Response, or the run of a thread) takes what concerns its answer at its end, and what concerns
    HTTP or the connection at the request that creates it; `Answer.poll_faults` puts such a fault on a later look.
    """

    # An HTTP error in place of the answer.
    RATE_LIMITED = "rate_limited"  # 429, and no word about when to come back
    RATE_LIMITED_SECONDS = "rate_limited_seconds"  # 429 with retry-after
    RATE_LIMITED_MILLISECONDS = "rate_limited_milliseconds"  # 429 with retry-after-ms
    INSUFFICIENT_QUOTA = "insufficient_quota"  # 429 that no waiting mends
    SERVER_ERROR = "server_error"  # 500
    SLOW_DOWN = "slow_down"  # 429 of traffic that grows too fast
    OVERLOADED = "overloaded"  # 503
    OVERLOADED_SECONDS = "overloaded_seconds"  # 503 with retry-after
    GATEWAY_TIMEOUT = "gateway_timeout"  # 504
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"  # 400
    UNAUTHORIZED = "unauthorized"  # 401
    MODEL_NOT_FOUND = "model_not_found"  # 404
    CONVERSATION_LOCKED = "conversation_locked"  # 400
    MODERATION_BLOCKED = "moderation_blocked"  # 400, of a picture

    # The connection.
    STALL_BEFORE_HEADERS = "stall_before_headers"  # nothing, until the client leaves
    STALL = "stall"  # at: nothing more, until the client leaves
    RESET_BEFORE_HEADERS = "reset_before_headers"  # TCP RST
    RESET = "reset"  # at: TCP RST
    EOF = "eof"  # at: a clean end of the HTTP body without a terminal event

    # The events.
    MALFORMED_JSON = "malformed_json"  # at: one delta is torn, the rest follows
    ERROR_EVENT = "error_event"  # at: `error`, then the end (without stream: HTTP 500)
    FAILED = "failed"  # at: response.failed, server_error
    FAILED_RATE_LIMITED = "failed_rate_limited"  # at: response.failed, rate_limit_exceeded
    FAILED_PROMPT = "failed_prompt"  # at: response.failed, invalid_prompt
    INCOMPLETE_LENGTH = "incomplete_length"  # at: response.incomplete, max_output_tokens
    INCOMPLETE_FILTER = "incomplete_filter"  # at: response.incomplete, content_filter
    REFUSAL = "refusal"  # the tokens are a refusal
    EMPTY = "empty"  # completed without a word

    # The course of a run.
    LOST_BY_STALL = "lost_by_stall"  # it is created, and nobody says so: nothing, until the client leaves
    LOST_BY_RESET = "lost_by_reset"  # it is created, and nobody says so: TCP RST
    STUCK = "stuck"  # queued for ever
    ENDLESS = "endless"  # in progress for ever
    VANISHED = "vanished"  # 404 once its time is over, and from then on
    THREAD_VANISHED = "thread_vanished"  # 404 instead of a run: its thread, or conversation, is gone
    EXPIRED = "expired"  # expired once its time is over (a Response has no such status: 404)
    LATE_CANCEL = "late_cancel"  # a cancel finds it all but finished: it is completed
    UNKNOWN_STATUS = "unknown_status"  # its status is "surprise"

    # The bytes of an answer that is in order.
    DRIP = "drip"  # byte by byte, each a write of its own
    UNKNOWN_EVENTS = "unknown_events"  # an event of an unknown type after each known one
    CRLF = "crlf"  # lines end in CR LF
    COMMENTS = "comments"  # keep-alive comments between the events


@dataclass(frozen=True, slots=True)
class Denial:
    """An HTTP error in OpenAI's shape."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class Denied(Exception):
    """A handler refuses."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.message)
        self.denial = denial


def denial_of(fault: Fault | None, retry_after: float) -> Denial | None:
    """The HTTP error that a fault stands for, None for one of another kind. `retry_after` is seconds."""
    match fault:
        case Fault.RATE_LIMITED:
            return _rate_limited({})
        case Fault.RATE_LIMITED_SECONDS:
            return _rate_limited({"retry-after": f"{retry_after:g}"})
        case Fault.RATE_LIMITED_MILLISECONDS:
            return _rate_limited({"retry-after-ms": f"{retry_after * 1000:g}"})
        case Fault.OVERLOADED_SECONDS:
            return replace(_PLAIN[Fault.OVERLOADED], headers={"retry-after": f"{retry_after:g}"})
        case _:
            return _PLAIN.get(fault) if fault else None


def _rate_limited(headers: Mapping[str, str]) -> Denial:
    return Denial(429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded", headers=headers)


_PLAIN = {
    Fault.INSUFFICIENT_QUOTA: Denial(
        429, "You exceeded your current quota.", "insufficient_quota", "credit_balance_exhausted"
    ),
    Fault.SLOW_DOWN: Denial(429, "Slow down: your traffic grows too fast.", "requests", "slow_down"),
    Fault.SERVER_ERROR: Denial(500, "The server had an error while processing your request.", "server_error"),
    Fault.OVERLOADED: Denial(503, "The engine is currently overloaded.", "service_unavailable_error"),
    Fault.GATEWAY_TIMEOUT: Denial(504, "The server did not answer in time.", "server_error"),
    Fault.CONTEXT_LENGTH_EXCEEDED: Denial(
        400,
        "Your input exceeds the context window of this model.",
        code="context_length_exceeded",
        param="input",
    ),
    Fault.UNAUTHORIZED: Denial(401, "Incorrect API key provided.", code="invalid_api_key"),
    Fault.MODEL_NOT_FOUND: Denial(
        404, "The model does not exist or you do not have access to it.", code="model_not_found", param="model"
    ),
    Fault.CONVERSATION_LOCKED: Denial(
        400,
        "Another process is currently operating on this conversation. Please retry in a few seconds.",
        code="conversation_locked",
        param="conversation",
    ),
    Fault.MODERATION_BLOCKED: Denial(
        400, "Your request was rejected by the safety system.", "image_generation_user_error", "moderation_blocked"
    ),
    Fault.THREAD_VANISHED: Denial(404, "Conversation not found.", param="conversation"),
}
