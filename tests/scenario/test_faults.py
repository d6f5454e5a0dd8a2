"""Whatever the provider does, an accepted message ends in exactly one stored reply or error."""

from __future__ import annotations

import pytest

from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.scenario.client import Client, Frame, client, spoken
from tests.scenario.process import ServerProcess, Start

PASSING = [
    Answer(fault=Fault.RATE_LIMITED),
    Answer(fault=Fault.RATE_LIMITED_SECONDS, retry_after=0.2),
    Answer(fault=Fault.RATE_LIMITED_MILLISECONDS, retry_after=0.2),
    Answer(fault=Fault.SERVER_ERROR),
    Answer(fault=Fault.OVERLOADED),
    Answer(fault=Fault.STALL_BEFORE_HEADERS),
    Answer(fault=Fault.STALL, at=2),
    Answer(fault=Fault.RESET_BEFORE_HEADERS),
    Answer(fault=Fault.RESET, at=2),
    Answer(fault=Fault.RESET),
    Answer(fault=Fault.EOF, at=2),
    Answer(fault=Fault.EOF),
    Answer(fault=Fault.MALFORMED_JSON, at=1),
    Answer(fault=Fault.ERROR_EVENT, at=2),
    Answer(fault=Fault.FAILED, at=2),
]
FINAL = {
    Fault.INSUFFICIENT_QUOTA: "provider_quota",
    Fault.CONTEXT_LENGTH_EXCEEDED: "message_too_long",
    Fault.UNAUTHORIZED: "provider_key",
    Fault.MODEL_NOT_FOUND: "unknown_model",
    Fault.EMPTY: "empty_reply",
}
HARMLESS = [Fault.DRIP, Fault.UNKNOWN_EVENTS, Fault.CRLF, Fault.COMMENTS]
ENDED_EARLY = {
    Fault.INCOMPLETE_LENGTH: "length",
    Fault.INCOMPLETE_FILTER: "content_filter",
    Fault.REFUSAL: "refusal",
}


async def asked_once(anna: Client, text: str) -> Frame:
    """The reply; and it is the only end of the turn, live and in the log."""
    reply = await anna.ask(text)
    await anna.answer("ping", "pong")
    page = await anna.answer("history", "history", limit=100)
    ends = [frame for frame in anna.of("assistantResponse") if frame["messageId"] == reply["messageId"]]
    stored = [
        entry for entry in page["messages"] if entry["role"] == "assistant" and entry["messageId"] == reply["messageId"]
    ]
    assert ends == [reply]
    assert [(entry["offset"], entry["text"]) for entry in stored] == [(reply["offset"], reply["message"])]
    return reply


async def test_a_fault_that_passes_is_not_seen(start: Start, provider: FakeOpenAI) -> None:
    async with start(PROVIDER_SILENCE_IN_SECONDS=2) as server, client(server) as anna:
        for answer in PASSING:
            provider.script(answer)
            reply = await asked_once(anna, f"what about {answer.fault}")
            assert reply["error"] is False, answer
            assert reply["message"] == f"You said: what about {answer.fault}"
            assert spoken(anna.frames, reply["replyId"]) == reply["message"]
    assert len(provider.questions) == 2 * len(PASSING)


async def test_a_reply_begun_anew_is_announced(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("wrong", " track"), interval=0.01, fault=Fault.RESET, at=2))
    async with client(server) as anna:
        reply = await anna.ask("hello")
        started = anna.of("runStarted")
        assert [frame["replyId"] for frame in started] == [reply["replyId"]] * 2
        assert spoken(anna.frames, reply["replyId"]) == reply["message"] == "You said: hello"


async def test_a_fault_that_does_not_pass_is_told_at_once(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as anna:
        for fault, code in FINAL.items():
            provider.reset()
            provider.script(Answer(fault=fault))
            reply = await asked_once(anna, "hello")
            assert (reply["error"], reply["code"], reply["finishReason"]) == (True, code, "error")
            assert reply["message"].endswith(".")
            assert reply["retryable"] is False
            assert len(provider.questions) == 1


async def test_ways_of_writing_a_stream_make_no_difference(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as anna:
        for fault in HARMLESS:
            provider.script(Answer(tokens=("Grüß", " 👩‍👩‍👧", " dich"), fault=fault))
            reply = await asked_once(anna, "hello")
            assert reply["message"] == "Grüß 👩‍👩‍👧 dich"
            assert spoken(anna.frames, reply["replyId"]) == reply["message"]


async def test_a_reply_that_ended_early_says_why(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as anna:
        for fault, reason in ENDED_EARLY.items():
            provider.script(Answer(tokens=("I", " had", " to", " stop"), fault=fault, at=3))
            reply = await asked_once(anna, "hello")
            assert (reply["error"], reply["finishReason"]) == (False, reason)
            assert reply["message"].startswith("I had to")


@pytest.mark.slow
async def test_after_five_failures_the_person_is_told_and_the_next_question_is_answered(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    provider.script(Answer(fault=Fault.SERVER_ERROR, times=5))
    async with client(server) as anna:
        await anna.say("doomed", messageId="m1")
        await anna.say("fine", messageId="m2")
        failed = await anna.until("assistantResponse")
        assert (failed["messageId"], failed["code"], failed["retryable"]) == ("m1", "provider_busy", True)
        answered = await anna.until("assistantResponse")
        assert (answered["messageId"], answered["message"]) == ("m2", "You said: fine")
    assert len(provider.questions) == 6
    assert [item["content"] for item in provider.questions[-1].body["input"]] == ["fine"]


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED_SECONDS])
async def test_a_provider_that_wants_a_long_rest_is_not_waited_for(
    server: ServerProcess, provider: FakeOpenAI, fault: Fault
) -> None:
    provider.script(Answer(fault=fault, retry_after=3_600))
    async with client(server) as anna:
        reply = await anna.ask("hello")
        assert (reply["code"], reply["retryable"]) == ("provider_busy", True)
    assert len(provider.questions) == 1


async def test_a_run_that_takes_too_long_is_ended_and_told(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("slow",) * 100, interval=0.2))
    async with start(RESPONSE_TIMEOUT_IN_SECONDS=1) as server, client(server) as anna:
        reply = await anna.ask("hello")
        assert (reply["code"], reply["retryable"]) == ("expired", True)
        assert (await anna.ask("again"))["message"] == "You said: again"
    assert provider.questions[0].client_left


async def test_without_a_provider_the_person_is_told(start: Start) -> None:
    async with start(OPENAI_BASE_URL="http://127.0.0.1:9/v1") as server, client(server) as anna:
        reply = await anna.ask("hello")
        assert (reply["code"], reply["retryable"]) == ("provider_unreachable", True)
