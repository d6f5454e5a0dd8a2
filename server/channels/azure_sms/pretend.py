"""Azure's side of the wire, to try a server without an account: the event that it delivers, and its answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from server.channels.azure_sms.events import SMS_RECEIVED


def delivered_text(sender: str, to: str, text: str) -> bytes:
    """The body of the request with which Event Grid passes a text on, in its own schema."""
    now = datetime.now(UTC).isoformat()
    data = {
        "messageId": f"Incoming_{uuid.uuid4()}",
        "from": sender.removeprefix("+"),
        "to": to.removeprefix("+"),
        "message": text,
        "receivedTimestamp": now,
    }
    event = {
        "id": str(uuid.uuid4()),
        "topic": "/here",
        "subject": f"/phonenumber/{data['to']}",
        "eventType": SMS_RECEIVED,
        "eventTime": now,
        "data": data,
        "dataVersion": "1.0",
        "metadataVersion": "1",
    }
    return json.dumps([event]).encode()


def taken(asked: Mapping[str, Any]) -> Mapping[str, Sequence[Mapping[str, object]]]:
    """What the service answers when it takes a text for all of its recipients."""
    return {
        "value": [
            {
                "to": one["to"],
                "messageId": f"Outgoing_{uuid.uuid4()}",
                "httpStatusCode": 202,
                "successful": True,
                "repeatabilityResult": "accepted",
            }
            for one in asked["smsRecipients"]
        ]
    }
