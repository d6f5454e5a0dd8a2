"""What comes late: receipts of what was sent, pictures, and a reply a day after its question."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.backends.dynamodb import DynamoBackend, open_dynamodb
from server.backends.sql import SqlBackend, open_sql
from server.model import InboundMessage, person_of
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.twilio_server import OURS, PERSON, FakeTwilio, Fault, twilio_server
from tests.ministack import Cloud
from tests.scenario.phones import STATUS, Phone, twilio_settings
from tests.scenario.process import Start
from tests.scenario.storm import DATABASE
from tests.scenario.test_phone_pictures import png

WHATSAPP = {"From": f"whatsapp:{PERSON}", "To": f"whatsapp:{OURS}"}
TEMPLATE = "HX" + "a" * 32
DAY = 24 * 3600


@dataclass(frozen=True)
class Place:
    """`opened`: what is kept there, seen beside the server, by a clock."""

    settings: Mapping[str, object]
    opened: Callable[[Callable[[], float]], AbstractAsyncContextManager[SqlBackend | DynamoBackend]]


@pytest.fixture(params=["sql", "aws"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sql":
        url = f"sqlite:///{tmp_path / DATABASE}"
        return Place({}, lambda clock: open_sql(url, sole=False, clock=clock, lease_seconds=30, most_waiting=9))
    cloud: Cloud = request.getfixturevalue("cloud")
    cloud.empty_table()
    environment: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in cloud.emulator.environment().items():
        environment.setenv(name, value)
    table = cloud.settings["TABLE_NAME"]
    return Place(
        cloud.table_settings(), lambda clock: open_dynamodb(table, clock=clock, lease_seconds=30, most_waiting=9)
    )


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as fake:
        yield fake


async def test_what_became_of_a_message_is_kept_for_it(
    place: Place, start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    async with start(**place.settings, **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("one")
        await phone.hears(1)
        await phone.says("two")
        await phone.hears(2)
        one, two = twilio.messages
        status = server.http + STATUS
        await twilio.report(one, "delivered", "sent", "queued", "delivered", "unheard-of", to=status)
        await twilio.report(two, "undelivered", to=status, code=30003)
        assert [answered for _, _, answered in twilio.reported] == [204] * 6
        async with place.opened(time.time) as store:
            kept = [await store.receipt("sms", message.sid) for message in (one, two)]
    assert [(receipt.status, receipt.code) for receipt in kept if receipt] == [
        ("delivered", None),
        ("undelivered", "30003"),
    ]


async def test_who_told_twilio_to_stop_is_heard_when_only_the_receipt_says_so(
    place: Place, start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    async with start(**place.settings, **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("one")
        [_] = await phone.hears(1)
        await twilio.report(twilio.messages[0], "failed", to=server.http + STATUS, code=21610)
        await phone.says("two")
        await phone.says("START")
        assert (await phone.hears(2))[1].startswith("Welcome back.")
        await phone.says("three")
        assert (await phone.hears(3))[2] == "You said: three"
    assert len(provider.questions) == 2


async def test_pictures_that_twilio_does_not_give_at_once_are_kept(
    start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    urls = {f"MediaUrl{number}": twilio.picture(f"ME{number}", png()) for number in range(10)}
    twilio.media_faults.extend([Fault.UNAVAILABLE, Fault.MISSING, Fault.RESET, Fault.CUT, Fault.BUSY] * 2)
    async with start(**twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("Look!", **WHATSAPP, NumMedia="10", **urls)
        await phone.hears(1)
    words, *kept = provider.questions[-1].body["input"][-1]["content"].split("\n")
    assert words == "Look!"
    assert len([line for line in kept if line.startswith("[picture received/")]) == 10


async def test_a_day_after_the_question_whatsapp_is_sent_the_template(
    place: Place, start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    """The server was down for a day, with a text that it had accepted."""
    async with place.opened(lambda: time.time() - DAY) as store:
        current = await store.current(person_of(PERSON), "whatsapp", "assistant")
        await store.accept(InboundMessage(current.person, current.id, "m1", "Are you there?"))
    settings = {**twilio_settings(twilio), "TWILIO_WHATSAPP_TEMPLATE": TEMPLATE}
    async with start(**place.settings, **settings) as server:
        phone = Phone(twilio, server)
        await phone.hears(1)
        await phone.says("Hello again", **WHATSAPP)
        assert (await phone.hears(2))[1] == "You said: Hello again"
    late, in_time = twilio.messages
    assert (late.of("To"), late.of("ContentSid"), late.of("Body")) == (WHATSAPP["From"], TEMPLATE, "")
    assert in_time.of("ContentSid") == ""
    assert provider.questions[0].body["input"][-1]["content"] == "Are you there?"
