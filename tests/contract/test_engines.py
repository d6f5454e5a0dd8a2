"""The port Engine, told to every engine. A test asks the bench what holds, never which engine it has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from server.errors import Unavailable
from server.model import Exchange, Finished, RunBegun, RunEvent, ThreadMade, ToolsWanted, Words
from tests.engines import (
    Bench,
    after,
    answered,
    finish_of,
    handle_of,
    thread_of,
    wanted_of,
    words,
)
from tests.fakes.openai_server import Answer, Call, Fault

ABC = ("a", " b", " c")
PARIS, ROME = Call("weather", {"city": "Paris"}, id="call_1"), Call("weather", {"city": "Rome"}, id="call_2")


def shown(body: Mapping[str, Any]) -> Answer:
    """An answer that is what the model was shown, as it is in the fake's body."""
    lines = (
        f"{item.get('role', item.get('type'))}:{item.get('content', item.get('output'))}" for item in body["input"]
    )
    return Answer(tuple(f"{line}\n" for line in lines))


# --- words and ends -----------------------------------------------------------------------------------------------


async def test_words_then_exactly_one_end(bench: Bench) -> None:
    bench.fake.script(Answer(ABC))

    events = await bench.run(bench.prompt())

    assert words(events) == "a b c"
    assert finish_of(events).finish_reason == "stop"
    assert [event for event in events if isinstance(event, Finished | ToolsWanted)] == events[-1:]
    assert all(event.text for event in events if isinstance(event, Words))


async def test_usage_is_what_the_provider_counted(bench: Bench) -> None:
    bench.fake.script(Answer(ABC))

    usage = finish_of(await bench.run(bench.prompt())).usage

    assert usage is not None
    assert (usage.input_tokens > 0, usage.output_tokens) == (True, 3)


async def test_the_model_is_shown_the_conversation_in_its_order(bench: Bench) -> None:
    bench.fake.script(normal=shown)
    exchanges = (Exchange("one?", "1"), Exchange("two?", "2"))

    said = words(await bench.run(bench.prompt("three?", exchanges=exchanges)))

    assert said.split("\n") == ["user:one?", "assistant:1", "user:two?", "assistant:2", "user:three?", ""]


async def test_the_next_question_follows_the_last_reply(bench: Bench) -> None:
    bench.fake.script(Answer(("1",)), normal=shown)
    first = await bench.run(bench.prompt("one?"))

    second = bench.prompt("two?", "c1-3", exchanges=(Exchange("one?", "1"),), thread=thread_of(first))

    said = words(await bench.run(second))
    assert said.split("\n") == ["user:one?", "assistant:1", "user:two?", ""]


async def test_what_no_log_can_keep_is_left_out(bench: Bench) -> None:
    bench.fake.script(Answer(("a\0b",)))

    assert words(await bench.run(bench.prompt())) == "ab"


# --- tools --------------------------------------------------------------------------------------------------------


async def test_tools_that_are_wanted_end_the_round(bench: Bench) -> None:
    bench.fake.script(Answer(("Let me", " see."), calls=(PARIS, ROME)))

    events = await bench.run(bench.prompt())

    calls = wanted_of(events).calls
    assert words(events) == "Let me see."
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("call_1", "weather", '{"city":"Paris"}'),
        ("call_2", "weather", '{"city":"Rome"}'),
    ]


async def test_what_the_tools_gave_is_shown_to_the_model(bench: Bench) -> None:
    bench.fake.script(Answer((), calls=(PARIS, ROME)), normal=shown)
    prompt = bench.prompt("weather?")

    events = await bench.run(prompt)
    said = words(await bench.run(answered(prompt, events, "sunny", "windy")))

    assert "user:weather?" in said
    assert said.endswith("function_call_output:sunny\nfunction_call_output:windy\n")


async def test_rounds_follow_each_other_and_each_says_its_words_once(bench: Bench) -> None:
    bench.fake.script(Answer(("One.",), calls=(PARIS,)), Answer(("Two.",), calls=(ROME,)), Answer(("Three.",)))
    prompt = bench.prompt()

    first = await bench.run(prompt)
    prompt = answered(prompt, first, "sunny")
    second = await bench.run(prompt)
    prompt = answered(prompt, second, "windy")
    third = await bench.run(prompt)

    assert [words(events) for events in (first, second, third)] == ["One.", "Two.", "Three."]
    assert finish_of(third).finish_reason == "stop"


async def test_arguments_are_handed_on_as_the_model_wrote_them(bench: Bench) -> None:
    bench.fake.script(Answer((), calls=(Call("weather", '{"city": '),)))

    assert [call.arguments for call in wanted_of(await bench.run(bench.prompt())).calls] == ['{"city": ']


async def test_tools_wanted_in_the_last_round_are_told_of_all_the_same(bench: Bench) -> None:
    bench.fake.script(Answer((), calls=(PARIS,)), Answer((), calls=(ROME,)))
    prompt = bench.prompt()
    events = await bench.run(prompt)

    events = await bench.run(replace(answered(prompt, events, "sunny"), last=True))

    assert [call.id for call in wanted_of(events).calls] == ["call_2"]


