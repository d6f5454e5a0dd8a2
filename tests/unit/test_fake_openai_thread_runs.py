"""The runs of threads, as the real client sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import openai
import pytest

from tests.fakes.openai_server import Answer, Call, FakeOpenAI, Fault
from tests.fakes.openai_server.client import ABC
from tests.fakes.openai_server.threads_client import Talk, assistants_are_deprecated

pytestmark = assistants_are_deprecated

LOOK_UP = Call("get_inventory", {"sku": "x"}, id="call_1")
TWO = (LOOK_UP, Call("get_price", '{"sku": ', id="call_2"))


# --- the course of a run --------------------------------------------------------------------------------------------


async def test_a_run_answers_into_its_thread_when_its_time_is_over(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(ABC, first_delay=0.05, interval=0.02))
    begin = time.monotonic()

    run = await talk.begin(run_id="r1")
    seen = [run.status]
    while run.status != "completed":
        run = await talk.look(run)
        seen.append(run.status)

    order = [("queued", "in_progress", "completed").index(status) for status in seen]
    assert order == sorted(order)
    assert order[0] == 0
    assert time.monotonic() - begin >= 0.05 + 3 * 0.02
    assert await talk.said() == ["hi", "a b c"]
    assert (run.metadata, run.instructions, run.model) == ({"run_id": "r1"}, "Be kind.", "m")
    assert run.usage is not None
    assert (run.usage.completion_tokens, run.completed_at is None, run.expires_at) == (3, False, None)


async def test_the_clients_own_helper_polls_it_to_its_end(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(ABC, first_delay=0.02, interval=0.01))

    run = await talk.client.beta.threads.runs.create_and_poll(
        thread_id=talk.thread_id, assistant_id=talk.assistant_id, poll_interval_ms=10
    )

    assert run.status == "completed"
    assert fake.runs[0].polls >= 1


async def test_the_message_names_its_run(fake: FakeOpenAI, talk: Talk) -> None:
    run = await talk.settled(await talk.begin())

    listed = talk.client.beta.threads.messages.list(talk.thread_id, run_id=run.id)
    [reply] = [one async for one in listed]
    assert (reply.role, reply.run_id, reply.assistant_id) == ("assistant", run.id, talk.assistant_id)


async def test_a_run_takes_messages_and_overrides_with_it(fake: FakeOpenAI, talk: Talk) -> None:
    run = await talk.client.beta.threads.runs.create(
        talk.thread_id,
        assistant_id=talk.assistant_id,
        additional_messages=[{"role": "user", "content": "and this"}],
        model="other",
        instructions="Be brief.",
        additional_instructions="In German.",
        tools=[{"type": "function", "function": {"name": "look"}}],
    )
    await talk.settled(run)

    assert (run.model, run.instructions, len(run.tools)) == ("other", "Be brief.\n\nIn German.", 1)
    assert await talk.said() == ["hi", "and this", "You said: and this"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.FAILED, "server_error"),
        (Fault.FAILED_RATE_LIMITED, "rate_limit_exceeded"),
        (Fault.FAILED_PROMPT, "invalid_prompt"),
    ],
)
async def test_a_run_may_fail(fake: FakeOpenAI, talk: Talk, fault: Fault, code: str) -> None:
    fake.script(Answer(ABC, fault=fault))

    run = await talk.settled(await talk.begin())

    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.code == code
    assert run.failed_at
    assert await talk.said() == ["hi"]


@pytest.mark.parametrize(
    ("fault", "why", "message"),
    [
        (Fault.INCOMPLETE_LENGTH, "max_completion_tokens", "max_tokens"),
        (Fault.INCOMPLETE_FILTER, None, "content_filter"),
    ],
)
async def test_a_run_may_end_incomplete(
    fake: FakeOpenAI, talk: Talk, fault: Fault, why: str | None, message: str
) -> None:
    fake.script(Answer(ABC, fault=fault, at=2))

    run = await talk.settled(await talk.begin())

    assert run.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == why
    reply = (await talk.client.beta.threads.messages.list(talk.thread_id)).data[0]
    assert reply.incomplete_details is not None
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", message)
    assert await talk.said() == ["hi", "a b"]


async def test_a_reply_may_be_a_refusal_or_nothing(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(("No",), fault=Fault.REFUSAL), Answer(ABC, fault=Fault.EMPTY))

    assert [(await talk.settled(await talk.begin())).status for _ in range(2)] == ["completed"] * 2

    replies = (await talk.client.beta.threads.messages.list(talk.thread_id, order="asc")).data[1:]
    assert [part.refusal for one in replies for part in one.content if part.type == "refusal"] == ["No"]
    assert len(replies) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(fault=Fault.EXPIRED),
        Answer(fault=Fault.STUCK, expires_after=0.02),
        Answer(first_delay=0.03, expires_after=0.02),
    ],
)
async def test_a_run_may_expire(fake: FakeOpenAI, talk: Talk, answer: Answer) -> None:
    fake.script(answer)

    await talk.settled(await talk.begin())
    await asyncio.sleep(answer.first_delay)

    assert fake.runs[0].status == "expired"
    assert (await talk.say("next")).status == "completed"


async def test_a_status_may_be_unknown(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(fault=Fault.UNKNOWN_STATUS))

    assert str((await talk.look(await talk.begin())).status) == "surprise"


# --- what is wanted of the client -----------------------------------------------------------------------------------


async def test_a_run_wants_the_outputs_of_its_calls_and_goes_on(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(("Let me see.",), calls=TWO), Answer(("Seven.",)))

    run = await talk.settled(await talk.begin())

    assert run.status == "requires_action"
    assert run.required_action is not None
    wanted = run.required_action.submit_tool_outputs.tool_calls
    assert [(call.id, call.function.name, call.function.arguments) for call in wanted] == [
        ("call_1", "get_inventory", '{"sku":"x"}'),
        ("call_2", "get_price", '{"sku": '),
    ]
    run = await talk.submit(run, call_1="7", call_2="unknown")
    assert (run.status, run.required_action) == ("queued", None)
    assert (await talk.settled(run)).status == "completed"
    assert await talk.said() == ["hi", "Let me see.", "Seven."]


@pytest.mark.parametrize("outputs", [{}, {"call_1": "7"}, {"call_1": "7", "call_2": "8", "call_3": "9"}])
async def test_the_outputs_answer_the_calls_and_all_of_them(
    fake: FakeOpenAI, talk: Talk, outputs: dict[str, str]
) -> None:
    fake.script(Answer(calls=TWO))
    run = await talk.settled(await talk.begin())

    with pytest.raises(openai.BadRequestError, match="Expected tool outputs for call_ids"):
        await talk.submit(run, **outputs)
    assert (await talk.look(run)).status == "requires_action"


async def test_a_run_that_wants_nothing_takes_nothing(talk: Talk) -> None:
    run = await talk.settled(await talk.begin())

    with pytest.raises(openai.BadRequestError, match='Runs in status "completed" do not accept tool outputs'):
        await talk.submit(run, call_1="7")


async def test_a_run_may_expire_while_it_waits_for_outputs(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(calls=TWO, expires_after=0.02))
    run = await talk.begin()

    while run.status != "expired":
        run = await talk.look(run)

    with pytest.raises(openai.BadRequestError, match='Runs in status "expired" do not accept'):
        await talk.submit(run, call_1="7", call_2="8")


async def test_a_function_that_chooses_sees_the_thread_as_input(fake: FakeOpenAI, talk: Talk) -> None:
    def choose(body: Mapping[str, Any]) -> Answer:
        outputs = [item["output"] for item in body["input"] if "output" in item]
        said = body["input"][0]["content"]
        return Answer((f"{said}: {outputs[0]}",)) if outputs else Answer(calls=(LOOK_UP,))

    fake.script(normal=choose)
    run = await talk.settled(await talk.begin())

    await talk.settled(await talk.submit(run, call_1="7"))

    assert await talk.said() == ["hi", "hi: 7"]


# --- one at a time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [Answer(fault=Fault.STUCK), Answer(fault=Fault.ENDLESS), Answer(calls=TWO)])
async def test_an_active_run_keeps_others_and_messages_out(fake: FakeOpenAI, talk: Talk, answer: Answer) -> None:
    fake.script(answer)
    run = await talk.begin()

    thread = talk.thread_id
    with pytest.raises(openai.BadRequestError, match=f"Thread {thread} already has an active run {run.id}\\."):
        await talk.begin()
    with pytest.raises(openai.BadRequestError, match=f"Can't add messages to {thread} while a run {run.id} is active"):
        await talk.say("next")
    assert fake.runs_created() == 1


async def test_a_cancelled_run_is_cancelling_first(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(fault=Fault.ENDLESS, cancel_delay=0.05))
    run = await talk.begin()

    assert (await talk.cancel(run)).status == "cancelling"
    with pytest.raises(openai.BadRequestError, match="already has an active run"):
        await talk.begin()
    with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'cancelling'"):
        await talk.cancel(run)

    run = await talk.settled(run)
    assert (run.status, run.cancelled_at is None) == ("cancelled", False)
    assert (await talk.settled(await talk.begin())).status == "completed"


async def test_a_cancel_may_come_too_late(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(ABC, first_delay=60, fault=Fault.LATE_CANCEL), Answer(ABC))

    assert (await talk.settled(await talk.cancel(await talk.begin()))).status == "completed"
    assert await talk.said() == ["hi", "a b c"]
    run = await talk.settled(await talk.begin())
    with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'completed'"):
        await talk.cancel(run)


async def test_a_run_that_waits_for_outputs_can_be_cancelled(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(calls=TWO))
    run = await talk.settled(await talk.begin())

    await talk.cancel(run)

    assert (await talk.look(run)).status == "cancelled"
