"""A small shop on loopback that answers well or badly."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Self

BOOKS = [
    {"id": 1, "name": "The Russian", "type": "fiction", "available": True},
    {"id": 2, "name": "Just as I Am", "type": "non-fiction", "available": False},
    {"id": 3, "name": "The Vanishing Half", "type": "fiction", "available": True},
]


def answer(status: int, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class Shop:
    """Gives the `answers` one after another, then its books. None: say nothing at all. Keeps the requests it saw.

    `drip` ends no answer, but lets a byte follow the other.
    """

    def __init__(self, *answers: bytes | None, drip: bool = False) -> None:
        self._answers = list(answers)
        self._drip = drip
        self._books = answer(200, json.dumps(BOOKS).encode())
        self.requests: list[str] = []
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
                said = self._answers.pop(0) if self._answers else self._books
                if said is None:
                    await self._closing.wait()
                    return
                writer.write(said)
                await writer.drain()
                while self._drip and not self._closing.is_set():
                    await asyncio.sleep(0.05)
                    writer.write(b" ")
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
