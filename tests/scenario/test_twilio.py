"""Whole stories by SMS and WhatsApp: from the webhook to the delivered reply."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.fakes.twilio_server import OURS, PERSON, FakeTwilio, Fault
from tests.ports import quiet_port
from tests.scenario.phones import STATUS, Phone, twilio_settings
from tests.scenario.process import Start, run_command

OTHER = "+491701234568"
WHATSAPP = {"From": f"whatsapp:{PERSON}", "To": f"whatsapp:{OURS}"}


async def test_a_text_is_answered_by_text(phone: Phone, provider: FakeOpenAI) -> None:
    await phone.says("Hey, how is it going?")
    assert await phone.hears(1) == ["You said: Hey, how is it going?"]
    [message] = phone.fake.messages
    assert (message.of("To"), message.of("From")) == (PERSON, OURS)
    assert message.of("StatusCallback") == "https://chat.example.com/webhooks/twilio/status"


async def test_the_session_is_what_the_model_is_shown(phone: Phone, provider: FakeOpenAI) -> None:
    await phone.says("My name is Anna.")
    await phone.hears(1)
    await phone.says("HELP")
    await phone.hears(2)
    await phone.says("Who am I?")
    await phone.hears(3)
    shown = [item["content"] for item in provider.questions[-1].body["input"]]
    assert shown == ["My name is Anna.", "You said: My name is Anna.", "Who am I?"]


async def test_whatsapp_is_a_conversation_of_its_own(phone: Phone, provider: FakeOpenAI) -> None:
    await phone.says("by sms")
    await phone.says("by whatsapp", **WHATSAPP)
    assert sorted(await phone.hears(2)) == ["You said: by sms", "You said: by whatsapp"]
    [message] = [one for one in phone.fake.messages if "whatsapp" in one.body]
    assert (message.of("To"), message.of("From")) == (WHATSAPP["From"], WHATSAPP["To"])
    assert all(len(one.body["input"]) == 1 for one in provider.questions)


async def test_several_texts_in_a_row_are_answered_once(
    kept: dict[str, object], start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    async with start(**kept, **{**twilio_settings(twilio), "TEXT_PAUSE_SECONDS": "4"}) as server:
        phone = Phone(twilio, server)
        for words in ("one", "two", "three"):
            await phone.says(words)
        assert await phone.hears(1) == ["You said: one\ntwo\nthree"]
    assert len(provider.questions) == 1


async def test_what_comes_twice_is_answered_once(phone: Phone, provider: FakeOpenAI) -> None:
    again = {"MessageSid": "SM" + "a" * 32}
    await asyncio.gather(*(phone.says("once", **again) for _ in range(5)))
    await phone.hears(1)
    await phone.says("once", **again)
    await phone.says("done")
    assert await phone.hears(2) == ["You said: once", "You said: done"]
    assert len(provider.questions) == 2


async def test_after_a_stop_nothing_is_sent(phone: Phone, provider: FakeOpenAI) -> None:
    provider.script(Answer(first_delay=5))
    await phone.says("a long story, please")
    await provider.until(lambda: len(provider.questions) == 1)
    await phone.says(" Stop ")
    await phone.says("is somebody there?")
    await phone.says("yes")  # After a stop, and only then, this is a start.
    assert (await phone.hears(1))[0].startswith("Welcome back.")
    await phone.says("yes")
    assert (await phone.hears(2))[1] == "You said: yes"
    assert [asked.body["input"][-1]["content"] for asked in provider.questions] == ["a long story, please", "yes"]


async def test_a_reset_begins_a_new_session(phone: Phone, provider: FakeOpenAI) -> None:
    await phone.says("My name is Anna.")
    await phone.hears(1)
    await phone.says("/reset")
    assert "new conversation" in (await phone.hears(2))[1]
    await phone.says("Who am I?")
    await phone.hears(3)
    assert len(provider.questions[-1].body["input"]) == 1


async def test_a_session_ends_after_its_hours(start: Start, twilio: FakeTwilio, provider: FakeOpenAI) -> None:
    async with start(SESSION_HOURS=0.0005, **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("My name is Anna.")
        await phone.hears(1)
        await asyncio.sleep(2)  # A session of 1.8 seconds.
        await phone.says("Who am I?")
        await phone.hears(2)
    assert len(provider.questions[-1].body["input"]) == 1


async def test_an_answer_in_doubt_is_asked_for_and_not_sent_again(phone: Phone) -> None:
    phone.fake.faults.extend([Fault.LOST])
    await phone.says("one")
    await phone.hears(1)
    await phone.says("two")
    assert await phone.hears(2, within=60) == ["You said: one", "You said: two"]
    assert phone.fake.listed >= 1


async def test_an_answer_that_was_refused_for_now_is_sent_later(phone: Phone) -> None:
    phone.fake.faults.extend([Fault.BUSY])
    await phone.says("one")
    assert await phone.hears(1) == ["You said: one"]


async def test_who_told_twilio_to_stop_is_sent_nothing_more(phone: Phone, provider: FakeOpenAI) -> None:
    phone.fake.faults.extend([Fault.STOPPED])
    await phone.says("one")
    await provider.until(lambda: len(provider.questions) == 1)
    async with asyncio.timeout(20):
        while phone.fake.asked < 1:
            await asyncio.sleep(0.05)
    await phone.says("START")
    assert (await phone.hears(1))[0].startswith("Welcome back.")


async def test_what_became_of_a_message_is_kept(phone: Phone) -> None:
    await phone.says("hello")
    await phone.hears(1)
    [message] = phone.fake.messages
    await phone.fake.report(message, "sent", "delivered", "sent", "unheard-of", to=phone.server.http + STATUS)
    assert [status for _, _, status in phone.fake.reported] == [204] * 4


async def test_a_kill_loses_no_text(start: Start, twilio: FakeTwilio, provider: FakeOpenAI) -> None:
    settings = {**twilio_settings(twilio), "LEASE_SECONDS": "2"}
    async with start(**settings) as server:
        await Phone(twilio, server).says("survive")
        await server.kill()
    async with start(**settings) as server:
        assert await Phone(twilio, server).hears(1) == ["You said: survive"]


async def test_only_those_on_the_list_are_answered(start: Start, twilio: FakeTwilio, provider: FakeOpenAI) -> None:
    async with start(SMS_ALLOW_LIST=f"{PERSON}, +1500*", **twilio_settings(twilio)) as server:
        phone = Phone(twilio, server)
        await phone.says("let me in", From=OTHER)
        await phone.says("let me in", From="+499001123456")  # To answer it costs what its owner likes.
        await phone.says("let me in", From="12345")
        await phone.says("hello")
        assert await phone.hears(1) == ["You said: hello"]
    assert len(provider.questions) == 1
    assert OTHER not in server.printed()


async def test_over_the_limit_a_person_is_told_once(start: Start, twilio: FakeTwilio, provider: FakeOpenAI) -> None:
    settings = {**twilio_settings(twilio), "TEXT_PAUSE_SECONDS": "0"}
    async with start(TEXTS_PER_DAY=2, **settings) as server:
        phone = Phone(twilio, server)
        for number in range(6):
            await phone.says(f"text {number}")
        await phone.says("hello", From=OTHER)
        heard = await phone.hears(4)
    assert sorted(heard) == sorted(
        [
            "You said: text 0",
            "You said: text 1",
            "That was all for today. Please come back tomorrow.",
            "You said: hello",
        ]
    )
    assert len(provider.questions) == 3


async def test_the_cap_is_reserved_before_the_model_is_asked(
    start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    settings = {**twilio_settings(twilio), "TEXT_PAUSE_SECONDS": "0"}
    async with start(SEGMENTS_PER_DAY=6, SMS_SEGMENTS=3, **settings) as server:
        phone = Phone(twilio, server)
        for number in range(4):
            await phone.says(f"text {number}")
        assert len(await phone.hears(3)) == 3
    assert len(provider.questions) == 2


async def test_nothing_that_a_person_said_is_in_a_log_line(phone: Phone) -> None:
    await phone.says("canary-text-1", From=OTHER)
    await phone.text("canary-text-2", AccountSid="AC" + "f" * 32)
    await phone.hears(1)
    await phone.says("STOP", From=OTHER)
    await phone.says("canary-text-3")
    await phone.hears(2)
    printed = phone.server.printed()
    for canary in ("canary-text", "+4917", "491701234", "twilio-token-canary", "X-Twilio-Signature"):
        assert canary not in printed


async def test_nobody_watches_a_phone_so_the_provider_works_by_itself(
    start: Start, twilio: FakeTwilio, provider: FakeOpenAI
) -> None:
    settings = {**twilio_settings(twilio), "OPENAI_BACKGROUND": "true", "POLL_FIRST_SECONDS": "0.05"}
    async with start(**settings) as server:
        phone = Phone(twilio, server)
        await phone.says("hello")
        assert await phone.hears(1) == ["You said: hello"]
    assert provider.questions[-1].body["background"] is True


async def test_a_phone_in_the_terminal(start: Start, twilio: FakeTwilio) -> None:
    """The command of the README, against a server that thinks it talks to Twilio."""
    settings = {**twilio_settings(twilio), "TWILIO_API_URL": f"http://127.0.0.1:{quiet_port()}"}
    async with start(**settings) as server:
        data: dict[str, Any] = {"data_dir": server.data_dir, **settings, "PORT": server.port}
        assert await run_command("text", "Hey, how is it going?", **data) == (
            0,
            "You said: Hey, how is it going?\n",
            "",
        )
        code, printed, _ = await run_command("text", "--from", PERSON, "One.", "Two.", **data)
        assert (code, printed) == (0, "You said: One.\nTwo.\n")
        whatsapp = ("text", "--channel", "whatsapp", "--from", PERSON, "HELP")
        code, printed, _ = await run_command(*whatsapp, **data)
        assert (code, printed.split()[0]) == (0, "Write")
        code, _, said = await run_command("text", "hello", **{**data, "TWILIO_AUTH_TOKEN": "another"})
        assert (code, "signature" in said) == (2, True)
    code, _, said = await run_command("text", "hello", **data)
    assert (code, "No server answers" in said) == (2, True)
