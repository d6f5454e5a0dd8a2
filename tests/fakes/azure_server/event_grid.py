"""Event Grid: events in its own schema and as CloudEvents, delivered with a secret, and again where they must be."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import httpx2

Json: TypeAlias = dict[str, Any]
Schema: TypeAlias = Literal["event_grid", "cloud_events"]

PATH = "/api/sms/webhook"
OURS = "+15005550001"
TOPIC = "/subscriptions/s/resourceGroups/g/providers/microsoft.communication/communicationservices/acs"
# Statuses after which an event is dropped at once; every other that is no success is tried again.
DROPPED = {400, 401, 403, 413}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class EventGrid:
    """A subscription. `secret` goes into the header, or with `in_query` into the URL."""

    def __init__(
        self,
        server: str,
        secret: str = "",
        *,
        schema: Schema = "event_grid",
        in_query: bool = False,
        number: str = OURS,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = f"{server}{PATH}"
        self._query = {"secret": secret} if secret and in_query else {}
        self._headers = {"x-eventgrid-secret": secret} if secret and not in_query else {}
        self._headers |= headers or {}
        self._schema = schema
        self._number = number

    def event(self, kind: str, data: object, event_id: str = "") -> Json:
        name = event_id or str(uuid.uuid4())
        subject = "/phonenumber/15005550001"
        if self._schema == "cloud_events":
            head = {"specversion": "1.0", "id": name, "source": TOPIC, "type": kind, "time": now()}
            return {**head, "subject": subject, "data": data}
        head = {"id": name, "topic": TOPIC, "eventType": kind, "eventTime": now()}
        return {**head, "subject": subject, "data": data, "dataVersion": "1.0", "metadataVersion": "1"}

    def text(self, sender: str, text: str, *, event_id: str = "", message_id: str = "") -> Json:
        data = {
            "messageId": message_id or f"Incoming_{uuid.uuid4()}",
            # As the service does, without the plus.
            "from": sender.removeprefix("+"),
            "to": self._number.removeprefix("+"),
            "message": text,
            "receivedTimestamp": now(),
            "segmentCount": 1,
        }
        return self.event("Microsoft.Communication.SMSReceived", data, event_id)

    def report(self, message_id: str, to: str, status: str = "Delivered", details: str = "No error.") -> Json:
        data = {
            "messageId": message_id,
            "from": self._number,
            "to": to,
            "deliveryStatus": status,
            "deliveryStatusDetails": details,
            "deliveryAttempts": [{"timestamp": now(), "segmentsSucceeded": 1, "segmentsFailed": 0}],
            "receivedTimestamp": now(),
            "tag": "",
        }
        return self.event("Microsoft.Communication.SMSDeliveryReportReceived", data)

    def validation(self, code: str = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6", url: str = "") -> Json:
        data = {"validationCode": code, "validationUrl": url or "https://rp-eastus2.eventgrid.azure.net:553/validate"}
        return self.event("Microsoft.EventGrid.SubscriptionValidationEvent", data)

    async def handshake(self, **headers: str) -> httpx2.Response:
        """Of CloudEvents."""
        async with httpx2.AsyncClient() as http:
            return await http.options(self._url, params=self._query, headers=headers)

    async def deliver(self, *events: Json, batch: bool = False) -> httpx2.Response:
        """Once. Event Grid's own schema is a list always; of CloudEvents only a batch is."""
        content: object = list(events) if batch or self._schema == "event_grid" else events[0]
        return await self.post(json.dumps(content).encode(), kind=self._media(batch=batch))

    async def post(self, body: bytes, *, kind: str = "application/json", **headers: str) -> httpx2.Response:
        async with httpx2.AsyncClient(timeout=30) as http:
            sent = {"content-type": kind, "aeg-event-type": "Notification", **self._headers, **headers}
            return await http.post(self._url, content=body, params=self._query, headers=sent)

    async def deliver_until_taken(self, events: Sequence[Json], *, pause: float = 0.2, times: int = 40) -> int:
        """As long as it is worth trying; the last status. Its own pauses begin at ten seconds."""
        status = 0
        for _ in range(times):
            try:
                status = (await self.deliver(*events, batch=True)).status_code
            except httpx2.TransportError:
                status = 0
            if status == 200 or status in DROPPED:
                break
            await asyncio.sleep(pause)
        return status

    def _media(self, *, batch: bool) -> str:
        if self._schema == "event_grid":
            return "application/json; charset=utf-8"
        return "application/cloudevents-batch+json" if batch else "application/cloudevents+json; charset=utf-8"
