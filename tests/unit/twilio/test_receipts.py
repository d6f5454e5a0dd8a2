"""What Twilio says became of a message is kept for that message, in our words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from server.backends.memory import MemoryStore
from server.channels.twilio import Signatures, Webhook
from server.entrypoints.webhooks import take_status
from server.inbox.reports import Reports
from server.model import ReceiptStatus, person_of
from tests.fakes.twilio_server import ACCOUNT, OURS, PERSON, TOKEN, signed

URL = "https://chat.example.com"
STATUS = "/webhooks/twilio/status"
MESSAGE = "SM" + "1" * 32
STOPPED = {"MessageStatus": "failed", "ErrorCode": "21610"}


@dataclass
class Scene:
    store: MemoryStore = field(default_factory=lambda: MemoryStore(lease_seconds=30, most_waiting=9))

    async def report(self, **fields: str) -> int:
        known = {"MessageSid": MESSAGE, "AccountSid": ACCOUNT, "To": PERSON, "From": OURS, **fields}
        server: Any = SimpleNamespace(reports=Reports(self.store, self.store, self.store, time.time))
        webhook = Webhook(URL, ACCOUNT, Signatures([TOKEN]), ("sms", "whatsapp"))
        headers: Mapping[str, str] = {name.lower(): value for name, value in signed(URL + STATUS, known).items()}
        answered = await take_status(server, webhook, STATUS, headers, urlencode(known).encode())
        return answered.status_code

    async def kept(self, channel: str = "sms", message: str = MESSAGE) -> tuple[ReceiptStatus, str | None] | None:
        receipt = await self.store.receipt(channel, message)
        return (receipt.status, receipt.code) if receipt else None

    async def opted_out(self, channel: str = "sms", number: str = PERSON) -> bool:
        return await self.store.opted_out(person_of(number), channel)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("accepted", "queued"),
        ("scheduled", "queued"),
        ("queued", "queued"),
        ("sending", "queued"),
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("partially_delivered", "undelivered"),
        ("read", "read"),
        ("undelivered", "undelivered"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
async def test_each_of_twilios_words_is_kept_as_ours(told: str, status: ReceiptStatus) -> None:
    scene = Scene()
    assert await scene.report(MessageStatus=told) == 204
    assert await scene.kept() == (status, None)


@pytest.mark.parametrize("told", ["", "receiving", "received", "Delivered", "teleported"])
async def test_a_word_that_tells_nothing_of_what_we_sent_is_not_kept(told: str) -> None:
    scene = Scene()
    assert await scene.report(MessageStatus=told) == 204
    assert await scene.kept() is None


async def test_in_whatever_order_they_come_the_last_word_is_kept() -> None:
    for order in permutations(("queued", "sent", "delivered", "read")):
        scene = Scene()
        for told in (*order, *order):
            await scene.report(MessageStatus=told)
        assert await scene.kept() == ("read", None)


async def test_each_message_has_a_receipt_of_its_own() -> None:
    scene, other = Scene(), "SM" + "2" * 32
    await scene.report(MessageStatus="delivered")
    await scene.report(MessageStatus="undelivered", ErrorCode="30003", MessageSid=other)
    await scene.report(MessageStatus="read", To=f"whatsapp:{PERSON}")
    assert await scene.kept() == ("delivered", None)
    assert await scene.kept(message=other) == ("undelivered", "30003")
    assert await scene.kept("whatsapp") == ("read", None)
    assert not await scene.opted_out()


@pytest.mark.parametrize(("channel", "to"), [("sms", PERSON), ("whatsapp", f"whatsapp:{PERSON}")])
async def test_who_told_twilio_to_stop_has_opted_out_of_that_channel(channel: str, to: str) -> None:
    scene = Scene()
    assert await scene.report(To=to, **STOPPED) == 204
    assert await scene.kept(channel) == ("failed", "opted_out")
    assert [one for one in ("sms", "whatsapp", "azure_sms") if await scene.opted_out(one)] == [channel]


async def test_a_report_of_it_that_comes_again_does_not_undo_a_later_start() -> None:
    scene = Scene()
    await scene.report(**STOPPED)
    await scene.store.opt_in(person_of(PERSON), "sms", int(time.time() * 1000), "start")
    await scene.report(**STOPPED)
    assert not await scene.opted_out()


@pytest.mark.parametrize("to", ["", "12345", "Bank", "whatsapp:", "messenger:1"])
async def test_of_what_is_no_phone_the_receipt_alone_is_kept(to: str) -> None:
    scene = Scene()
    assert await scene.report(To=to, **STOPPED) == 204
    assert await scene.kept("whatsapp" if to == "whatsapp:" else "sms") == ("failed", "opted_out")
    assert not await scene.opted_out(number=to)
