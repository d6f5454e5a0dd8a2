"""A text that is asked for again is sent once: by the service's own word for it, the repeatability of a request.

The SDK draws a new id for each call. A policy of its pipeline, which it has for such wishes, puts ours in its place,
before the request is signed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

# For how long the service remembers a request.
REMEMBERED_MS = 5 * 60_000
NAMESPACE = uuid.UUID("6f2f6f0e-3c0c-5c0a-9f6b-6b1c1d0f2a61")


@dataclass(frozen=True, slots=True)
class Repeatable:
    """`first_sent`: milliseconds since 1970."""

    key: str
    first_sent: int

    @property
    def id(self) -> str:
        return str(uuid.uuid5(NAMESPACE, self.key))

    @property
    def date(self) -> str:
        return datetime.fromtimestamp(self.first_sent // 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


_current: ContextVar[Repeatable | None] = ContextVar("repeatable", default=None)


@contextmanager
def repeatable(request: Repeatable) -> Iterator[None]:
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


class RepeatPolicy(SansIOHTTPPolicy[Any, Any]):
    def on_request(self, request: PipelineRequest[Any]) -> None:
        repeat = _current.get()
        if repeat is None:
            return
        body = json.loads(request.http_request.body)
        for recipient in body["smsRecipients"]:
            recipient["repeatabilityRequestId"] = repeat.id
            recipient["repeatabilityFirstSent"] = repeat.date
        request.http_request.set_json_body(body)
