"""Whatever goes wrong in a call is a result for the model, bounded, and in the log without what was said."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from server.assistant.tools.tool import Tool
from server.assistant.tools.toolbox import MOST_BYTES, NOTHING, Tools
from server.errors import ConfigError
from server.model import ToolResult
from tests.unit.sample_tools import ask, count, toolbox, who


@pytest.mark.parametrize("name", ["", "nothing", "Who", "__init__", "x" * 100_000])
async def test_an_unknown_tool_is_a_failed_result_that_names_those_that_there_are(name: str) -> None:
    result = await ask(name)
    assert result.failed
    assert result.output == (
        "There is no tool of this name; there are: who, count, sleeper, patient, sulker, fails, says."
    )


@pytest.mark.parametrize("name", ["sleeper", "sulker"])
async def test_a_tool_is_stopped_at_the_end_of_its_own_time(name: str) -> None:
    began = time.monotonic()
    result = await ask(name)
    assert time.monotonic() - began < 5
    assert result == ToolResult("call_1", "The tool took longer than 0.05 seconds and was stopped.", failed=True)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("ours", "The moon is down."),
        ("mendable", "Say it louder."),
        *((how, "The tool failed. Go on without it, and say so.") for how in ("timeout", "group", "cancelled", "odd")),
    ],
)
async def test_an_exception_is_a_failed_result_and_only_our_own_are_quoted(how: str, told: str) -> None:
    assert await ask("fails", {"how": how}) == ToolResult("call_1", told, failed=True)


async def test_a_turn_that_is_cancelled_is_cancelled_in_its_tools() -> None:
    task = asyncio.create_task(ask("patient"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_deadline_of_a_turn_is_not_taken_for_the_tools_own() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ask("patient")


# --- what comes out ---


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("hello", "hello"),
        ("nothing", "null"),
        ("infinite", "null"),
        ("model", '{"city":"Rome","zip":null}'),
        ("day", '{"day":"2026-01-02"}'),
        ("half", "a?b"),
    ],
)
async def test_words_come_as_they_are_and_the_rest_as_json(what: str, told: str) -> None:
    assert await ask("says", {"what": what}) == ToolResult("call_1", told)


@pytest.mark.parametrize("what", ["function", "circle"])
async def test_what_cannot_be_told_is_a_failed_result(what: str) -> None:
    assert (await ask("says", {"what": what})).failed


@pytest.mark.parametrize("what", ["long", "long list"])
async def test_what_is_too_long_is_cut_and_says_so(what: str) -> None:
    result = await ask("says", {"what": what})
    assert not result.failed
    assert MOST_BYTES - 2 <= len(result.output.encode()) <= MOST_BYTES
    assert result.output.endswith("é\n[cut here: this was too long]") or what == "long list"
    assert result.output.endswith("\n[cut here: this was too long]")


# --- the toolbox ---


def test_a_definition_may_name_only_tools_that_there_are() -> None:
    tools = toolbox()
    tools.check(["who", "count"])
    with pytest.raises(ConfigError, match=r"There is no tool magic, moon; there are: count, fails, .*, who\."):
        tools.check(["who", "magic", "moon"])
    with pytest.raises(ConfigError, match="there are: none"):
        Tools().check(["who"])


def test_only_the_tools_that_are_named_are_told_and_counted() -> None:
    tools = toolbox()
    assert [one["name"] for one in tools.functions(["count", "who", "magic"])] == ["count", "who"]
    assert tools.size([]) == 0
    assert tools.size(["who", "count"]) == tools.size(["who"]) + tools.size(["count"]) > 200
    assert tools.size(["magic"]) == 0


@dataclass
class Missing:
    pass


@pytest.mark.parametrize(("tools", "given"), [([who], {}), ([who], {Missing: Missing()}), ([count, count], NOTHING)])
def test_a_toolbox_that_cannot_work_is_not_made(tools: list[Tool], given: dict[Any, object]) -> None:
    with pytest.raises(ConfigError, match=r"no Shelf was given|two tools of the name count"):
        Tools(tools, given)


# --- logs ---


@pytest.mark.parametrize(
    ("name", "arguments", "outcome"),
    [
        ("says", {"what": "canary"}, "done"),
        ("says", {"canary": "canary"}, "bad_input"),
        ("sleeper", {}, "timed_out"),
        ("fails", {"how": "canary"}, "crashed"),
        ("fails", {"how": "ours"}, "unavailable"),
    ],
)
async def test_logs_tell_tool_outcome_and_time_and_nothing_of_what_was_said(
    name: str, arguments: dict[str, Any], outcome: str
) -> None:
    with capture_logs() as logs:
        await ask(name, arguments)
    line = logs[-1]
    assert (line["event"], line["tool"], line["outcome"], line["conversation"]) == ("tool_called", name, outcome, "c_1")
    assert isinstance(line["ms"], int)
    assert "canary" not in repr(logs)


async def test_the_name_of_an_unknown_tool_is_not_logged() -> None:
    with capture_logs() as logs:
        await ask("canary")
    assert len(logs) == 1
    assert "canary" not in repr(logs)
