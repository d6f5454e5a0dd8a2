"""People at a phone: a server behind Twilio, and what Twilio was asked to send."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from tests.fakes.twilio_server import ACCOUNT, OURS, TOKEN, FakeTwilio
from tests.scenario.process import ServerProcess

PUBLIC = "https://chat.example.com"
TEXTS = "/webhooks/twilio"
STATUS = "/webhooks/twilio/status"


def twilio_settings(fake: FakeTwilio) -> dict[str, object]:
    return {
        "PUBLIC_URL": PUBLIC,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_PHONE_NUMBER": OURS,
        "TWILIO_WHATSAPP_NUMBER": OURS,
        "TWILIO_API_URL": fake.url,
        "TWILIO_SETTLE_SECONDS": "0",
        "TEXT_PAUSE_SECONDS": "0.3",
    }


@dataclass(frozen=True)
class Phone:
    """Somebody's, with the server at the other end."""

    fake: FakeTwilio
    server: ServerProcess

    async def text(self, body: str, **fields: str) -> httpx2.Response:
        """What Twilio was answered. `fields` are of its form."""
        return await self.fake.text(PUBLIC + TEXTS, body, to=self.server.http + TEXTS, **fields)

    async def says(self, body: str, **fields: str) -> None:
        answered = await self.text(body, **fields)
        assert (answered.status_code, answered.text) == (200, EMPTY), answered.text

    async def hears(self, count: int, within: float = 20) -> list[str]:
        """All that it was sent, once that is so many messages."""
        await self.fake.sent(count, within)
        return self.fake.bodies()


EMPTY = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
