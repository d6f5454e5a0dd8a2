"""What lies between a client and AWS: an HTTP proxy on loopback that counts the calls, and spoils some."""

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

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

NAMESPACE = "com.amazonaws.dynamodb.v20120810#"


class Fault(Enum):
    THROTTLED = auto()
    """The call is refused; it would be welcome later."""
    BROKEN = auto()
    """A fault of the server's; the call came to nothing."""
    UNHEARD = auto()
    """The call is done, and the connection breaks before the client hears of it."""
    HALF_DONE = auto()
    """Half of a batch is done, the smaller half, and that is no error."""
    CROWDED_OUT = auto()
    """A transaction came to nothing because of another one."""
    STARVED = auto()
    """A transaction came to nothing because too much is asked of one of its items."""
    LATE = auto()
    """The call is done at once, and its answer comes late."""
    AGAIN = auto()
    """The client is given what was last given to somebody who asked for messages, as SQS may do."""


@dataclass(slots=True)
class Proxy:
    """`calls`: how often each operation was asked for, retries too; of S3's, the HTTP method is known. `indexes`: which
    of the queries went to an index. `mood`: what spoils what else is not.
    """

    upstream: str
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    indexes: Counter[str] = field(default_factory=Counter)
    mood: Callable[[str], Fault | None] = lambda operation: None
    late_seconds: float = 2.0
    _given: bytes = b""
    _faults: dict[str, list[Fault]] = field(default_factory=dict)
    _meanwhile: dict[str, Callable[[], Awaitable[object]]] = field(default_factory=dict)

    def spoil(self, operation: str, *faults: Fault) -> None:
        """The next calls of this operation, one fault each."""
        self._faults[operation] = list(faults)

    def meanwhile(self, operation: str, happens: Callable[[], Awaitable[object]]) -> None:
        """The next call of this operation is passed on when that is over."""
        self._meanwhile[operation] = happens

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = Upstream(self.upstream)
        try:
            while (request := await asked(reader, writer)) is not None:
                answer = await self._answer(upstream, *request)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass  # The client went away, which is its right.
        finally:
            upstream.close()
            writer.close()

    async def _answer(self, upstream: Upstream, head: bytes, body: bytes) -> bytes | None:
        operation = header(head, "x-amz-target").partition(".")[2] or method(head)
        self.calls[operation] += 1
        if operation == "Query":
            self.indexes[json.loads(body).get("IndexName", "")] += 1
        if (happens := self._meanwhile.pop(operation, None)) is not None:
            await happens()
        waiting = self._faults.get(operation)
        match waiting.pop(0) if waiting else self.mood(operation):
            case None:
                return self._remembered(operation, await upstream.ask(head + body))
            case Fault.LATE:
                answer = await upstream.ask(head + body)
                await asyncio.sleep(self.late_seconds)
                return self._remembered(operation, answer)
            case Fault.AGAIN:
                return self._given or await upstream.ask(head + body)
            case Fault.UNHEARD:
                await upstream.ask(head + body)
                return None
            case Fault.THROTTLED if operation == method(head):
                return s3_refusal(503, "SlowDown")
            case Fault.BROKEN if operation == method(head):
                return s3_refusal(500, "InternalError")
            case Fault.THROTTLED:
                return refusal(400, "ProvisionedThroughputExceededException")
            case Fault.BROKEN:
                return refusal(500, "InternalServerError")
            case Fault.CROWDED_OUT:
                return cancelled(*("TransactionConflict" for _ in json.loads(body)["TransactItems"]))
            case Fault.STARVED:
                return cancelled("ThrottlingError", *("None" for _ in json.loads(body)["TransactItems"][1:]))
            case Fault.HALF_DONE:
                return await self._half(upstream, operation, head, json.loads(body)["RequestItems"])

    async def _half(self, upstream: Upstream, operation: str, head: bytes, batch: Any) -> bytes:
        [(table, wanted)] = batch.items()
        reads = operation == "BatchGetItem"
        items = wanted["Keys"] if reads else wanted
        first, rest = (
            {table: {**wanted, "Keys": some} if reads else some}
            for some in (items[: len(items) // 2], items[len(items) // 2 :])
        )
        found: dict[str, Any] = {"Responses": {}}
        if len(items) > 1:
            answer = await upstream.ask(signed_anew(head, {"RequestItems": first}, self.upstream))
            found = json.loads(answer.partition(b"\r\n\r\n")[2])
        return response(200, {**found, "UnprocessedKeys" if reads else "UnprocessedItems": rest})

    def _remembered(self, operation: str, answer: bytes) -> bytes:
        if operation == "ReceiveMessage" and b"ReceiptHandle" in answer:
            self._given = answer
        return answer


@dataclass(slots=True)
class Upstream:
    """The connection that answers one of ours."""

    url: str
    _open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> bytes:
        """One that was kept open may have been closed meanwhile."""
        if self._open is not None and (answer := await self._asked(*self._open, request)) is not None:
            return answer
        at = urlsplit(self.url)
        self.close()
        self._open = await asyncio.open_connection(at.hostname, at.port)
        answer = await self._asked(*self._open, request)
        assert answer is not None, "the emulator hung up"
        return answer

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes | None:
        try:
            writer.write(request)
            return await answer_to(request, reader)
        except ConnectionError:
            return None

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()


@asynccontextmanager
async def faulty_dynamodb(upstream: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(upstream)
    serving: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes] | None:
    """The client's next request; None at the end. A client that waits for a word before it sends a body gets one."""
    head = await head_of(reader)
    if head is None:
        return None
    if header(head, "expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
    return head, await body_of(reader, head)


async def answer_to(request: bytes, reader: asyncio.StreamReader) -> bytes | None:
    head = await head_of(reader)
    if head is None or method(request) == "HEAD":
        return head
    return head + await body_of(reader, head)


async def head_of(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None


async def body_of(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """As it is on the wire."""
    if header(head, "transfer-encoding") != "chunked":
        return await reader.readexactly(int(header(head, "content-length") or 0))
    body = b""
    while not body.endswith(b"0\r\n\r\n"):
        size = await reader.readuntil(b"\r\n")
        body += size + await reader.readexactly(int(size, 16) + 2)
    return body


def method(head: bytes) -> str:
    return head.partition(b" ")[0].decode()


def header(head: bytes, name: str) -> str:
    for line in head.decode("latin-1").split("\r\n"):
        known, _, value = line.partition(":")
        if known.lower() == name:
            return value.strip()
    return ""


def signed_anew(head: bytes, body: dict[str, Any], url: str) -> bytes:
    """The same request with another body, by the environment's credentials."""
    data, region = json.dumps(body).encode(), header(head, "authorization").split("/")[2]
    same = {name: header(head, name.lower()) for name in ("X-Amz-Target", "Content-Type")}
    request = AWSRequest("POST", url, {"Host": urlsplit(url).netloc, **same}, data)
    SigV4Auth(Session().get_credentials(), "dynamodb", region).add_auth(request)
    lines = ("POST / HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items()))
    return "\r\n".join((*lines, f"Content-Length: {len(data)}", "", "")).encode() + data


def cancelled(*codes: str) -> bytes:
    return refusal(400, "TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


def refusal(status: int, code: str, **more: Any) -> bytes:
    return response(status, {"__type": NAMESPACE + code, "message": "as the test wants it", **more})


def s3_refusal(status: int, code: str) -> bytes:
    text = f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"
    return answered(status, "application/xml", text.encode())


def response(status: int, body: dict[str, Any]) -> bytes:
    return answered(status, "application/x-amz-json-1.0", json.dumps(body).encode())


def answered(status: int, content_type: str, data: bytes) -> bytes:
    lines = (f"HTTP/1.1 {status} -", f"Content-Type: {content_type}", f"Content-Length: {len(data)}")
    return "\r\n".join((*lines, "", "")).encode() + data
