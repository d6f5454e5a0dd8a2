"""One Response, told as OpenAI's stream events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.objects import Json, response_object, usage
from tests.fakes.openai_server.outputs import Item, pieces

SERVER_ERROR_MESSAGE = "The server had an error while processing your request."

INCOMPLETE: Mapping[Fault | None, str] = {
    Fault.INCOMPLETE_LENGTH: "max_output_tokens",
    Fault.INCOMPLETE_FILTER: "content_filter",
}
ERRORS: Mapping[Fault | None, Json] = {
    Fault.FAILED: {"code": "server_error", "message": SERVER_ERROR_MESSAGE},
    Fault.FAILED_RATE_LIMITED: {"code": "rate_limit_exceeded", "message": "Rate limit reached for tokens per minute."},
    Fault.FAILED_PROMPT: {"code": "invalid_prompt", "message": "Your prompt was flagged."},
}


class Telling:
    """The Response in its states, and the events of one answer in the order asked for, numbered from 0."""

    def __init__(self, body: Mapping[str, Any], unique: str, created_at: int, items: tuple[Item, ...]) -> None:
        self.id = f"resp_{unique}"
        self.items = items
        self.background = bool(body.get("background"))
        self._body = body
        self._created_at = created_at
        self._numbers = count()

    def opening(self) -> Iterator[Json]:
        for kind in ("created", "in_progress"):
            yield self.event({"type": f"response.{kind}", "response": self.underway("in_progress")})

    def placed(self, index: int, event: Json) -> Json:
        """An event of the item at this index."""
        return self.event({**event, "output_index": index})

    def event(self, event: Json) -> Json:
        return {**event, "sequence_number": next(self._numbers)}

    def closing(self, fault: Fault | None) -> Json:
        """The terminal event, with the Response as it ended."""
        response = self.ended(fault)
        return self.event({"type": f"response.{response['status']}", "response": response})

    def error(self) -> Json:
        return self.event({"type": "error", "code": "server_error", "message": SERVER_ERROR_MESSAGE, "param": None})

    def underway(self, status: str) -> Json:
        """Without output. `status`: queued, in_progress or cancelled."""
        return response_object(self._body, self.id, self._created_at, status)

    def ended(self, fault: Fault | None) -> Json:
        """Failed, or incomplete, or completed."""
        if fault in ERRORS:
            return self.underway("failed") | {"error": ERRORS[fault]}
        reason = INCOMPLETE.get(fault)
        status = "incomplete" if reason else "completed"
        return self.underway(status) | {
            "output": [item.shown(status if item is self.items[-1] else "completed") for item in self.items],
            "usage": usage(self._body, pieces(self.items)),
            "incomplete_details": {"reason": reason} if reason else None,
        }
