"""Twilio's side of the wire, to try a server without an account: the form that it posts, and its answers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from email.utils import formatdate
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from server.channels.twilio.webhook import WHATSAPP


def posted_text(
    url: str, account: str, token: str, *, channel: str, sender: str, to: str, text: str
) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of the request with which Twilio passes a text on to `url`."""
    prefix = WHATSAPP if channel == "whatsapp" else ""
    fields = {
        "MessageSid": f"SM{uuid.uuid4().hex}",
        "AccountSid": account,
        "From": prefix + sender,
        "To": prefix + to,
        "Body": text,
        "NumMedia": "0",
    }
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": str(RequestValidator(token).compute_signature(url, fields)),
    }
    return urlencode(fields).encode(), headers


def taken(account: str, asked: Mapping[str, str]) -> Mapping[str, object]:
    """What Twilio answers when it takes a message."""
    return {
        "sid": f"SM{uuid.uuid4().hex}",
        "account_sid": account,
        "to": asked.get("To"),
        "from": asked.get("From"),
        "body": asked.get("Body"),
        "status": "queued",
        "date_created": formatdate(usegmt=False),
    }
