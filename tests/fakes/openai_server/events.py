"""One Response, told as OpenAI's stream events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from tests.fakes.openai_server.objects import Json, message_item, refusal_part, response_object, text_part, usage

SERVER_ERROR_MESSAGE = "The server had an error while processing your request."


class Telling:
    """Builds the events of one answer in the order asked for, numbered from 0, and remembers what was said."""

    def __init__(self, body: Mapping[str, Any], unique: str, created_at: int, *, refusing: bool = False) -> None:
        self._body = body
        self._id = f"resp_{unique}"
        self._item_id = f"msg_{unique}"
        self._created_at = created_at
        self._kind = "refusal" if refusing else "output_text"
        self._said: list[str] = []
        self._numbers = count()

    def opening(self) -> Iterator[Json]:
        for kind in ("created", "in_progress"):
            yield self.event(f"response.{kind}", response=self._response("in_progress"))

    def begin(self) -> Iterator[Json]:
        """The message and its one part are there, still empty."""
        empty = message_item(self._item_id, "in_progress", [])
        yield self.event("response.output_item.added", output_index=0, item=empty)
        yield self._in_part("response.content_part.added", part=self._part(""))

    def delta(self, token: str) -> Json:
        self._said.append(token)
        return self._in_part(f"response.{self._kind}.delta", delta=token, **self._logprobs())

    def finish(self, status: str, reason: str | None = None) -> Iterator[Json]:
        """Closes what was begun. `status`: completed, or incomplete for a `reason`."""
        text = "".join(self._said)
        whole = {"refusal": text} if self._kind == "refusal" else {"text": text}
        yield self._in_part(f"response.{self._kind}.done", **whole, **self._logprobs())
        yield self._in_part("response.content_part.done", part=self._part(text))
        yield self.event("response.output_item.done", output_index=0, item=self._item(status))
        yield self.event(f"response.{status}", response=self.finished(status, reason))

    def failed(self) -> Json:
        return self.event("response.failed", response=self.broken())

    def error(self) -> Json:
        return self.event("error", code="server_error", message=SERVER_ERROR_MESSAGE, param=None)

    def event(self, kind: str, **fields: Any) -> Json:
        return {"type": kind, "sequence_number": next(self._numbers), **fields}

    def finished(self, status: str, reason: str | None = None) -> Json:
        """The Response with all that was said."""
        spent = usage(self._body, len(self._said))
        details = {"reason": reason} if reason else None
        return self._response(status) | {"output": [self._item(status)], "usage": spent, "incomplete_details": details}

    def broken(self) -> Json:
        """The Response as it failed."""
        error = {"code": "server_error", "message": SERVER_ERROR_MESSAGE}
        return self._response("failed") | {"error": error}

    def say(self, tokens: tuple[str, ...]) -> None:
        """Without telling."""
        self._said.extend(tokens)

    def _response(self, status: str) -> Json:
        return response_object(self._body, self._id, self._created_at, status)

    def _item(self, status: str) -> Json:
        return message_item(self._item_id, status, [self._part("".join(self._said))])

    def _part(self, text: str) -> Json:
        return refusal_part(text) if self._kind == "refusal" else text_part(text)

    def _logprobs(self) -> Json:
        return {} if self._kind == "refusal" else {"logprobs": []}

    def _in_part(self, kind: str, **fields: Any) -> Json:
        return self.event(kind, item_id=self._item_id, output_index=0, content_index=0, **fields)
