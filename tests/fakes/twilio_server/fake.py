"""What the fake keeps, and the person at the other end of it."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode

import httpx2
from twilio.request_validator import RequestValidator

from tests.fakes.twilio_server.faults import DENIALS, Denial, Fault

ACCOUNT = "AC" + "0" * 31 + "1"
TOKEN = "twilio-token-canary"
OURS = "+15005550006"
TRIAL = "Sent from your Twilio trial account - "
PERSON = "+491701234567"
ADDRESS = re.compile(r"(whatsapp:)?\+[1-9][0-9]{6,14}")
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Message:
    """One that was taken. `asked` is all that was asked for it, `before` what Twilio says before its words."""

    asked: Mapping[str, list[str]]
    before: str = ""
    sid: str = field(default_factory=lambda: "SM" + uuid.uuid4().hex)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: str = "queued"

    def of(self, name: str) -> str:
        return self.asked.get(name, [""])[0]

    @property
    def body(self) -> str:
        return self.before + ("The template's words." if self.of("ContentSid") else self.of("Body"))

    def resource(self) -> dict[str, object]:
        created = format_datetime(self.created_at)
        return {
            "sid": self.sid,
            "account_sid": ACCOUNT,
            "to": self.of("To"),
            "from": self.of("From"),
            "body": self.body,
            "status": self.status,
            "direction": "outbound-api",
            "num_media": str(len(self.asked.get("MediaUrl", []))),
            "date_created": created,
            "date_updated": created,
            "date_sent": None if self.status == "queued" else created,
            "error_code": None,
        }


class FakeTwilio:
    """`faults`: those of the next messages, one each. `stopped`: numbers that told Twilio to stop. `reports`: whether
    it says what becomes of messages. `weather`: the fault of each message for which `faults` has none.
    `seconds`: how long it takes for a message; it is taken in the middle of it. `on_trial`: nobody pays the account.
    `media_faults`: as `faults`, of pictures. `store`: where these are kept, if not here; `given`: who asked here for
    one, by the Authorization that they came with.
    """

    def __init__(self, numbers: tuple[str, ...], *, reports: bool) -> None:
        self.url = ""
        self.numbers = numbers
        self.reports = reports
        self.messages: list[Message] = []
        self.faults: deque[Fault] = deque()
        self.weather: Callable[[], Fault | None] = lambda: None
        self.stopped: set[str] = set()
        self.media: dict[str, bytes] = {}
        self.media_faults: deque[Fault] = deque()
        self.store = ""
        self.given: list[str | None] = []
        self.seconds = 0.0
        self.on_trial = False
        self.asked = 0
        self.under_way = 0
        self.listed = 0
        self.reported: list[tuple[str, str, int]] = []
        self.closing = asyncio.Event()
        self.changed = asyncio.Condition()

    async def sent(self, count: int, seconds: float = 20) -> list[Message]:
        """Waits until so many messages were taken."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    def bodies(self) -> list[str]:
        return [message.body for message in self.messages]

    async def take(self, asked: Mapping[str, list[str]]) -> Message:
        self.check(Message(asked))
        message = Message(asked, TRIAL if self.on_trial else "")
        async with self.changed:
            self.messages.append(message)
            self.changed.notify_all()
        return message

    def check(self, message: Message) -> None:
        """What Twilio refuses, in its order."""
        if not message.of("To"):
            raise Denial(400, 21604, "A 'To' phone number is required.")
        if not ADDRESS.fullmatch(message.of("To")):
            raise DENIALS[Fault.BAD_NUMBER]
        if message.of("From") not in self.numbers:
            raise Denial(400, 21606, "The 'From' phone number provided is not a valid message-capable number.")
        if not (message.of("Body") or message.of("MediaUrl") or message.of("ContentSid")):
            raise Denial(400, 21602, "Message body is required.")
        if len(message.of("Body").encode("utf-16-le")) > 2 * 1600:
            raise Denial(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if not 1 <= int(message.of("ValidityPeriod") or 36_000) <= 36_000:
            raise Denial(400, 21615, "ValidityPeriod is out of range.")
        if not re.match(r"https?://[^/]+/", message.of("StatusCallback") or "https://none/"):
            raise Denial(400, 21609, "Invalid 'StatusCallback' URL.")
        if message.of("To") in self.stopped:
            raise DENIALS[Fault.STOPPED]

    # --- the other end ---

    def picture(self, name: str, content: bytes) -> str:
        """Where Twilio keeps it."""
        self.media[name] = content
        return f"{self.url}/2010-04-01/Accounts/{ACCOUNT}/Messages/MM{'0' * 32}/Media/{name}"

    async def text(self, public_url: str, body: str, *, to: str | None = None, **fields: str) -> httpx2.Response:
        """Somebody writes; Twilio says so to the server at `to`, which the world knows by `public_url`."""
        return await post_signed(public_url, inbound(body, **fields), to=to)

    async def report(self, message: Message, *statuses: str, to: str | None = None, code: int | None = None) -> None:
        """`code`: of the error, for what was not sent."""
        for status in statuses:
            message.status = status
            fields = {
                "MessageSid": message.sid,
                "AccountSid": ACCOUNT,
                "To": message.of("To"),
                "From": message.of("From"),
                "MessageStatus": status,
                **({"ErrorCode": str(code)} if code else {}),
            }
            answered = await post_signed(message.of("StatusCallback"), fields, to=to)
            self.reported.append((message.sid, status, answered.status_code))


def inbound(body: str, **fields: str) -> dict[str, str]:
    """What Twilio posts for a text, as far as anybody reads it."""
    sid = "SM" + uuid.uuid4().hex
    return {
        "MessageSid": sid,
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "AccountSid": ACCOUNT,
        "From": PERSON,
        "To": OURS,
        "Body": body,
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsStatus": "received",
        "ApiVersion": "2010-04-01",
        **fields,
    }


def signed(url: str, fields: Mapping[str, str], token: str = TOKEN) -> dict[str, str]:
    """The headers of a form that Twilio posts."""
    signature = RequestValidator(token).compute_signature(url, fields)
    return {**FORM, "X-Twilio-Signature": signature, "I-Twilio-Idempotency-Token": uuid.uuid4().hex}


async def post_signed(url: str, fields: Mapping[str, str], *, to: str | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=30) as http:
        return await http.post(to or url, content=urlencode(fields), headers=signed(url, fields))
