"""From steps to bytes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

import msgspec

from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.steps import Body, Event, Head, Headers, Reset, Send, Stall, Step, Wait, WireStep

JSON: Headers = {"content-type": "application/json"}
SSE: Headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}

encode_json = msgspec.json.Encoder().encode


def encoded(steps: Iterable[Step], fault: Fault | None = None, interval: float = 0.0) -> Iterator[WireStep]:
    """The same steps in bytes, framed as the fault asks; `interval` (seconds) is spread over the bytes of a drip."""
    plain = _plain(steps, _FRAMES.get(fault, sse) if fault else sse)
    return _dripped(plain, interval) if fault is Fault.DRIP else plain


def sse(event: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), encode_json(event))


def _crlf(event: Json) -> bytes:
    return sse(event).replace(b"\n", b"\r\n")


def _commented(event: Json) -> bytes:
    return b": ping\n\n" + sse(event)


_FRAMES: dict[Fault, Callable[[Json], bytes]] = {Fault.CRLF: _crlf, Fault.COMMENTS: _commented}


def _plain(steps: Iterable[Step], frame: Callable[[Json], bytes]) -> Iterator[WireStep]:
    for step in steps:
        match step:
            case Event(event):
                yield Send(frame(event))
            case Head() | Send() | Wait() | Stall() | Reset():
                yield step
            case Body(status, body, headers):
                data = encode_json(body)
                yield Head(status, {**JSON, "content-length": str(len(data)), **headers})
                yield Send(data)
            case _:
                assert_never(step)


def _dripped(steps: Iterable[WireStep], interval: float) -> Iterator[WireStep]:
    for step in steps:
        match step:
            case Send(data):
                for value in data:
                    yield Send(bytes([value]))
                    yield Wait(interval / len(data))
            case Wait():
                pass  # The pace is in the bytes.
            case _:
                yield step
