"""The thread that a conversation has at a provider of the Assistants protocol, and the assistant that answers in it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from server.errors import ProviderFailed, Unavailable
from server.model import Assistant, Definition, Exchange, RunBegun, ThreadMade
from tests.engines import (
    Bench,
    after,
    handle_of,
    thread_of,
    words,
)
from tests.fakes.openai_server import Answer, Fault
from tests.unit.threads import ABC, asked, in_thread, talked

ADD_MESSAGE = "POST /threads/{thread_id}/messages"
LIST_MESSAGES = "GET /threads/{thread_id}/messages"


def exchanges(count: int) -> tuple[Exchange, ...]:
    return tuple(Exchange(f"q{number}", f"r{number}") for number in range(count))


# --- the thread ---------------------------------------------------------------------------------------------------


async def test_the_first_question_makes_the_thread_and_the_second_uses_it(bench: Bench) -> None:
    first = await bench.run(bench.prompt("one?"))
    second = await bench.run(bench.prompt("two?", "c1-3", thread=thread_of(first)))

    assert isinstance(first[0], ThreadMade)
    assert isinstance(first[1], RunBegun)
    assert thread_of(second) is None
    assert (handle_of(second) or "").startswith(f"{thread_of(first)}/run_")
    assert len(bench.fake.kept.threads) == 1


async def test_the_thread_is_told_of_before_anything_is_put_into_it(bench: Bench) -> None:
    await bench.leave_after(ThreadMade, bench.prompt())
    assert [one.path for one in bench.requests] == ["/v1/threads"]


async def test_a_run_is_one_request_with_its_question(bench: Bench) -> None:
    await bench.run(bench.prompt("hello"))

    [body] = asked(bench, "POST", "/runs")
    assert body["metadata"] == {"run_id": "c1-1", "assistant": "helper@0123"}
    assert body["additional_messages"] == [{"role": "user", "content": "hello", "metadata": {"run_id": "c1-1"}}]
    assert asked(bench, "POST", "/messages") == []


async def test_a_long_conversation_is_put_in_piece_by_piece(bench: Bench) -> None:
    events = await bench.run(bench.prompt("now?", exchanges=exchanges(18)))

    made = [event.thread for event in events if isinstance(event, ThreadMade)]
    assert made == [f"{thread_of(events)}+", thread_of(events)]
    assert len(asked(bench, "POST", "/threads")[0]["messages"]) == 32
    lines = in_thread(bench, thread_of(events))
    assert lines[:-2] == [
        line for one in exchanges(18) for line in (f"user: {one.question}", f"assistant: {one.reply}")
    ]
    assert lines[-2:] == ["user: now?", "assistant: You said: now?"]


async def test_a_thread_that_was_left_half_full_is_made_anew(bench: Bench) -> None:
    prompt = bench.prompt("now?", exchanges=exchanges(18))
    bench.fake.trouble(ADD_MESSAGE, None, Fault.SERVER_ERROR)
    told, _ = await bench.run_until(Unavailable, prompt)

    events = await bench.run(after(prompt, told))

    assert thread_of(told) != f"{thread_of(events)}+"
    assert list(bench.fake.kept.threads) == [thread_of(events)]
    assert len(in_thread(bench, thread_of(events))) == 38
    assert [one.path for one in bench.requests if "+" in one.path] == []


async def test_a_thread_that_vanished_is_rebuilt_from_our_history(bench: Bench) -> None:
    thread = await talked(bench)
    bench.fake.kept.threads.clear()
    history = (Exchange("first?", "You said: first?"),)

    events = await bench.run(bench.prompt("second?", exchanges=history, thread=thread))

    assert words(events) == "You said: second?"
    assert thread_of(events) not in {None, thread}
    assert in_thread(bench, thread_of(events))[:3] == ["user: first?", "assistant: You said: first?", "user: second?"]


async def test_a_thread_that_vanishes_under_a_run_is_rebuilt_by_the_next_attempt(bench: Bench) -> None:
    bench.fake.script(Answer(ABC, poll_faults=(Fault.THREAD_VANISHED,)), Answer(ABC))
    prompt = bench.prompt()
    told, error = await bench.run_until(Unavailable, prompt)

    events = await bench.run(after(prompt, told))

    assert error.code == "provider_lost_run"
    assert (words(events), thread_of(events) == thread_of(told)) == ("a b c", False)


async def test_an_assistant_that_vanished_is_not_taken_for_a_thread_that_did(bench: Bench) -> None:
    thread = await talked(bench)
    unknown = replace(bench.assistant, provider_id="asst_gone")

    _, error = await bench.run_until(ProviderFailed, bench.prompt(thread=thread, assistant=unknown))

    assert error.code == "unknown_model"
    assert list(bench.fake.kept.threads) == [thread]


async def test_a_thread_that_vanishes_before_its_messages_are_read_may_be_tried_again(bench: Bench) -> None:
    bench.fake.trouble(LIST_MESSAGES, Fault.THREAD_VANISHED)

    _, error = await bench.run_until(Unavailable, bench.prompt())

    assert error.code == "provider_lost_run"


async def test_a_thread_that_is_made_while_its_turn_is_cancelled_is_let_go_of(bench: Bench) -> None:
    turn = asyncio.create_task(bench.run(bench.prompt()))
    await bench.fake.until(lambda: len(asked(bench, "POST", "/threads")) == 1)
    turn.cancel()
    await asyncio.wait([turn])

    assert turn.cancelled()
    assert len(asked(bench, "DELETE", "")) == 1
    assert not bench.fake.kept.threads


async def test_a_forgotten_thread_is_deleted(bench: Bench) -> None:
    thread = await talked(bench)

    for name in (f"{thread}+", thread):
        await bench.engine.forget(name)

    assert bench.fake.kept.threads == {}


async def test_a_server_without_threads_is_named_as_such(bench: Bench) -> None:
    bench.fake.assistants_gone = True

    for prompt in (bench.prompt(), bench.prompt(thread="thread_old", handle="thread_old/run_old", again=True)):
        _, error = await bench.run_until(ProviderFailed, prompt)
        assert error.code == "threads_not_served"
        assert error.message == (
            "This server does not serve Assistants threads (OpenAI shut its own down on 2026-08-26); set"
            " ENGINE=responses or another OPENAI_BASE_URL."
        )
    await bench.engine.cancel("thread_old/run_old")
    await bench.engine.forget("thread_old")


# --- which assistant ----------------------------------------------------------------------------------------------


async def test_our_definition_goes_with_each_run(bench: Bench) -> None:
    definition = replace(bench.assistant.definition, temperature=0.5, max_output_tokens=16)

    await bench.run(bench.prompt(assistant=replace(bench.assistant, definition=definition), last=True))

    [body] = asked(bench, "POST", "/runs")
    assert (body["model"], body["instructions"], body["temperature"]) == ("gpt-6.1-sol", "Be kind.", 0.5)
    assert (body["max_completion_tokens"], body["tool_choice"]) == (256, "none")
    [tool] = body["tools"]
    assert (tool["type"], tool["function"]["name"], "type" in tool["function"]) == ("function", "weather", False)


async def test_the_providers_own_assistant_is_used_as_it_is(bench: Bench) -> None:
    own = bench.assistant.provider_id or ""

    await bench.run(bench.prompt(assistant=Assistant(own, Definition(name=own, instructions=""), own)))

    [body] = asked(bench, "POST", "/runs")
    assert sorted(body) == ["additional_messages", "assistant_id", "metadata"]
    assert body["assistant_id"] == own


async def test_an_assistant_that_was_not_mirrored_is_refused(bench: Bench) -> None:
    _, error = await bench.run_until(ProviderFailed, bench.prompt(assistant=replace(bench.assistant, provider_id=None)))

    assert error.code == "assistant_not_mirrored"
    assert "operator" in error.message
    assert bench.requests == []


async def test_examples_are_shown_before_the_conversation(bench: Bench) -> None:
    definition = replace(bench.assistant.definition, examples=(Exchange("hi", "Hello!"),))

    events = await bench.run(
        bench.prompt("now?", assistant=replace(bench.assistant, definition=definition), exchanges=exchanges(1))
    )

    assert [line.split(": ")[1] for line in in_thread(bench, thread_of(events))][:5] == [
        "hi",
        "Hello!",
        "q0",
        "r0",
        "now?",
    ]
