"""/v1/images/generations: real pictures, one pixel large."""

from __future__ import annotations

import struct
import time
import zlib
from base64 import b64encode

from starlette.routing import Route

from tests.fakes.openai_server.asking import wants
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Denied
from tests.fakes.openai_server.objects import Json, usage
from tests.fakes.openai_server.plan import after, shown
from tests.fakes.openai_server.serving import Asked, Desk, Told

_SERVED = {"stream": False, "output_format": "png", "response_format": None}


def images_routes(fake: FakeOpenAI, desk: Desk) -> list[Route]:
    return [desk.route("POST", "/images/generations", Images(fake).create)]


class Images:
    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def create(self, asked: Asked) -> Told:
        body = asked.body
        wants(body, "prompt")
        if asked.violation:
            raise Denied(Denial(400, asked.violation))
        for name, served in _SERVED.items():
            if body.get(name) not in (None, served):
                message = f"'{name}' is not supported here with this value."
                raise Denied(Denial(400, message, code="unsupported_parameter", param=name))
        answer = self._fake.images.answer(body)
        return Told(after(answer.delay, shown(_pictures(body), answer.fault, answer.retry_after, {})), answer.fault)


def tiny_png() -> bytes:
    """One grey pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\x00\x80")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _pictures(body: Json) -> Json:
    count = body.get("n") or 1
    spent = usage({"input": body["prompt"]}, 196 * count)
    return {
        "created": int(time.time()),
        "background": "opaque",
        "output_format": "png",
        "quality": body["quality"] if body.get("quality") in ("low", "medium", "high") else "low",
        "data": [{"b64_json": b64encode(tiny_png()).decode()}] * count,
        "usage": {
            **{name: spent[name] for name in ("input_tokens", "output_tokens", "total_tokens")},
            "input_tokens_details": {"text_tokens": spent["input_tokens"], "image_tokens": 0},
        },
    }
