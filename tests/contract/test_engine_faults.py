"""What goes wrong at a provider, and what the port Engine makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.errors import ProviderFailed, Unavailable
from tests.engines import Bench, after, finish_of, words
from tests.fakes.openai_server import Answer, Fault

ABC = ("a", " b", " c")

REFUSED = {
    Fault.INSUFFICIENT_QUOTA: "provider_quota",
    Fault.CONTEXT_LENGTH_EXCEEDED: "message_too_long",
    Fault.UNAUTHORIZED: "provider_key",
    Fault.MODEL_NOT_FOUND: "unknown_model",
    Fault.FAILED_PROMPT: "provider_refused",
    Fault.MODERATION_BLOCKED: "provider_refused",
}
BUSY = {
    Fault.RATE_LIMITED: None,
    Fault.RATE_LIMITED_SECONDS: 7.0,
    Fault.RATE_LIMITED_MILLISECONDS: 7.0,
    Fault.SERVER_ERROR: None,
    Fault.SLOW_DOWN: None,
    Fault.OVERLOADED: None,
    Fault.OVERLOADED_SECONDS: 7.0,
    Fault.GATEWAY_TIMEOUT: None,
    Fault.CONVERSATION_LOCKED: None,
    Fault.ERROR_EVENT: None,
    Fault.FAILED: None,
    Fault.FAILED_RATE_LIMITED: None,
}
UNREACHED = {Fault.STALL_BEFORE_HEADERS, Fault.RESET_BEFORE_HEADERS}
BROKEN = {Fault.STALL, Fault.RESET, Fault.EOF, Fault.MALFORMED_JSON}
LOST = {Fault.LOST_BY_STALL, Fault.LOST_BY_RESET}
CUT_SHORT = {
    Fault.INCOMPLETE_LENGTH: ("a b", "length"),
    Fault.INCOMPLETE_FILTER: ("a b", "content_filter"),
    Fault.REFUSAL: ("a b c", "refusal"),
    Fault.EMPTY: ("", "stop"),
}
HARMLESS = {Fault.DRIP, Fault.UNKNOWN_EVENTS, Fault.CRLF, Fault.COMMENTS}
# Told in tests of their own, here or where only one engine has them.
OTHERS = {
    Fault.STUCK,
    Fault.ENDLESS,
    Fault.VANISHED,
    Fault.EXPIRED,
    Fault.LATE_CANCEL,
    Fault.THREAD_VANISHED,
    Fault.UNKNOWN_STATUS,
}


def test_every_fault_is_told_of() -> None:
    told = [*REFUSED, *BUSY, *UNREACHED, *BROKEN, *LOST, *CUT_SHORT, *HARMLESS, *OTHERS]
    assert sorted(told) == sorted(Fault)


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_final_no_is_final(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault))

    _, error = await bench.run_until(ProviderFailed, bench.prompt())

    assert (error.code, error.retryable) == (REFUSED[fault], False)


@pytest.mark.parametrize("fault", BUSY)
async def test_a_busy_provider_may_be_asked_again_when_it_says(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault, retry_after=7))

    _, error = await bench.run_until(Unavailable, bench.prompt())

    assert (error.code, error.retryable, error.retry_after) == ("provider_busy", True, BUSY[fault])


@pytest.mark.parametrize("fault", sorted(UNREACHED))
async def test_a_provider_that_does_not_answer_is_unreachable(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault))

    _, error = await bench.run_until(Unavailable, bench.prompt())

    assert error.code == "provider_unreachable"


@pytest.mark.parametrize("fault", sorted(BROKEN))
async def test_an_answer_that_breaks_off_may_be_asked_for_again(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault, at=1))
    if bench.kind.reconciles:
        assert words(await bench.run(bench.prompt())) == "a b c"
        return

    _, error = await bench.run_until(Unavailable, bench.prompt())

    assert error.code in {"provider_unreachable", "provider_broke_off", "provider_garbled"}


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.FAILED, Fault.RESET_BEFORE_HEADERS])
async def test_the_next_attempt_may_succeed(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault), Answer(ABC))
    prompt = bench.prompt()
    told, _ = await bench.run_until(Unavailable, prompt)

    assert words(await bench.run(after(prompt, told))) == "a b c"


@pytest.mark.parametrize("fault", CUT_SHORT)
async def test_an_end_that_is_not_the_usual_one_is_named(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault, at=2))

    events = await bench.run(bench.prompt())

    assert (words(events), finish_of(events).finish_reason) == CUT_SHORT[fault]


@pytest.mark.parametrize("fault", sorted(HARMLESS))
async def test_how_the_bytes_come_makes_no_difference(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault))

    assert words(await bench.run(bench.prompt())) == "a b c"


async def test_a_run_whose_creation_is_in_doubt_never_answers_twice(bench: Bench) -> None:
    bench.fake.script(Answer(ABC, fault=Fault.LOST_BY_RESET), normal=Answer(ABC))
    prompt = bench.prompt()
    try:
        events = await bench.run(prompt)
    except Unavailable:
        events = await bench.run(replace(prompt, again=True))

    assert words(events) == "a b c"
    assert bench.fake.runs_created() == (1 if bench.kind.reconciles else 2)
