"""An issuer on loopback that publishes its keys, well or badly."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType


class JwksServer:
    """Answers every request with what its attributes say at that moment, and keeps the requests it saw.

    While `gate` is closed, answers wait. With `drip`, the body never ends, and `hung_up` tells that the client left.
    """

    def __init__(self) -> None:
        self.status = 200
        self.headers = ""
        self.body = b""
        self.drip: bytes | None = None
        self.drip_seconds = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.requests: list[str] = []
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.dripped = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/pool"

    def publish(self, *keys: object) -> None:
        self.status = 200
        self.body = json.dumps({"keys": keys}).encode()

    async def __aenter__(self) -> JwksServer:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drip = None
        self.gate.set()
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            self.asked.set()
            await self.gate.wait()
            size = "" if self.drip else f"Content-Length: {len(self.body)}\r\n"
            head = f"HTTP/1.1 {self.status} X\r\n{size}Connection: close\r\n{self.headers}\r\n"
            writer.write(head.encode() + self.body)
            while self.drip:
                writer.write(self.drip)
                self.dripped += len(self.drip)
                await writer.drain()
                await asyncio.sleep(self.drip_seconds)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()
