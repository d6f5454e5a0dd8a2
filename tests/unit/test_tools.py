"""What is injected into a call, and what its arguments are held to."""

from __future__ import annotations

import asyncio
import json
from dataclasses import FrozenInstanceError

import pytest
from structlog.testing import capture_logs

from server.assistant.tools.tool import tool
from server.assistant.tools.toolbox import Tools
from server.model import Caller, ToolCall, ToolResult
from tests.unit.sample_tools import ANNA, BERT, Shelf, ask, toolbox, who


async def test_who_calls_is_injected() -> None:
    shelf = Shelf()
    result = await toolbox(shelf).call(ToolCall("call_1", "who", '{"word": "hi"}'), ANNA)
    assert json.loads(result.output) == {
        "person": "anna", "conversation": "c_1", "channel": "websocket", "word": "hi"
    }  # fmt: skip
    assert shelf == ["anna: hi"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ('{"caller": {"person": "bert", "conversation_id": "c_2", "channel": "sms", "key": "k"}}', "caller"),
        ('{"word": "hi", "caller": null}', "caller"),
        ('{"caller": "bert", "word": "hi", "caller": "bert"}', "caller"),
        ('{"shelf": []}', "shelf"),
        ('{"person": "bert"}', "person"),
        ('{"userId": "bert"}', "userId"),
        ('{"argument_word": "hi"}', "argument_word"),
        ('{"__class__": "x"}', "__class__"),
        ('{"place": {"city": "Rome", "caller": "bert"}}', "place.caller"),
        ('{"word": "hi", "word": "ho", "person": "bert"}', "person"),
    ],
)
async def test_the_model_cannot_name_what_is_injected(arguments: str, named: str) -> None:
    shelf = Shelf()
    result = await toolbox(shelf).call(ToolCall("call_1", "who", arguments), ANNA)
    assert result == ToolResult("call_1", f"{named}: There is no such argument", failed=True)
    assert shelf == []


async def test_calls_at_once_know_nothing_of_each_other() -> None:
    tools = toolbox()
    calls = [(ToolCall(f"call_{n}", "who", json.dumps({"word": str(n)} if n % 3 else {})), n) for n in range(50)]
    results = await asyncio.gather(*(tools.call(call, (ANNA, BERT)[n % 2]) for call, n in calls))
    for (call, n), result in zip(calls, results, strict=True):
        said = json.loads(result.output)
        assert (result.call_id, said["person"]) == (call.id, ("anna", "bert")[n % 2])
        assert said["word"] == (str(n) if n % 3 else None)


async def test_a_tool_cannot_change_who_calls() -> None:
    @tool()
    async def usurper(caller: Caller) -> None:
        """Tries to be another."""
        caller.person = "bert"  # type: ignore[misc]

    tools = Tools([usurper, who], {Shelf: Shelf()})
    with capture_logs() as logs:
        assert (await tools.call(ToolCall("call_1", "usurper", "{}"), ANNA)).failed
    assert [line["log_level"] for line in logs] == ["error", "info"]
    assert ANNA.person == "anna"
    assert '"anna"' in (await tools.call(ToolCall("call_1", "who", "{}"), ANNA)).output
    with pytest.raises(FrozenInstanceError):
        ANNA.key = "k"  # type: ignore[misc]


async def test_who_calls_is_never_what_the_toolbox_was_given() -> None:
    tools = Tools([who], {Shelf: Shelf(), Caller: BERT})
    assert '"anna"' in (await tools.call(ToolCall("call_1", "who", "{}"), ANNA)).output


# --- arguments ---


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("{", "arguments: Invalid JSON"),
        ("not json", "arguments: Invalid JSON"),
        ('{"json": NaN, "model_config": 1}', "json: Input should be a valid integer"),
        ("[" * 5_000, "arguments: Invalid JSON: recursion limit"),
        ("[]", "arguments: Input should be an object"),
        ("null", "arguments: Input should be an object"),
        ('{"json": "1", "model_config": 1}', "json: Input should be a valid integer"),
        ('{"json": true, "model_config": 1}', "json: Input should be a valid integer"),
        ('{"json": 1}', "model_config: Field required"),
        ('{"json": 1, "model_config": 1, "day": "soon"}', "day: Input should be a valid date"),
        ("", "json: Field required"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_with_their_fault(arguments: str, fault: str) -> None:
    result = await ask("count", arguments)
    assert result.failed
    assert fault in result.output


async def test_arguments_may_have_any_name() -> None:
    result = await ask("count", {"json": 1, "model_config": 2.5, "day": "2026-01-02"})
    assert result == ToolResult("call_1", "1 2.5 2026-01-02")


@pytest.mark.parametrize("nothing", ["{}", "", "  "])
async def test_what_is_optional_may_be_left_out(nothing: str) -> None:
    assert not (await ask("who", nothing)).failed
    assert not (await ask("who", {"word": None, "place": None})).failed


async def test_huge_arguments_are_not_even_read() -> None:
    result = await ask("who", '{"word": "' + "x" * 70_000 + '"}')
    assert (result.failed, result.output) == (True, "The arguments are too long; at most 65536 characters are taken.")


async def test_many_wrong_and_long_names_make_a_short_result() -> None:
    result = await ask("who", {f"{n}{'x' * 5_000}": 1 for n in range(10)})
    assert result.failed
    assert len(result.output) < 1_000