async def test_tools_that_are_not_there_are_not_told_of(bench: Bench) -> None:
    definition = replace(bench.assistant.definition, tools=("teleport",))
    prompt = bench.prompt(assistant=replace(bench.assistant, definition=definition), last=True)

    await bench.run(prompt)

    asked = [one.body for one in bench.requests if isinstance(one.body, dict)]
    assert not [body for body in asked if body.get("tools") or "tool_choice" in body]


# --- runs that outlive us -----------------------------------------------------------------------------------------


async def test_a_run_is_told_of_before_anything_is_done_with_it(lasting: Bench) -> None:
    told = await lasting.leave_after(RunBegun, lasting.prompt())

    assert isinstance(told[-1], RunBegun)
    assert [run.polls for run in lasting.fake.runs] == [0]


async def test_a_run_that_is_left_goes_on_and_is_paid_for_once(lasting: Bench) -> None:
    lasting.fake.script(Answer(ABC, interval=0.02))
    prompt = lasting.prompt()
    told = await lasting.leave_after(RunBegun, prompt)

    events = await lasting.run(after(prompt, told))

    assert (words(events), finish_of(events).finish_reason) == ("a b c", "stop")
    assert not any(isinstance(event, RunBegun | ThreadMade) for event in events)
    assert lasting.fake.runs_created() == 1


async def test_a_run_that_waits_for_its_tools_is_found_again(lasting: Bench) -> None:
    lasting.fake.script(Answer(("Let me see.",), calls=(PARIS,)), Answer(("Sunny.",)))
    prompt = lasting.prompt()
    told = await lasting.leave_after(RunBegun, prompt)

    events = await lasting.run(after(prompt, told))
    rest = await lasting.run(replace(answered(prompt, [*told, *events], "sunny"), again=True))

    assert (words(events), words(rest)) == ("Let me see.", "Sunny.")


async def test_a_run_that_was_left_while_it_was_waited_for_goes_on(lasting: Bench) -> None:
    lasting.fake.script(Answer(ABC, first_delay=0.3))
    events: list[RunEvent] = []
    task = asyncio.create_task(lasting.collect(events, lasting.prompt()))
    await lasting.fake.until(lambda: any(run.polls for run in lasting.fake.runs))
    task.cancel()
    await asyncio.wait([task])

    assert words(await lasting.run(after(lasting.prompt(), events))) == "a b c"
    assert lasting.fake.runs_created() == 1


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.VANISHED, Fault.EXPIRED])
async def test_a_run_that_cannot_reply_is_replaced_by_one_new_run(lasting: Bench, fault: Fault) -> None:
    lasting.fake.script(Answer(ABC, fault=fault), Answer(("again",)))
    prompt = lasting.prompt()
    told = await lasting.leave_after(RunBegun, prompt)

    events = await lasting.run(after(prompt, told))

    assert words(events) == "again"
    assert handle_of(events) not in {None, handle_of(told)}
    assert lasting.fake.runs_created() == 2


async def test_a_run_that_vanishes_while_it_is_waited_for_may_be_tried_again(lasting: Bench) -> None:
    lasting.fake.script(Answer(ABC, fault=Fault.VANISHED))

    told, error = await lasting.run_until(Unavailable, lasting.prompt())

    assert isinstance(told[-1], RunBegun)
    assert error.code == "provider_lost_run"


async def test_a_cancelled_run_ends(lasting: Bench) -> None:
    lasting.fake.script(Answer(ABC, fault=Fault.ENDLESS))
    handle = handle_of(await lasting.leave_after(RunBegun, lasting.prompt())) or ""

    for _ in range(2):
        await lasting.engine.cancel(handle)

    assert [run.status for run in lasting.fake.runs] == ["cancelled"]


async def test_a_run_that_is_made_while_its_turn_is_cancelled_is_ended(lasting: Bench) -> None:
    def cancelled_meanwhile(_body: Mapping[str, Any]) -> Answer:
        turn.cancel()
        return Answer(ABC, fault=Fault.ENDLESS)

    lasting.fake.script(normal=cancelled_meanwhile)
    turn = asyncio.create_task(lasting.run(lasting.prompt()))
    with pytest.raises(asyncio.CancelledError):
        await turn

    assert [run.status for run in lasting.fake.runs] == ["cancelled"]


@pytest.mark.parametrize("fault", [None, Fault.LATE_CANCEL, Fault.VANISHED])
async def test_cancelling_what_is_over_or_gone_is_no_error(lasting: Bench, fault: Fault | None) -> None:
    lasting.fake.script(Answer(ABC, fault=fault))
    handle = handle_of(await lasting.leave_after(RunBegun, lasting.prompt())) or ""

    await lasting.engine.cancel(handle)
    await lasting.engine.cancel(f"{handle}0")


async def test_forgetting_what_is_not_there_is_no_error(bench: Bench) -> None:
    await bench.engine.forget("thread_none")


def test_a_prompt_has_room(bench: Bench) -> None:
    window = bench.engine.window(bench.assistant)
    assert 0 < window.tokens < 8_000
    assert window.preamble >= len("Be kind.")
