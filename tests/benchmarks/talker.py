"""A WebSocket client that looks at the first bytes of a frame and no further, so that it never is the slow one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import cast

from websockets.utils import accept_key, apply_mask

PATIENCE = 60.0
AT_ONCE = 16
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x12\x34\x56\x78"
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
LONG_TEXT = 126


@dataclass(frozen=True, slots=True)
class Speech:
    """How one talks with a program: a question, and how the frames begin that matter. `greeting`: sent unasked."""

    question: bytes
    delta: bytes
    final: bytes
    greeting: bytes = b""
    accepted: bytes = b""
    faults: tuple[bytes, ...] = ()


PLAIN = Speech(question=b'{"message":"Tell me something, please."}', delta=b'{"type":"delta"', final=b'{"type":"done"')
OURS = Speech(
    question=b'{"action":"sendMessage","message":"Tell me something, please."}',
    delta=b'{"messageType":"assistantDelta"',
    final=b'{"messageType":"assistantResponse","error":false',
    greeting=b'{"messageType":"connected"',
    accepted=b'{"messageType":"messageAccepted"',
    faults=(b'{"messageType":"assistantResponse","error":true', b'{"messageType":"error"'),
)


class Talker(asyncio.Protocol):
    """One open socket, for frames of less than 64 KiB; one `until` at a time.

    `frames` and `finals` count what came. `first_delta`: when the first words came since `ask`, by `perf_counter`, for
    the loop's own clock may count milliseconds.
    """

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._asked = frame(TEXT, speech.question)
        self._data = b""
        self._open = False
        self._found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._marker = speech.greeting
        self._missing = 1 if speech.greeting else 0
        self.frames = 0
        self.finals = 0
        self.first_delta: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one, but does not say so.
        self._transport = cast("asyncio.Transport", transport)

    async def shake_hands(self, token: str) -> None:
        """Returns once the socket is open, and greeted if that is the program's way."""
        request = (
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
            + (f"Authorization: Bearer {token}\r\n" if token else "")
        )
        self._transport.write(request.encode() + b"\r\n")
        await asyncio.wait_for(self._found, PATIENCE)

    def ask(self, times: int = 1) -> None:
        self.first_delta = None
        self._transport.write(self._asked * times)

    async def until(self, marker: bytes, times: int = 1) -> None:
        """Raises `ConnectionError` if the socket is closed, or an answer is an error, before that."""
        if self._transport.is_closing():
            raise ConnectionError("the connection was lost")
        self._found = asyncio.get_running_loop().create_future()
        self._marker, self._missing = marker, times
        await asyncio.wait_for(self._found, PATIENCE)

    def close(self) -> None:
        self._transport.write(frame(CLOSE, b"\x03\xe8"))
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the connection was lost")

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open:
            self._read_head()
        if self._open:
            self._read_frames()

    def _read_head(self) -> None:
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 101 ") or accept_key(KEY).encode() not in head:
            self._fail(self._data.decode(errors="replace"))
            return
        self._open, self._data = True, rest
        if not self._marker:
            self._found.set_result(None)

    def _read_frames(self) -> None:
        data, at = self._data, 0
        while at + 4 <= len(data):
            begin, size = at + 2, data[at + 1]
            if size == LONG_TEXT:
                begin, size = at + 4, int.from_bytes(data[at + 2 : at + 4], "big")
            if begin + size > len(data):
                break
            self._look_at(data, at, begin, begin + size)
            at = begin + size
        self._data = data[at:]

    def _look_at(self, data: bytes, at: int, begin: int, end: int) -> None:
        speech = self._speech
        if data[at] == PING:
            self._transport.write(frame(PONG, data[begin:end]))
            return
        self.frames += 1
        if self.first_delta is None and data.startswith(speech.delta, begin):
            self.first_delta = perf_counter()
        self.finals += data.startswith(speech.final, begin)
        if data.startswith(self._marker, begin):
            self._missing -= 1
            if not self._missing:
                self._found.set_result(None)
        elif data[at] == CLOSE or data.startswith(speech.faults, begin):
            self._fail(data[begin:end].decode(errors="replace"))

    def _fail(self, what: str) -> None:
        if not self._found.done():
            self._found.set_exception(ConnectionError(what))


def frame(opcode: int, payload: bytes) -> bytes:
    """Of a payload of less than 126 bytes. The mask is always the same: who unmasks it takes no less time."""
    return bytes((opcode, 0x80 | len(payload))) + MASK + apply_mask(payload, MASK)


async def connect(port: int, speech: Speech, token: str = "") -> Talker:
    loop = asyncio.get_running_loop()
    _, talker = await loop.create_connection(lambda: Talker(speech), "127.0.0.1", port)
    await talker.shake_hands(token)
    return talker


async def connect_all(port: int, speech: Speech, tokens: Sequence[str], at_once: int = AT_ONCE) -> list[Talker]:
    """One socket per token."""
    slots = asyncio.Semaphore(at_once)

    async def one(token: str) -> Talker:
        async with slots:
            return await connect(port, speech, token)

    return await asyncio.gather(*map(one, tokens))


@asynccontextmanager
async def talkers(port: int, speech: Speech, tokens: Sequence[str]) -> AsyncIterator[list[Talker]]:
    """Open sockets, one per token, until the block ends."""
    opened = await connect_all(port, speech, tokens)
    try:
        yield opened
    finally:
        for talker in opened:
            talker.close()
