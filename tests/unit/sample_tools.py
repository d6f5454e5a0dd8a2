"""Tools of every temper, and a toolbox of them."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel

from server.assistant.tools.tool import Given, tool
from server.assistant.tools.toolbox import MOST_BYTES, Tools
from server.errors import BadInput, Unavailable
from server.model import Caller, ToolCall, ToolResult

ANNA = Caller("anna", "c_1", "websocket", "r_1-call_1")
BERT = Caller("bert", "c_2", "sms", "r_2-call_1")


class Shelf(list[str]):
    """What a tool is given."""


class Place(BaseModel):
    city: str
    zip: str | None = None


@tool()
async def who(
    caller: Caller, shelf: Given[Shelf], word: str | None = None, place: Place | None = None
) -> dict[str, Any]:
    """Who calls."""
    shelf.append(f"{caller.person}: {word}")
    return {"person": caller.person, "conversation": caller.conversation_id, "channel": caller.channel, "word": word}


@tool()
async def count(json: int, model_config: float, day: date | None = None) -> str:
    """Names that a pydantic model has a use for."""
    return f"{json} {model_config:g} {day}"


@tool(timeout_seconds=0.05)
async def sleeper() -> None:
    """Too slow."""
    await asyncio.sleep(60)


@tool()
async def patient() -> None:
    """Slow, and may be."""
    await asyncio.sleep(60)


@tool(timeout_seconds=0.05)
async def sulker() -> None:
    """Too slow, and says something else when it is stopped."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise ValueError from None


@tool()
async def fails(how: str) -> None:
    """Fails."""
    match how:
        case "ours":
            raise Unavailable("The moon is down.")
        case "mendable":
            raise BadInput("Say it louder.")
        case "timeout":
            raise TimeoutError("canary")
        case "group":
            raise ExceptionGroup("canary", [ValueError("canary")])
        case "cancelled":
            raise asyncio.CancelledError("canary")
        case _:
            raise RuntimeError("canary")


@tool()
async def says(what: str) -> object:
    """Says it."""
    circle: list[object] = []
    circle.append(circle)
    things: Mapping[str, object] = {
        "long": "é" * MOST_BYTES,
        "long list": ["é"] * MOST_BYTES,
        "half": "a\ud800b",
        "infinite": math.inf,
        "model": Place(city="Rome"),
        "nothing": None,
        "day": {"day": date(2026, 1, 2)},
        "function": says,
        "circle": circle,
    }
    return things.get(what, what)


def toolbox(shelf: Shelf | None = None) -> Tools:
    return Tools([who, count, sleeper, patient, sulker, fails, says], {Shelf: Shelf() if shelf is None else shelf})


async def ask(name: str, arguments: str | dict[str, Any] = "{}", caller: Caller = ANNA) -> ToolResult:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return await toolbox().call(ToolCall("call_1", name, text), caller)
