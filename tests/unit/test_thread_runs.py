"""Runs of the Assistants protocol: doubts about them, their tools, and what is read of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from server.assistant.client import connect
from server.assistant.threads.api import ThreadsApi
from server.assistant.threads.objects import Message, MessagePage, Run, decode, end_of, failure_of, words_of
from server.errors import ProviderFailed, ServerError, Unavailable
from server.model import Prompt, Round, RunBegun, ToolCall, ToolResult
from tests.engines import (
    Bench,
    after,
    answered,
    finish_of,
    handle_of,
    thread_of,
    words,
)
from tests.fakes.openai_server import Answer, Call, Fault
from tests.unit.threads import ABC, asked, in_thread, talked

CREATE_RUN = "POST /threads/{thread_id}/runs"
LIST_RUNS = "GET /threads/{thread_id}/runs"
SUBMIT = "POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs"
PARIS = Call("weather", {"city": "Paris"}, id="call_1")


# --- doubts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.LOST_BY_RESET, Fault.LOST_BY_STALL, Fault.MALFORMED_JSON])
async def test_a_run_that_was_created_unheard_is_found_at_once(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer(ABC, fault=fault))

    assert words(await bench.run(bench.prompt())) == "a b c"
    assert bench.fake.runs_created() == 1


async def test_a_run_that_was_created_unheard_is_found_by_the_next_attempt(bench: Bench) -> None:
    bench.fake.script(Answer(ABC, fault=Fault.LOST_BY_RESET))
    bench.fake.trouble(LIST_RUNS, Fault.SERVER_ERROR)
    prompt = bench.prompt()
    told, _ = await bench.run_until(Unavailable, prompt)

    events = await bench.run(after(prompt, told))

    assert isinstance(events[0], RunBegun)
    assert words(events) == "a b c"
    assert bench.fake.runs_created() == 1


async def test_a_server_that_lists_no_runs_is_asked_for_a_new_one(bench: Bench) -> None:
    thread = await talked(bench)
    bench.fake.trouble(LIST_RUNS, Fault.MODEL_NOT_FOUND)

    assert words(await bench.run(bench.prompt("hi", thread=thread, again=True))) == "You said: hi"


async def test_a_question_that_is_there_without_a_run_is_not_put_there_again(bench: Bench) -> None:
    thread = await talked(bench)
    bench.fake.kept.threads[thread].add({"role": "user", "content": "second?", "metadata": {"run_id": "c1-1"}})

    events = await bench.run(bench.prompt("second?", thread=thread, again=True))

    assert words(events) == "You said: second?"
    assert in_thread(bench, thread).count("user: second?") == 1


async def test_a_run_that_is_replaced_does_not_ask_twice(bench: Bench) -> None:
    bench.fake.script(Answer(ABC, fault=Fault.FAILED), Answer(ABC))
    prompt = bench.prompt("once?")
    told, _ = await bench.run_until(Unavailable, prompt)

    await bench.run(after(prompt, told))

    assert in_thread(bench, thread_of(told)) == ["user: once?", "assistant: a b c"]


async def test_a_limit_that_is_reached_leaves_no_doubt(bench: Bench) -> None:
    bench.fake.trouble(CREATE_RUN, Fault.RATE_LIMITED)

    await bench.run_until(Unavailable, bench.prompt())

    assert asked(bench, "GET", "/runs") == []


async def test_a_thread_that_an_abandoned_run_holds_is_freed(bench: Bench) -> None:
    bench.fake.script(Answer(ABC, fault=Fault.ENDLESS), normal=Answer(ABC))
    told = await bench.leave_after(RunBegun, bench.prompt())
    second = bench.prompt("two?", "c1-3", thread=thread_of(told))

    _, error = await bench.run_until(Unavailable, second)
    events = await bench.run(replace(second, again=True))

    assert (error.code, error.retry_after) == ("provider_busy", 1.0)
    assert [run.status for run in bench.fake.runs] == ["cancelled", "completed"]
    assert words(events) == "a b c"


async def test_a_run_that_is_being_cancelled_is_left_to_that(bench: Bench) -> None:
    bench.fake.script(Answer(ABC, fault=Fault.ENDLESS, cancel_delay=0.2), normal=Answer(ABC))
    told = await bench.leave_after(RunBegun, bench.prompt())
    second = bench.prompt("two?", "c1-3", thread=thread_of(told))

    for _ in range(2):
        await bench.run_until(Unavailable, second)

    assert len(asked(bench, "POST", "/cancel")) == 1


async def test_a_handle_of_another_engine_is_no_run_here(bench: Bench) -> None:
    await bench.engine.cancel("resp_1")
    assert words(await bench.run(bench.prompt("hi", handle="resp_1", again=True))) == "You said: hi"


# --- tools --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.LOST_BY_RESET, Fault.RESET_BEFORE_HEADERS])
async def test_outputs_that_may_be_there_are_submitted_once(bench: Bench, fault: Fault) -> None:
    bench.fake.script(Answer((), calls=(PARIS,)), Answer(("Sunny.",)))
    prompt = bench.prompt()
    prompt = answered(prompt, await bench.run(prompt), "sunny")
    bench.fake.trouble(SUBMIT, fault)
    await bench.run_until(Unavailable, prompt)

    events = await bench.run(replace(prompt, again=True))

    assert words(events) == "Sunny."
    assert bench.fake.runs_created() == 1


async def test_a_run_that_expired_over_its_tools_is_replaced(bench: Bench) -> None:
    bench.fake.script(Answer((), calls=(PARIS,)), Answer((), calls=(PARIS,)), Answer(("Sunny.",)))
    prompt = bench.prompt()
    first = await bench.run(prompt)
    prompt = answered(prompt, first, "sunny")
    for run in bench.fake.runs:
        run.answer = replace(run.answer, expires_after=0)

    second = await bench.run(prompt)

    assert handle_of(second) != handle_of(first)
    assert words(second) == "Sunny."


async def test_outputs_that_are_refused_end_the_turn(bench: Bench) -> None:
    bench.fake.script(Answer((), calls=(PARIS,)))
    prompt = bench.prompt()
    prompt = answered(prompt, await bench.run(prompt), "sunny")
    bench.fake.trouble(SUBMIT, Fault.CONTEXT_LENGTH_EXCEEDED)

    _, error = await bench.run_until(ProviderFailed, prompt)

    assert error.code == "message_too_long"


async def test_outputs_that_nobody_waits_for_are_no_error(bench: Bench) -> None:
    handle = handle_of(await bench.run(bench.prompt())) or ""

    async with connect(bench.fake.base_url, "any", silence_seconds=1) as client:
        await ThreadsApi(client).submit(handle, [{"tool_call_id": "call_1", "output": "sunny"}])


async def test_a_round_of_another_engine_is_none_of_this_threads(bench: Bench) -> None:
    bench.fake.script(Answer(ABC))
    other = Round("", (ToolCall("c", "weather", "{}"),), (ToolResult("c", "sunny"),), '[{"type": "function_call"}]')

    assert words(await bench.run(bench.prompt(rounds=(other,), again=True))) == "a b c"


async def test_usage_is_told_once_for_all_rounds(bench: Bench) -> None:
    bench.fake.script(Answer((), calls=(PARIS,)), Answer(("Sunny.",)))
    prompt = bench.prompt()

    first = await bench.run(prompt)
    second = await bench.run(answered(prompt, first, "sunny"))

    assert getattr(first[-1], "usage", "") is None
    assert finish_of(second).usage is not None


async def test_an_expired_run_is_not_tried_again(bench: Bench) -> None:
    bench.fake.script(Answer(ABC, fault=Fault.EXPIRED))

    _, error = await bench.run_until(ProviderFailed, bench.prompt())

    assert error.code == "expired"


# --- reading ------------------------------------------------------------------------------------------------------


def page(*messages: dict[str, Any]) -> list[Message]:
    return decode(json.dumps({"object": "list", "data": messages}).encode(), MessagePage).data


def told(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "m", "role": "assistant", "run_id": "r", "content": content, **fields}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": value, "annotations": [{"type": "file_citation"}]}}


def test_every_message_and_every_part_is_read() -> None:
    image = {"type": "image_file", "image_file": {"file_id": "file_1"}}
    read = page(told(text("One"), image, text("two 【4:0†source】.")), told(), told(text(""), text("Three.")))
    assert words_of(read) == "One\n\ntwo 【4:0†source】.\n\nThree."


def test_a_text_that_is_a_bare_string_is_read() -> None:
    assert (
        words_of(page(told({"type": "text", "text": "bare"}), told({"type": "refusal", "refusal": "no"})))
        == "bare\n\nno"
    )


def test_a_body_that_is_no_object_is_garbled() -> None:
    with pytest.raises(Unavailable) as garbled:
        decode(b'{"id": "run_1", "sta', Run)
    assert garbled.value.code == "provider_garbled"


@pytest.mark.parametrize(
    ("run", "kind", "code"),
    [
        (
            {"status": "failed", "last_error": {"code": "rate_limit_exceeded", "message": "Slow."}},
            Unavailable,
            "provider_busy",
        ),
        ({"status": "failed", "last_error": {"code": "server_error", "message": "Oh."}}, Unavailable, "provider_busy"),
        ({"status": "failed"}, Unavailable, "provider_busy"),
        ({"status": "failed", "last_error": {"code": "insufficient_quota"}}, ProviderFailed, "provider_quota"),
        (
            {
                "status": "failed",
                "last_error": {"code": "rate_limit_exceeded", "message": "You exceeded your current quota, please ..."},
            },
            ProviderFailed,
            "provider_quota",
        ),
        ({"status": "failed", "last_error": {"code": "invalid_prompt"}}, ProviderFailed, "provider_refused"),
        ({"status": "expired"}, ProviderFailed, "expired"),
        ({"status": "cancelled"}, ProviderFailed, "expired"),
    ],
)
def test_why_a_run_gave_no_reply(run: dict[str, Any], kind: type[ServerError], code: str) -> None:
    error = failure_of(decode(json.dumps({"id": "run_1", **run}).encode(), Run))
    assert (type(error), error.code) == (kind, code)


def test_what_another_server_wants_is_no_call() -> None:
    wanted = {"id": "run_1", "status": "requires_action", "required_action": {"type": "approve", "details": {}}}
    assert decode(json.dumps(wanted).encode(), Run).calls() == ()


def test_a_run_that_was_cut_short_says_why() -> None:
    cut = Run("run_1", "incomplete")
    filtered = page(told(text("a"), incomplete_details={"reason": "content_filter"}))
    assert end_of(cut, page(told(text("a")))).finish_reason == "length"
    assert end_of(cut, filtered).finish_reason == "content_filter"
    assert end_of(Run("run_1", "completed"), filtered).finish_reason == "stop"


async def test_more_messages_than_a_page_holds_are_all_read(bench: Bench) -> None:
    thread = await talked(bench)
    run = bench.fake.runs[0].id
    for number in range(120):
        said = {"role": "assistant", "content": [{"type": "text", "text": f"{number}"}], "run_id": run}
        bench.fake.kept.threads[thread].add(said)
    prompt: Prompt = bench.prompt("first?", "c1-0", thread=thread, handle=f"{thread}/{run}")

    assert words(await bench.run(prompt)).endswith("118\n\n119")
