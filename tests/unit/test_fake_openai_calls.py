"""Function calls in Responses: how they are told, and that each wants its output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseFunctionToolCall,
    ResponseFunctionToolCallParam,
    ResponseInputItemParam,
)

from tests.fakes.openai_server import Answer, Call, FakeOpenAI, Fault
from tests.fakes.openai_server.client import begun, deltas, over, told, types, whole

LOOK_UP = Call("get_inventory", {"sku": "x", "where": "Köln"}, id="call_1")
TWO = (LOOK_UP, Call("get_price", {"sku": "x"}, id="call_2"))
TOOL: FunctionToolParam = {"type": "function", "name": "get_inventory", "parameters": None, "strict": None}


def function_calls(response: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]


def echo(call: ResponseFunctionToolCall) -> ResponseFunctionToolCallParam:
    return {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}


async def go_on(client: AsyncOpenAI, asked: Response, *outputs: str) -> Response:
    """The next response: all calls are echoed, and those named have an output."""
    items: list[ResponseInputItemParam] = [{"role": "user", "content": "hi"}]
    items.extend(echo(call) for call in function_calls(asked))
    items.extend({"type": "function_call_output", "call_id": call_id, "output": "7"} for call_id in outputs)
    return await client.responses.create(model="m", input=items, tools=[TOOL])


async def test_a_stream_tells_of_a_call_in_openais_events(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(calls=(LOOK_UP,)))

    events = await told(client)

    arguments = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert json.loads("".join(arguments)) == {"sku": "x", "where": "Köln"}
    assert len(arguments) > 1
    assert types(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        *["response.function_call_arguments.delta"] * len(arguments),
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_calls_come_after_the_text(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(("Let", " me", " see."), calls=TWO))

    events = await told(client)

    assert deltas(events) == ["Let", " me", " see."]
    added = [event for event in events if event.type == "response.output_item.added"]
    assert [(event.output_index, event.item.type) for event in added] == [
        (0, "message"),
        (1, "function_call"),
        (2, "function_call"),
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "Let me see."
    assert [call.name for call in function_calls(last.response)] == ["get_inventory", "get_price"]


async def test_a_run_completes_with_its_calls(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(calls=TWO), Answer(calls=TWO))

    for response in (await over(client, await begun(client)), await whole(client)):
        assert (response.status, response.output_text) == ("completed", "")
        assert [call.call_id for call in function_calls(response)] == ["call_1", "call_2"]
        assert [call.status for call in function_calls(response)] == ["completed", "completed"]


async def test_arguments_need_not_be_json(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(calls=(Call("get_inventory", '{"sku": '), Call("get_inventory", ""))))

    calls = function_calls(await whole(client))

    assert [call.arguments for call in calls] == ['{"sku": ', ""]
    assert len({call.call_id for call in calls}) == 2


async def test_a_call_that_is_cut_off_is_incomplete(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(("One",), calls=TWO, fault=Fault.INCOMPLETE_LENGTH, at=2))

    response = await whole(client)

    assert response.status == "incomplete"
    assert response.output_text == "One"
    assert [(call.arguments, call.status) for call in function_calls(response)] == [('{"sku":"', "incomplete")]


# --- outputs --------------------------------------------------------------------------------------------------------


async def test_with_all_outputs_it_goes_on(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(calls=TWO), Answer(("Seven.",)))

    assert (await go_on(client, await whole(client), "call_2", "call_1")).output_text == "Seven."


@pytest.mark.parametrize(("outputs", "missing"), [((), "call_1"), (("call_1",), "call_2"), (("call_2",), "call_1")])
async def test_a_call_without_its_output_is_refused(
    fake: FakeOpenAI, client: AsyncOpenAI, outputs: tuple[str, ...], missing: str
) -> None:
    fake.script(Answer(calls=TWO))
    asked = await whole(client)

    with pytest.raises(openai.BadRequestError, match=f"No tool output found for function call {missing}\\."):
        await go_on(client, asked, *outputs)


async def test_an_output_without_its_call_is_refused(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="No tool call found for function call output with call_id call_9"):
        await go_on(client, await whole(client), "call_9")


async def test_the_calls_of_the_previous_response_want_their_outputs(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(calls=TWO), Answer(("Seven.",)))
    asked = await whole(client)

    with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_1"):
        await client.responses.create(model="m", input="and?", previous_response_id=asked.id)
    response = await client.responses.create(
        model="m",
        input=[{"type": "function_call_output", "call_id": call.id, "output": "7"} for call in TWO],
        previous_response_id=asked.id,
    )
    assert response.output_text == "Seven."


async def test_a_function_that_chooses_sees_the_outputs(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    def choose(body: Mapping[str, Any]) -> Answer:
        outputs = [item["output"] for item in body["input"] if "output" in item]
        return Answer((f"There are {outputs[0]}.",)) if outputs else Answer(calls=(LOOK_UP,))

    fake.script(normal=choose)

    assert (await go_on(client, await whole(client), "call_1")).output_text == "There are 7."
