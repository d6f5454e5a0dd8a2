"""What a function says of itself: the schema of a good tool, and what is said to the author of a bad one."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol
from uuid import UUID

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field

from server.assistant.tools.current_time import current_time
from server.assistant.tools.get_inventory import get_inventory
from server.assistant.tools.recall import recall
from server.assistant.tools.remember import remember
from server.assistant.tools.tool import Given, Tool, tool
from server.errors import ConfigError
from server.model import Caller

SHIPPED = [current_time, get_inventory, recall, remember]


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


class Line(BaseModel):
    item: str
    number: Annotated[int, Field(ge=1)]
    size: Size | None = None


class Door(Protocol):
    pass


class Pile(BaseModel):
    height: int = 3


class Hidden(BaseModel):
    caller: Caller


@tool(timeout_seconds=3)
async def order(
    caller: Caller,
    door: Given[Door],
    lines: Annotated[list[Line], Field(description="what to bring", min_length=1)],
    speed: Literal["fast", "slow"],
    reference: UUID | None = None,
) -> str:
    """Order things."""
    return ""


def strict_faults(schema: Any) -> list[str]:
    """OpenAI's rules for a strict schema, as its guide to structured outputs has them."""
    faults = [key for key in ("default", "allOf", "oneOf", "not", "minLength", "maxLength") if key in schema]
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            faults.append("open")
        if set(schema.get("required", [])) != set(properties):
            faults.append("not all required")
    elif not schema.keys() & {"type", "enum", "const", "anyOf", "$ref"}:
        faults.append("no type")
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", [])]
    return faults + [fault for one in [*inner, *filter(None, [schema.get("items")])] for fault in strict_faults(one)]


@pytest.mark.parametrize("one", [*SHIPPED, order], ids=lambda one: one.name)
def test_every_schema_is_one_for_strict_mode(one: Tool) -> None:
    told = dict(one.function_tool)
    assert (told["type"], told["strict"], told["name"]) == ("function", True, one.name)
    assert told["parameters"]["type"] == "object"
    assert "anyOf" not in told["parameters"]
    assert strict_faults(told["parameters"]) == []
    jsonschema_rs.meta.validate(told["parameters"])


@pytest.mark.parametrize("one", SHIPPED, ids=lambda one: one.name)
def test_a_shipped_tool_says_what_it_does_and_what_each_argument_means(one: Tool) -> None:
    assert len(one.function_tool["description"]) > 50
    for argument in one.function_tool["parameters"]["properties"].values():
        assert argument["description"]


def test_a_signature_is_the_schema_without_what_is_injected() -> None:
    told = order.function_tool
    schema = told["parameters"]
    assert (order.name, order.timeout_seconds, told["description"]) == ("order", 3, "Order things.")
    assert schema["required"] == ["lines", "speed", "reference"]
    assert schema["properties"]["lines"]["description"] == "what to bring"
    assert schema["properties"]["speed"]["enum"] == ["fast", "slow"]
    assert {"type": "null"} in schema["properties"]["reference"]["anyOf"]
    assert schema["$defs"]["Line"]["required"] == ["item", "number", "size"]
    assert order.injected == {"caller": Caller, "door": Door}
    assert "aller" not in str(told)


def test_a_tool_has_ten_seconds_if_it_says_nothing() -> None:
    assert recall.timeout_seconds == 10


async def no_docstring(word: str) -> str:
    return word


async def no_type(word) -> str:  # type: ignore[no-untyped-def]
    """Says it."""
    return str(word)


def not_async(word: str) -> str:
    """Says it."""
    return word


async def stars(*words: str) -> str:
    """Says it."""
    return ""


async def double_stars(**words: str) -> str:
    """Says it."""
    return ""


async def nameless(word: str, /) -> str:
    """Says it."""
    return word


async def default(number: int = 3) -> str:
    """Says it."""
    return ""


async def inner_default(pile: Pile) -> str:
    """Says it."""
    return ""


async def forward(word: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Says it."""
    return ""


async def any_dict(words: dict[str, str]) -> str:
    """Says it."""
    return ""


async def anything(word: Any) -> str:
    """Says it."""
    return ""


async def short(word: Annotated[str, Field(max_length=3)]) -> str:
    """Says it."""
    return ""


async def odd_format(word: Annotated[str, Field(json_schema_extra={"format": "moon"})]) -> str:
    """Says it."""
    return ""


async def bare_part(door: Door) -> str:
    """Says it."""
    return ""


async def function(call: Callable[[], int]) -> str:
    """Says it."""
    return ""


async def perhaps_caller(caller: Caller | None = None) -> str:
    """Says it."""
    return ""


async def perhaps_given(line: Given[Line] | None = None) -> str:
    """Says it."""
    return ""


async def hidden_caller(hidden: Hidden) -> str:
    """Says it."""
    return ""


async def długa(word: str) -> str:
    """Says it."""
    return ""


@pytest.mark.parametrize(
    ("function", "fix"),
    [
        (no_docstring, "has no docstring; say what it does"),
        (no_type, "word has no type; write word: str"),
        (not_async, "begin it with `async def`"),
        (stars, "words cannot be given by name; declare plain parameters"),
        (double_stars, "words cannot be given by name; declare plain parameters"),
        (nameless, "word cannot be given by name; declare plain parameters"),
        (default, "number has a default, which strict mode does not know; write number: T | None = None"),
        (inner_default, "Pile.height: strict mode does not know default"),
        (forward, "name 'Nowhere' is not defined; import types where they are there at run time"),
        (any_dict, "words: strict mode wants every name of an object known; use a model, or a list of pairs"),
        (anything, "word: strict mode wants a type; say which"),
        (short, "word: strict mode does not know maxLength; check that in the function, and raise BadInput"),
        (odd_format, "word: strict mode does not know the format moon; take a str, and check it"),
        (bare_part, "declare what is not the model's to say as Given[...]"),
        (function, "a parameter has no JSON schema"),
        (perhaps_caller, "caller would be the model's to make up; declare it as Caller or Given[...] alone"),
        (perhaps_given, "line would be the model's to make up; declare it as Caller or Given[...] alone"),
        (hidden_caller, "a Caller inside of a model's argument would be the model's to make up"),
        (długa, "a name has 1 to 64 of A-Z a-z 0-9 _; rename it"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_wrong_declaration_is_refused_with_the_fix(function: Callable[..., Any], fix: str) -> None:
    with pytest.raises(ConfigError) as refused:
        tool()(function)
    assert refused.value.message.startswith(f"The tool {function.__name__} is declared wrongly: ")
    assert fix in refused.value.message


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_tool_has_some_time(seconds: float) -> None:
    with pytest.raises(ConfigError, match="more than 0"):
        tool(timeout_seconds=seconds)
