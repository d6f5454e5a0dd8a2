"""What lies between a client and DynamoDB: an HTTP proxy on loopback that counts the calls, and spoils some."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

NAMESPACE = "com.amazonaws.dynamodb.v20120810#"


class Fault(Enum):
    THROTTLED = auto()
    """The call is refused; it would be welcome later."""
    BROKEN = auto()
    """A fault of the server's; the call came to nothing."""
    UNHEARD = auto()
    """The call is done, and the connection breaks before the client hears of it."""
    HALF_DONE = auto()
    """Nothing of a batch is done, and that is no error."""
    CROWDED_OUT = auto()
    """A transaction came to nothing because of another one."""


@dataclass(slots=True)
class Proxy:
    """`calls`: how often each operation was asked for, retries too."""

    upstream: str
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    _faults: dict[str, list[Fault]] = field(default_factory=dict)
    _meanwhile: dict[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)

    def spoil(self, operation: str, *faults: Fault) -> None:
        """The next calls of this operation, one fault each."""
        self._faults[operation] = list(faults)

    def meanwhile(self, operation: str, happens: Callable[[], Awaitable[object]]) -> None:
        """The next call of this operation is passed on when that is over."""
        self._meanwhile[operation] = happens

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await message(reader)) is not None:
                answer = await self._answer(*request)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass  # The client went away, which is its right.
        finally:
            writer.close()

    async def _answer(self, head: bytes, body: bytes) -> bytes | None:
        operation = header(head, "x-amz-target").partition(".")[2]
        self.calls[operation] += 1
        if (happens := self._meanwhile.pop(operation, None)) is not None:
            await happens()
        waiting = self._faults.get(operation)
        match waiting.pop(0) if waiting else None:
            case None:
                return await self._passed_on(head + body)
            case Fault.UNHEARD:
                await self._passed_on(head + body)
                return None
            case Fault.THROTTLED:
                return refusal(400, "ProvisionedThroughputExceededException")
            case Fault.BROKEN:
                return refusal(500, "InternalServerError")
            case Fault.CROWDED_OUT:
                reasons = [{"Code": "TransactionConflict"} for _ in json.loads(body)["TransactItems"]]
                return refusal(400, "TransactionCanceledException", CancellationReasons=reasons)
            case Fault.HALF_DONE:
                left = "UnprocessedKeys" if operation == "BatchGetItem" else "UnprocessedItems"
                return response(200, {"Responses": {}, left: json.loads(body)["RequestItems"]})

    async def _passed_on(self, request: bytes) -> bytes:
        at = urlsplit(self.upstream)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(request)
        answer = await message(reader)
        writer.close()
        assert answer is not None, "the emulator hung up"
        return b"".join(answer)


@asynccontextmanager
async def faulty_dynamodb(upstream: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(upstream)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """Head and body; None at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    return head, await reader.readexactly(int(header(head, "content-length") or 0))


def header(head: bytes, name: str) -> str:
    for line in head.decode("latin-1").split("\r\n"):
        known, _, value = line.partition(":")
        if known.lower() == name:
            return value.strip()
    return ""


def refusal(status: int, code: str, **more: Any) -> bytes:
    return response(status, {"__type": NAMESPACE + code, "message": "as the test wants it", **more})


def response(status: int, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    lines = (f"HTTP/1.1 {status} -", "Content-Type: application/x-amz-json-1.0", f"Content-Length: {len(data)}")
    return "\r\n".join((*lines, "", "")).encode() + data
