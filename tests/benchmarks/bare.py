"""The bare loop: server-sent events in, JSON, frames out. Hardly a server: it trusts its client and its provider."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import urlsplit

import msgspec
from websockets.utils import accept_key, apply_mask

KEY_HEADER = b"sec-websocket-key:"
DELTA = b"event: response.output_text.delta\n"
TEXT_FRAME = 0x81
CLOSE = 0x8


class Delta(msgspec.Struct):
    delta: str


class Words(msgspec.Struct, tag_field="type", tag="delta"):
    text: str


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Delta).decode


class Answer(Protocol):
    """Takes one answer as it comes."""

    def words(self, text: str) -> None: ...

    def end(self) -> None: ...


class Upstream(asyncio.Protocol):
    """A connection to the provider that is kept; one answer at a time."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._raw = b""
        self._rest = b""
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one, but does not say so.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, text: str, answer: Answer) -> None:
        self._answer = answer
        body = encode({"model": "gpt-4o", "input": text, "stream": True})
        head = (
            f"POST /v1/responses HTTP/1.1\r\nHost: {self._provider.host}\r\nAuthorization: Bearer sk-benchmark\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._provider.idle:
            self._provider.idle.remove(self)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._raw += data
        if not self._in_body:
            head, self._in_body, self._raw = self._head()
            if self._in_body and not head.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(head.decode())
        if self._in_body:
            self._read_chunks()

    def _head(self) -> tuple[bytes, bool, bytes]:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        return (head, True, rest) if found else (b"", False, head)

    def _read_chunks(self) -> None:
        raw, at = self._raw, 0
        while (line := raw.find(b"\r\n", at)) >= 0:
            begin, size = line + 2, int(raw[at:line], 16)
            if len(raw) < begin + size + 2:
                break
            at = begin + size + 2
            if not size:
                self._in_body = False
                self._raw = raw[at:]
                self._answer.end()
                return
            self._read_events(raw[begin : begin + size])
        self._raw = raw[at:]

    def _read_events(self, chunk: bytes) -> None:
        *blocks, self._rest = (self._rest + chunk).split(b"\n\n")
        for block in blocks:
            if block.startswith(DELTA):
                self._answer.words(decode(block[block.index(b"data: ") + 6 :]).delta)


@dataclass(frozen=True)
class Provider:
    """Connections that are not in use."""

    host: str
    port: int
    idle: list[Upstream] = field(default_factory=list)

    async def connect(self) -> Upstream:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(lambda: Upstream(self), self.host, self.port)
        return upstream


class Socket(asyncio.Protocol):
    """A client's connection; one question at a time."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._data = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one, but does not say so.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if found:
                self._shake_hands(head)
                self._data = rest
        while self._open and (frame := self._frame()) is not None:
            self._act(*frame)

    def _shake_hands(self, head: bytes) -> None:
        key = next(line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(KEY_HEADER))
        accept = accept_key(key.strip().decode())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept.encode()
        )
        self._open = True

    def _frame(self) -> tuple[int, bytes] | None:
        """Opcode and payload of a short, masked, whole frame."""
        if len(self._data) < 6 or len(self._data) < 6 + (size := self._data[1] & 0x7F):
            return None
        opcode, mask, payload = self._data[0] & 0xF, self._data[2:6], self._data[6 : 6 + size]
        self._data = self._data[6 + size :]
        return opcode, apply_mask(payload, mask)

    def _act(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self._transport.close()
            return
        text = msgspec.json.decode(payload)["message"]
        if self._provider.idle:
            self._ask(self._provider.idle.pop(), text)
        else:
            self._connecting = asyncio.create_task(self._connect(text))

    async def _connect(self, text: str) -> None:
        self._ask(await self._provider.connect(), text)

    def _ask(self, upstream: Upstream, text: str) -> None:
        self._upstream = upstream
        upstream.ask(text, self)

    def words(self, text: str) -> None:
        self._send(encode(Words(text)))

    def end(self) -> None:
        self._send(b'{"type":"done"}')
        self._provider.idle.append(self._upstream)

    def _send(self, payload: bytes) -> None:
        size = len(payload)
        head = bytes((TEXT_FRAME, size)) if size < 126 else bytes((TEXT_FRAME, 126)) + size.to_bytes(2, "big")
        self._transport.write(head + payload)


async def serve(base_url: str) -> None:
    provider = provider_at(base_url)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Socket(provider), "127.0.0.1", 0, backlog=2048)
    print(f"READY {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def provider_at(base_url: str) -> Provider:
    url = urlsplit(base_url)
    return Provider(url.hostname or "127.0.0.1", url.port or 80)


def run(base_url: str) -> None:
    """On uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(base_url))
    else:
        uvloop.run(serve(base_url))


if __name__ == "__main__":
    run(sys.argv[1])
