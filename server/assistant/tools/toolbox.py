"""Tools by name: told to the provider, called for the model."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import structlog
from pydantic_core import to_json

from server.assistant.tools.tool import Shown, Tool
from server.errors import ConfigError, ServerError
from server.model import Caller, ToolCall, ToolResult

logger = structlog.get_logger()

MOST_BYTES = 16 * 1024
CUT = "\n[cut here: this was too long]"
NOTHING: Mapping[Any, object] = MappingProxyType({})


class Tools:
    """Implements the port Toolbox. `given`: what tools declare as `Given[...]`, by its type."""

    def __init__(self, tools: Sequence[Tool] = (), given: Mapping[Any, object] = NOTHING) -> None:
        check_names(tools)
        check_given(tools, given)
        self._tools = {tool.name: tool for tool in tools}
        self._sizes = {tool.name: len(msgspec.json.encode(tool.function_tool)) for tool in tools}
        self._given = given

    def check(self, names: Sequence[str]) -> None:
        """Raises `ConfigError` unless there is a tool of each name."""
        if unknown := [name for name in names if name not in self._tools]:
            known = ", ".join(sorted(self._tools)) or "none"
            raise ConfigError(f"There is no tool {', '.join(unknown)}; there are: {known}.")

    def functions(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """As the Responses API wants them told; those that there are."""
        return [dict(self._tools[name].function_tool) for name in names if name in self._tools]

    def size(self, names: Sequence[str]) -> int:
        """Bytes that they add to every prompt."""
        return sum(self._sizes.get(name, 0) for name in names)

    async def call(self, call: ToolCall, caller: Caller) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            # Its name is the model's own words, and those are not logged.
            logger.warning("tool_unknown", conversation=caller.conversation_id)
            known = ", ".join(self._tools) or "none"
            return ToolResult(call.id, f"There is no tool of this name; there are: {known}.", failed=True)
        started = time.perf_counter()
        outcome, shown = await self._outcome(tool, call, caller)
        took = round((time.perf_counter() - started) * 1000)
        logger.info("tool_called", tool=tool.name, outcome=outcome, ms=took, conversation=caller.conversation_id)
        return ToolResult(call.id, bounded(shown.output), failed=outcome != "done", images=shown.images)

    async def _outcome(self, tool: Tool, call: ToolCall, caller: Caller) -> tuple[str, Shown]:
        """How it went, in a word for the log, and what the model is told."""
        try:
            async with asyncio.timeout(tool.timeout_seconds) as deadline:
                return "done", shown_of(await tool.run(call.arguments, {**self._given, Caller: caller}))
        except ServerError as error:
            return error.code, Shown(error.message)
        except asyncio.CancelledError:
            # One that the tool came upon by itself must not pass for the end of the turn: the call needs its answer.
            if is_cancelled():
                raise
            return self._crashed(tool)
        except Exception:  # noqa: BLE001  it is somebody's tool, and the turn goes on without it
            if deadline.expired():
                late = f"The tool took longer than {tool.timeout_seconds:g} seconds and was stopped."
                return "timed_out", Shown(late)
            return self._crashed(tool)

    def _crashed(self, tool: Tool) -> tuple[str, Shown]:
        logger.exception("tool_crashed", tool=tool.name)
        return "crashed", Shown("The tool failed. Go on without it, and say so.")


def check_names(tools: Sequence[Tool]) -> None:
    if twice := [name for name, count in Counter(tool.name for tool in tools).items() if count > 1]:
        raise ConfigError(f"There are two tools of the name {', '.join(twice)}; rename one.")


def check_given(tools: Sequence[Tool], given: Mapping[Any, object]) -> None:
    for tool in tools:
        for name, kind in tool.injected.items():
            if kind is not Caller and kind not in given:
                raise ConfigError(
                    f"The tool {tool.name} wants {name}, but no {kind.__name__} was given to the toolbox."
                )


def is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def shown_of(result: object) -> Shown:
    match result:
        case Shown():
            return result
        case str():
            return Shown(result)
        case _:
            return Shown(to_json(result, inf_nan_mode="null").decode())


def bounded(text: str) -> str:
    """What cannot be written as UTF-8 is replaced."""
    data = text.encode(errors="replace")
    if len(data) <= MOST_BYTES:
        return data.decode()
    return data[: MOST_BYTES - len(CUT)].decode(errors="ignore") + CUT
