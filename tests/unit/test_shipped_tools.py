"""The tools current_time, remember and recall, as a server is put together with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.assistant.tools.toolbox import Tools
from server.backends.memory import MemoryStore
from server.model import Caller, ToolCall, ToolResult
from server.settings import read_settings
from server.wiring.tools import open_tools

EVERYTHING = ["current_time", "remember", "recall", "get_inventory"]


async def opened(stack: AsyncExitStack, **settings: Any) -> Tools:
    store = MemoryStore(lease_seconds=30, most_waiting=5)
    return await open_tools(read_settings(_env_file=None, **settings), store, stack)


@pytest.fixture
async def tools() -> AsyncIterator[Tools]:
    async with AsyncExitStack() as stack:
        yield await opened(stack, inventory_url="")


async def ask(tools: Tools, name: str, person: str = "anna", key: str = "k1", **arguments: Any) -> ToolResult:
    caller = Caller(person, "c_1", "websocket", key)
    return await tools.call(ToolCall("call_1", name, json.dumps(arguments)), caller)


async def test_the_inventory_is_offered_where_there_is_one(tools: Tools) -> None:
    assert [one["name"] for one in tools.functions(EVERYTHING)] == EVERYTHING[:3]
    async with AsyncExitStack() as stack:
        more = await opened(stack, inventory_url="http://127.0.0.1:9")
        assert [one["name"] for one in more.functions(EVERYTHING)] == EVERYTHING
        more.check(EVERYTHING)


@pytest.mark.parametrize("name", [None, "UTC", "Europe/Rome", "America/New_York", "Asia/Kathmandu"])
async def test_the_time_is_the_one_of_the_zone(tools: Tools, name: str | None) -> None:
    said = json.loads((await ask(tools, "current_time", timezone=name)).output)
    told, zone = datetime.fromisoformat(said["time"]), ZoneInfo(name or "UTC")
    assert abs(datetime.now(UTC) - told) < timedelta(seconds=5)
    assert told.utcoffset() == told.astimezone(zone).utcoffset()
    assert (said["weekday"], said["timezone"]) == (f"{told:%A}", name or "UTC")


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "a\0b", "a" * 5_000, "è"]
)
async def test_a_zone_that_is_not_there_is_told_to_the_model(tools: Tools, name: str) -> None:
    result = await ask(tools, "current_time", timezone=name)
    assert result.failed
    assert "IANA name, such as Europe/Rome" in result.output


async def test_what_is_remembered_is_recalled_by_the_same_person_only(tools: Tools) -> None:
    assert await ask(tools, "remember", text="Anna drinks tea.") == ToolResult("call_1", "Noted.")
    await ask(tools, "remember", key="k2", text="Anna lives in Rome.")
    await ask(tools, "remember", person="bert", text="Bert drinks coffee.")
    notes = json.loads((await ask(tools, "recall")).output)
    assert [note["text"] for note in notes] == ["Anna lives in Rome.", "Anna drinks tea."]
    assert all(note["noted"] >= "2026" for note in notes)
    assert (await ask(tools, "recall", person="carl")).output == "There are no such notes."


async def test_a_word_finds_the_notes_that_hold_it(tools: Tools) -> None:
    await ask(tools, "remember", text="Anna drinks TEA.")
    await ask(tools, "remember", key="k2", text="Anna lives in Rome.")
    notes = json.loads((await ask(tools, "recall", containing="tea")).output)
    assert [note["text"] for note in notes] == ["Anna drinks TEA."]
    assert (await ask(tools, "recall", containing="milk")).output == "There are no such notes."


async def test_a_call_made_again_after_a_crash_notes_nothing_twice(tools: Tools) -> None:
    for _ in range(2):
        assert (await ask(tools, "remember", text="Anna drinks tea.")).output == "Noted."
    assert len(json.loads((await ask(tools, "recall")).output)) == 1


@pytest.mark.parametrize("text", ["", "x" * 2_001, "a\0b"])
async def test_a_note_that_cannot_be_kept_is_told_to_the_model(tools: Tools, text: str) -> None:
    result = await ask(tools, "remember", text=text)
    assert result.failed
    assert result.output.startswith("The note ")
