"""The REST API that sends texts: `POST /sms?api-version=2021-03-07`."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, TypeAlias

from azure.communication.sms._shared.policy import HMACCredentialsPolicy
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.openai_server.wire import HOST, listening

KEY = base64.b64encode(b"azure-access-key-canary").decode()
SKEW_SECONDS = 15 * 60
REMEMBERED_SECONDS = 5 * 60
VERSION = "2021-03-07"
TRANSPORT = "tests.transport"


class Fault(Enum):
    """What is wrong with the answer to one request."""

    RESET_BEFORE = "reset before it is read"
    RESET_AFTER = "sent, and reset before the answer"
    STALL = "sent, and never answered"
    BUSY = 429
    REFUSED = 403
    BROKEN = 500
    BROKEN_AFTER = "sent, and 500"
    NO_JSON = "sent, and a page of HTML with 202"
    OPTED_OUT = "its recipient has opted out"
    INVALID = "its recipient is no number"
    RECIPIENT_BROKEN = "its recipient is answered with 500"


@dataclass(frozen=True, slots=True)
class Sent:
    to: str
    text: str
    message_id: str
    tag: str
    at: float


Told: TypeAlias = dict[str, Any]
# What becomes of a recipient, in place of a text that is sent.
RECIPIENTS: dict[Fault, Told] = {
    Fault.OPTED_OUT: {"httpStatusCode": 403, "errorMessage": "The recipient has opted out."},
    Fault.INVALID: {"httpStatusCode": 400, "errorMessage": "Invalid To phone number format."},
    Fault.RECIPIENT_BROKEN: {"httpStatusCode": 500, "errorMessage": "Internal error."},
}


class FakeAzure:
    """A running service, in the hands of a test. `sent`: what phones got, in that order. `tokens`: those of identities
    that may send; without any, who has the access key may. `weather`: the fault of each request for which the script
    has none; `seconds`: how long one takes, which is read in the middle of it.
    """

    def __init__(self, number: str, clock: Callable[[], float]) -> None:
        self.endpoint = ""
        self.number = number
        self.sent: list[Sent] = []
        self.requests: list[Told] = []
        self.tokens: Container[str] | None = None
        self.weather: Callable[[], Fault | None] = lambda: None
        self.seconds = 0.0
        self.under_way = 0
        self.closing = asyncio.Event()
        self._clock = clock
        self._faults: deque[Fault | None] = deque()
        self._remembered: dict[str, tuple[Told, Told]] = {}

    @property
    def connection_string(self) -> str:
        return f"endpoint={self.endpoint}/;accesskey={KEY}"

    def script(self, *faults: Fault | None) -> None:
        """What the next requests meet; None: nothing."""
        self._faults.extend(faults)

    async def until_sent(self, count: int, seconds: float = 30) -> list[Sent]:
        async with asyncio.timeout(seconds):
            while len(self.sent) < count:
                await asyncio.sleep(0.02)
        return self.sent

    async def answer(self, request: Request) -> Response:
        self.under_way += 1
        try:
            await asyncio.sleep(self.seconds / 2)
            answered = await self._answer(request)
            await asyncio.sleep(self.seconds / 2)
        finally:
            self.under_way -= 1
        return answered

    async def _answer(self, request: Request) -> Response:
        fault = self._faults.popleft() if self._faults else self.weather()
        transport = request.scope["extensions"][TRANSPORT]["transport"]
        if fault is Fault.RESET_BEFORE:
            transport.abort()
            return Response()
        body = await request.body()
        if (wrong := self._unsigned(request, body)) is not None:
            return problem(401, wrong)
        if fault in {Fault.BUSY, Fault.REFUSED, Fault.BROKEN}:
            return problem(int(fault.value), fault.name)
        asked = await request.json()
        if asked.get("from") != self.number or request.query_params.get("api-version") != VERSION:
            return problem(400, "not our number, or not our version")
        self.requests.append(asked)
        told = [self._recipient(one, asked, fault) for one in asked["smsRecipients"]]
        if fault is Fault.STALL:
            await self.closing.wait()
        if fault in {Fault.RESET_AFTER, Fault.STALL}:
            transport.abort()
        if fault is Fault.BROKEN_AFTER:
            return problem(500, "broken")
        return Response("<html>", 202) if fault is Fault.NO_JSON else JSONResponse({"value": told}, 202)

    def _unsigned(self, request: Request, body: bytes) -> str | None:
        """By the algorithm of the library itself, over what really came."""
        headers = request.headers
        if self.tokens is not None:
            kind, _, token = headers.get("authorization", "").partition(" ")
            return None if kind == "Bearer" and token in self.tokens else "no token of an identity that may send"
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        target = f"{request.url.path}?{request.url.query}"
        signed = f"POST\n{target}\n{headers.get('x-ms-date')};{headers.get('host')};{digest}"
        policy: Any = HMACCredentialsPolicy(self.endpoint, KEY)
        signature = policy._compute_hmac(signed)
        wanted = f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signature}"
        if headers.get("x-ms-content-sha256") != digest:
            return "the digest is another body's"
        if abs(parsedate_to_datetime(headers["x-ms-date"]).timestamp() - time.time()) > SKEW_SECONDS:
            return "the date is too far off"
        return None if hmac.compare_digest(headers.get("authorization", ""), wanted) else "the signature is wrong"

    def _recipient(self, recipient: Told, asked: Told, fault: Fault | None) -> Told:
        to, name, first = (recipient.get(key) for key in ("to", "repeatabilityRequestId", "repeatabilityFirstSent"))
        if name is None or first is None:
            return self._do(str(to), asked, fault)
        if (rejected := self._rejected(str(name), str(first), asked)) is not None:
            return {"to": to, "successful": False, "repeatabilityResult": "rejected", **rejected}
        known = self._remembered.get(str(name))
        told = known[1] if known is not None else self._do(str(to), asked, fault)
        if told["httpStatusCode"] < 500:
            self._remembered[str(name)] = (asked, told)
        return {**told, "repeatabilityResult": "accepted"}

    def _rejected(self, name: str, first: str, asked: Told) -> Told | None:
        if len(name) != 36 or uuid.UUID(name).version is None:
            return {"httpStatusCode": 400, "errorMessage": "Invalid repeatabilityRequestId."}
        age = self._clock() - parsedate_to_datetime(first).timestamp()
        if not -60 < age < REMEMBERED_SECONDS:
            return {"httpStatusCode": 412, "errorMessage": "repeatabilityFirstSent is not within the 5 minute window."}
        known = self._remembered.get(name)
        if known is not None and known[0] != asked:
            return {"httpStatusCode": 400, "errorMessage": "The request is not the one of this repeatabilityRequestId."}
        return None

    def _do(self, to: str, asked: Told, fault: Fault | None) -> Told:
        if fault in RECIPIENTS:
            return {"to": to, "successful": False, **RECIPIENTS[fault]}
        stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        message_id = f"Outgoing_{stamp}{uuid.uuid4()}"
        options = asked.get("smsSendOptions", {})
        assert options.get("enableDeliveryReport") is True
        self.sent.append(Sent(to, asked["message"], message_id, str(options.get("tag")), time.time()))
        return {"to": to, "messageId": message_id, "httpStatusCode": 202, "successful": True}


def problem(status: int, message: str) -> Response:
    return JSONResponse({"error": {"code": str(status), "message": message}}, status)


@asynccontextmanager
async def azure_server(
    number: str = "+15005550001",
    *,
    clock: Callable[[], float] = time.time,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[FakeAzure]:
    """A service that has this one number; its requests are remembered by `clock`."""
    fake = FakeAzure(number, clock)
    app = Starlette(routes=[Route("/sms", fake.answer, methods=["POST"])])
    async with listening(app, port, tls) as port:
        fake.endpoint = f"{'https' if tls else 'http'}://{HOST}:{port}"
        yield fake
        fake.closing.set()
