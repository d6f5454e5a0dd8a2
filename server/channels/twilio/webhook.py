"""What Twilio posts to us, once it is known to come from Twilio. Nothing here does any I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec

from server.channels.twilio.client import OPTED_OUT
from server.channels.twilio.signature import Form, Signatures, Signed
from server.errors import BadInput, Unauthorized
from server.model import ReceiptStatus, Text, text_id

MOST_FIELDS = 200
MOST_MEDIA = 10
WHATSAPP = "whatsapp:"
LONGEST_CODE = 64
IDEMPOTENCY = "i-twilio-idempotency-token"

ACCOUNT = re.compile(r"AC[0-9a-f]{32}")
MESSAGE = re.compile(r"(SM|MM)[0-9a-f]{32}")
# A number, a short code, or the name that a sender took.
ADDRESS = re.compile(r"\+?[0-9]{3,15}|[A-Za-z0-9 ]{1,11}")
OURS = re.compile(r"\+[0-9]{7,15}|[0-9]{3,8}")
PHONE = re.compile(r"\+[0-9]{7,15}")

STATUSES: Mapping[str, ReceiptStatus] = {
    "accepted": "queued",
    "scheduled": "queued",
    "queued": "queued",
    "sending": "queued",
    "sent": "sent",
    "delivered": "delivered",
    "partially_delivered": "undelivered",
    "read": "read",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message of ours. `number`: whom it was for, where that is a phone."""

    channel: str
    provider_id: str
    status: ReceiptStatus
    code: str | None
    number: str | None


class Webhook:
    """`url` is where the world finds us, without a path; `channels` those that we have a number for."""

    def __init__(self, url: str, account: str, signatures: Signatures, channels: Sequence[str]) -> None:
        self._url = url
        self._account = account
        self._signatures = signatures
        self._channels = channels

    def text(self, target: str, headers: Mapping[str, str], body: bytes) -> Text:
        """`target`: path and query as they came; names of `headers` are in lower case.

        Raises `Unauthorized` for what Twilio did not sign for us, `BadInput` for what it never sends.
        """
        fields = self._genuine(target, headers, body)
        account, message = field(fields, "AccountSid", ACCOUNT), field(fields, "MessageSid", MESSAGE)
        channel, sender = self._parties(fields)
        token = headers.get(IDEMPOTENCY)
        aliases = [text_id("body", account, hashlib.sha256(body).hexdigest())]
        if token:
            aliases.append(text_id("token", account, token))
        return Text(
            channel,
            sender,
            text_id("twilio", account, message),
            fields.get("Body", ""),
            aliases=tuple(aliases),
            media=media_of(fields),
        )

    def delivery(self, target: str, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        """None for a status that tells us nothing. Raises as `text` does."""
        fields = self._genuine(target, headers, body)
        message, to = field(fields, "MessageSid", MESSAGE), fields.get("To", "")
        channel = "whatsapp" if to.startswith(WHATSAPP) else "sms"
        status = STATUSES.get(fields.get("MessageStatus", ""))
        if status is None:
            return None
        number = to.removeprefix(WHATSAPP)
        known = number if PHONE.fullmatch(number) else None
        return Delivery(channel, message, status, code_of(fields.get("ErrorCode", "")), known)

    def _genuine(self, target: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        content = content_of(headers, body)
        if not self._signatures.hold(self._url + target, content, headers):
            raise Unauthorized("Twilio did not sign this for this server.", code="bad_signature")
        fields = fields_of(content)
        if field(fields, "AccountSid", ACCOUNT) != self._account:
            raise Unauthorized("This is another account's.", code="other_account")
        return fields

    def _parties(self, fields: Mapping[str, str]) -> tuple[str, str]:
        """The channel, and whom it came from."""
        sender, to = fields.get("From", ""), fields.get("To", "")
        channel = "whatsapp" if to.startswith(WHATSAPP) else "sms"
        if sender.startswith(WHATSAPP) != to.startswith(WHATSAPP):
            raise BadInput("From and To are not of one channel.", code="bad_field")
        sender, to = sender.removeprefix(WHATSAPP), to.removeprefix(WHATSAPP)
        if not ADDRESS.fullmatch(sender) or not OURS.fullmatch(to):
            raise BadInput("From or To is no address.", code="bad_field")
        if channel not in self._channels:
            raise BadInput(f"This server has no number for {channel}.", code="no_such_channel")
        return channel, sender


def content_of(headers: Mapping[str, str], body: bytes) -> Signed:
    """Raises `Unauthorized` for what cannot be a signed request at all."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        text = body.decode()
        if kind == "application/json":
            return text
        return Form(parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError:
        raise Unauthorized("This is nothing that Twilio signs.", code="bad_signature") from None


def fields_of(content: Signed) -> Mapping[str, str]:
    """Raises `BadInput` where they are ambiguous."""
    if isinstance(content, str):
        try:
            return msgspec.json.decode(content, type=dict[str, str])
        except (msgspec.MsgspecError, RecursionError):
            raise BadInput("The body is no object of texts.", code="bad_form") from None
    if any(len(values) != 1 for values in content.values()):
        raise BadInput("A field comes twice.", code="bad_field")
    return {name: values[0] for name, values in content.items()}


def field(fields: Mapping[str, str], name: str, form: re.Pattern[str]) -> str:
    value = fields.get(name, "")
    if not form.fullmatch(value):
        raise BadInput(f"{name} is missing, or is none.", code="bad_field")
    return value


def code_of(told: str) -> str | None:
    """Twilio's number for why it failed. What a person said to Twilio themselves has a name of its own."""
    if told == str(OPTED_OUT):
        return "opted_out"
    return told[:LONGEST_CODE] if told.isdecimal() else None


def media_of(fields: Mapping[str, str]) -> tuple[str, ...]:
    count = fields.get("NumMedia", "0")
    if not re.fullmatch(r"[0-9]{1,2}", count) or int(count) > MOST_MEDIA:
        raise BadInput("NumMedia is no such number.", code="bad_field")
    return tuple(fields[f"MediaUrl{n}"] for n in range(int(count)) if f"MediaUrl{n}" in fields)
