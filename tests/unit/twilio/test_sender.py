"""Messages out through Twilio, which answers well or badly."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from server.channels.twilio import Terms, TwilioSms, TwilioWhatsApp, open_client
from server.errors import InDoubt, ProviderFailed, ServerError, Unavailable
from server.model import Doubt, Piece
from tests.fakes.twilio_server import ACCOUNT, OURS, PERSON, TOKEN, FakeTwilio, Fault, twilio_server

TERMS = Terms("https://chat.example.com/webhooks/twilio/status", 3, 600, settle_seconds=0)
LINK = "https://chat.example.com/files/1?sig=of-then"
TEMPLATE = "HX" + "a" * 32
DAY = 24 * 3600


@pytest.fixture
async def fake() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as running:
        yield running


@pytest.fixture
async def sms(fake: FakeTwilio) -> AsyncIterator[TwilioSms]:
    async with open_client(ACCOUNT, TOKEN, fake.url, answer_seconds=0.3) as client:
        yield TwilioSms(client, OURS, TERMS, time.time)


@pytest.fixture
async def whatsapp(fake: FakeTwilio) -> AsyncIterator[TwilioWhatsApp]:
    async with open_client(ACCOUNT, TOKEN, fake.url, answer_seconds=0.3) as client:
        yield TwilioWhatsApp(client, OURS, TERMS, time.time, template=TEMPLATE, window_seconds=DAY)


def now() -> int:
    return int(time.time() * 1000)


async def send(sender: TwilioSms, text: str = "Hello", *media: str, asked_at: int | None = None) -> str:
    asked = now() if asked_at is None else asked_at
    return await sender.send(PERSON, text, media, key="c-1-0", began_at=now(), asked_at=asked)


async def test_a_message_has_an_end_and_a_place_for_its_receipt(fake: FakeTwilio, sms: TwilioSms) -> None:
    sid = await send(sms)
    [message] = fake.messages
    assert sid == message.sid
    assert {name: value for name, [value] in message.asked.items()} == {
        "To": PERSON,
        "From": OURS,
        "Body": "Hello",
        "StatusCallback": TERMS.status_url,
        "ValidityPeriod": "600",
    }


async def test_a_picture_is_a_link_as_sms(fake: FakeTwilio, sms: TwilioSms) -> None:
    await send(sms, "Here.", "https://chat.example.com/files/1")
    await send(sms, "", "https://chat.example.com/files/2")
    assert fake.bodies() == ["Here.\nhttps://chat.example.com/files/1", "https://chat.example.com/files/2"]


async def test_a_picture_is_a_picture_on_whatsapp(fake: FakeTwilio, whatsapp: TwilioWhatsApp) -> None:
    await send(whatsapp, "Here.", "https://chat.example.com/files/1")
    [message] = fake.messages
    assert (message.of("To"), message.of("From")) == (f"whatsapp:{PERSON}", f"whatsapp:{OURS}")
    assert (message.body, message.asked["MediaUrl"]) == ("Here.", ["https://chat.example.com/files/1"])


async def test_a_day_after_the_question_the_template_is_sent(fake: FakeTwilio, whatsapp: TwilioWhatsApp) -> None:
    await send(whatsapp, asked_at=now() - (DAY + 1) * 1000)
    [message] = fake.messages
    assert (message.of("ContentSid"), message.of("Body")) == (TEMPLATE, "")


async def test_without_a_template_that_is_a_no(fake: FakeTwilio) -> None:
    async with open_client(ACCOUNT, TOKEN, fake.url) as client:
        sender = TwilioWhatsApp(client, OURS, TERMS, time.time, template="", window_seconds=DAY)
        with pytest.raises(ProviderFailed) as refused:
            await send(sender, asked_at=now() - (DAY + 1) * 1000)
    assert refused.value.code == "window_over"
    assert fake.asked == 0


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (Fault.STOPPED, ProviderFailed, "opted_out"),
        (Fault.BAD_NUMBER, ProviderFailed, "twilio_21211"),
        (Fault.BUSY, Unavailable, "twilio_20429"),
        (Fault.UNAVAILABLE, Unavailable, "twilio_20503"),
        (Fault.INTERNAL, InDoubt, "twilio_20500"),
        (Fault.TAKEN_500, InDoubt, "twilio_20500"),
        (Fault.TAKEN_503, InDoubt, "twilio_503"),
        (Fault.HANG, InDoubt, "twilio_silent"),
        (Fault.LOST, InDoubt, "twilio_silent"),
        (Fault.RESET, InDoubt, "twilio_silent"),
        (Fault.NO_JSON, InDoubt, "twilio_silent"),
    ],
)
async def test_what_twilio_says_in_our_words(
    fake: FakeTwilio, sms: TwilioSms, fault: Fault, kind: type[ServerError], code: str
) -> None:
    fake.faults.append(fault)
    with pytest.raises(kind) as failed:
        await send(sms)
    assert (type(failed.value), failed.value.code) == (kind, code)
    assert fake.asked == 1  # Nothing is tried again behind our back.


async def test_what_surely_was_not_sent_is_no_doubt() -> None:
    async with twilio_server() as fake:
        url = fake.url
    async with open_client(ACCOUNT, TOKEN, url) as client:
        with pytest.raises(Unavailable, match="reached"):
            await send(TwilioSms(client, OURS, TERMS, time.time))


async def test_a_wrong_token_loses_nothing_until_it_is_mended(fake: FakeTwilio) -> None:
    async with open_client(ACCOUNT, "another", fake.url) as client:
        with pytest.raises(Unavailable) as refused:
            await send(TwilioSms(client, OURS, TERMS, time.time))
    assert refused.value.code == "provider_key"


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.LOST, Fault.TAKEN_500, Fault.TAKEN_503, Fault.NO_JSON])
async def test_a_message_in_doubt_is_found_where_it_was_taken(fake: FakeTwilio, sms: TwilioSms, fault: Fault) -> None:
    fake.faults.append(fault)
    began_at = now()
    with pytest.raises(InDoubt):
        await send(sms)
    assert await sms.settle(PERSON, "Hello", (), Doubt("c-1-0", began_at, now())) == fake.messages[0].sid


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.INTERNAL])
async def test_it_is_not_found_where_it_was_not(fake: FakeTwilio, sms: TwilioSms, fault: Fault) -> None:
    fake.faults.append(fault)
    with pytest.raises(InDoubt):
        await send(sms)
    assert await sms.settle(PERSON, "Hello", (), Doubt("c-1-0", now(), now())) is None


async def test_other_messages_do_not_settle_it(fake: FakeTwilio, sms: TwilioSms) -> None:
    await send(sms, "Hello there")
    await sms.send("+491701234568", "Hello", (), key="k", began_at=now(), asked_at=now())
    assert await sms.settle(PERSON, "Hello", (), Doubt("c-1-0", now(), now())) is None


async def test_neither_does_an_older_one_with_the_same_words(fake: FakeTwilio, sms: TwilioSms) -> None:
    await send(sms)
    fake.messages[0].created_at -= timedelta(minutes=2)
    assert await sms.settle(PERSON, "Hello", (), Doubt("c-2-0", now(), now())) is None


async def test_neither_does_one_that_is_known_to_be_another(fake: FakeTwilio, sms: TwilioSms) -> None:
    known, unknown = await send(sms), await send(sms)
    assert await sms.settle(PERSON, "Hello", (), Doubt("c-2-0", now(), now(), frozenset({known}))) == unknown
    assert await sms.settle(PERSON, "Hello", (), Doubt("c-2-0", now(), now(), frozenset({known, unknown}))) is None


async def test_one_that_went_out_with_a_link_is_found(fake: FakeTwilio, sms: TwilioSms) -> None:
    sid = await send(sms, "Here.", LINK)
    assert await sms.settle(PERSON, "Here.", (), Doubt("c-1-0", now(), now())) == sid


async def test_on_whatsapp_as_well(fake: FakeTwilio, whatsapp: TwilioWhatsApp) -> None:
    sid = await send(whatsapp)
    assert await whatsapp.settle(PERSON, "Hello", (), Doubt("c-1-0", now(), now())) == sid


async def test_a_template_in_doubt_is_not_sent_again(fake: FakeTwilio, whatsapp: TwilioWhatsApp) -> None:
    fake.faults.append(Fault.LOST)
    began_at, asked_at = now(), now() - (DAY + 1) * 1000
    with pytest.raises(InDoubt):
        await send(whatsapp, asked_at=asked_at)
    [message] = fake.messages
    assert await whatsapp.settle(PERSON, "Hello", (), Doubt("c-1-0", began_at, asked_at)) == message.sid


def test_a_reply_has_as_many_messages_as_the_settings_allow(sms: TwilioSms, whatsapp: TwilioWhatsApp) -> None:
    for sender, places in ((sms, (None, 0, 1)), (whatsapp, (0, 1, 2))):
        pieces = [Piece(text, place) for text, place in zip(("Here.", "", ""), places, strict=True)]
        assert sender.parts("Here.", [LINK] * 32) == pieces


async def test_a_picture_without_words_is_found_as_well(fake: FakeTwilio, sms: TwilioSms) -> None:
    await send(sms, "Hello")
    sid = await send(sms, "", LINK)
    assert await sms.settle(PERSON, "", (), Doubt("c-1-0", now(), now())) == sid


@pytest.mark.parametrize("seconds", [-45, 45])
async def test_a_message_in_doubt_is_found_by_clocks_that_differ(
    fake: FakeTwilio, sms: TwilioSms, seconds: float
) -> None:
    sid = await send(sms)
    fake.messages[0].created_at += timedelta(seconds=seconds)
    assert await sms.settle(PERSON, "Hello", (), Doubt("c-1-0", now(), now())) == sid


async def test_an_account_on_trial_finds_its_messages_behind_what_twilio_says_before_them(
    fake: FakeTwilio, sms: TwilioSms
) -> None:
    fake.on_trial = True
    link = "https://chat.example.com/files/1?sig=of-then"
    words, both, picture = await send(sms, "Hello"), await send(sms, "Here.", link), await send(sms, "", link)
    found = [await sms.settle(PERSON, text, (), Doubt("c-1-0", now(), now())) for text in ("Hello", "Here.", "")]
    assert found == [words, both, picture]
    assert await sms.settle(PERSON, "Hell", (), Doubt("c-1-0", now(), now())) is None


async def test_words_do_not_settle_a_picture_that_came_without_any(
    fake: FakeTwilio, sms: TwilioSms, whatsapp: TwilioWhatsApp
) -> None:
    for sender in (sms, whatsapp):
        await send(sender, "Here.", "https://chat.example.com/files/1")
        await send(sender, "Hello")
        assert await sender.settle(PERSON, "", (), Doubt("c-1-0", now(), now())) is None
        sid = await send(sender, "", "https://chat.example.com/files/2")
        assert await sender.settle(PERSON, "", (), Doubt("c-1-0", now(), now())) == sid


async def test_it_is_not_asked_while_the_message_may_still_be_on_its_way(fake: FakeTwilio) -> None:
    async with open_client(ACCOUNT, TOKEN, fake.url) as client:
        sender = TwilioSms(client, OURS, Terms("", 3, 600, settle_seconds=30), time.time)
        with pytest.raises(Unavailable) as early:
            await sender.settle(PERSON, "Hello", (), Doubt("c-1-0", now(), now()))
    assert early.value.retry_after == pytest.approx(30, abs=2)
    assert fake.listed == 0


async def test_while_twilio_does_not_say_nothing_is_settled() -> None:
    async with twilio_server() as fake:
        url = fake.url
    async with open_client(ACCOUNT, TOKEN, url) as client:
        with pytest.raises(Unavailable):
            await TwilioSms(client, OURS, TERMS, time.time).settle(PERSON, "Hello", (), Doubt("c-1-0", now(), now()))
