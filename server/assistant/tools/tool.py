"""A tool: an async function whose signature and docstring say everything that the model is told of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from openai import pydantic_responses_function_tool
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError

from server.assistant.tools.strict import unknown_to_strict_mode
from server.errors import BadInput, ConfigError
from server.model import Caller

T = TypeVar("T")
INJECTED = object()

NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
MOST_CHARACTERS = 64 * 1024
MOST_FAULTS = 5
MOST_OF_A_NAME = 100
# Fields have names of their own, because a pydantic model has methods that an argument may be called like.
FIELD = "argument_"

# `notes: Given[Notes]` is what the server was put together with, never the model's to say.
Given = Annotated[T, INJECTED]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a tool returns that has pictures for the person, too; `images` are keys of files."""

    output: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """`function_tool`: as the Responses API wants it told. `injected`: the type of each parameter that is not the
    model's.
    """

    name: str
    timeout_seconds: float
    function_tool: Mapping[str, Any]
    injected: Mapping[str, Any]
    function: Callable[..., Awaitable[object]]
    arguments: type[BaseModel]

    async def run(self, arguments: str, given: Mapping[Any, object]) -> object:
        """`given` holds a value for each type that is injected. Raises `BadInput` for arguments that do not fit."""
        values = {name: given[kind] for name, kind in self.injected.items()}
        return await self.function(**self._parse(arguments), **values)

    def _parse(self, arguments: str) -> dict[str, object]:
        if len(arguments) > MOST_CHARACTERS:
            raise BadInput(f"The arguments are too long; at most {MOST_CHARACTERS} characters are taken.")
        try:
            # Some models say nothing at all where there is nothing to say.
            parsed = self.arguments.model_validate_json(arguments.strip() or "{}", strict=True, extra="forbid")
        except ValidationError as error:
            raise BadInput("\n".join(faults(error))) from None
        return {field.removeprefix(FIELD): value for field, value in parsed}


def faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_context=False, include_input=False)[:MOST_FAULTS]:
        place = ".".join(map(str, fault["loc"]))[:MOST_OF_A_NAME] or "arguments"
        unknown = fault["type"] == "extra_forbidden"
        yield f"{place}: {'There is no such argument' if unknown else fault['msg']}"


def tool(*, timeout_seconds: float = 10.0) -> Callable[[Callable[..., Awaitable[object]]], Tool]:
    """Make an async function a tool.

    The docstring and `Annotated[..., Field(description=...)]` are for the model; what is optional is `T | None = None`.
    A parameter of type `Caller` or `Given[...]` is injected. Raises `ConfigError` that says how to mend what is wrong.
    """
    if timeout_seconds <= 0:
        raise ConfigError(f"A tool's timeout_seconds must be more than 0, not {timeout_seconds}.")
    return lambda function: declare(function, timeout_seconds)


def declare(function: Callable[..., Awaitable[object]], timeout_seconds: float) -> Tool:
    name, description = function.__name__, inspect.getdoc(function)
    if not NAME.fullmatch(name):
        raise wrong(name, "a name has 1 to 64 of A-Z a-z 0-9 _; rename it")
    if not inspect.iscoroutinefunction(function):
        raise wrong(name, "it is not async; begin it with `async def`")
    if not description:
        raise wrong(name, "it has no docstring; say what it does and when to use it, for the model chooses by that")
    types = annotations_of(name, function)
    injected = {one: kind for one, kind in types.items() if is_injected(kind)}
    arguments = arguments_of(name, function, {one: kind for one, kind in types.items() if one not in injected})
    return Tool(
        name,
        timeout_seconds,
        function_tool_of(name, description, arguments),
        {one: get_args(kind)[0] if get_args(kind) else kind for one, kind in injected.items()},
        function,
        arguments,
    )


def annotations_of(name: str, function: Callable[..., object]) -> dict[str, Any]:
    """The type of each parameter."""
    parameters = inspect.signature(function).parameters
    try:
        types = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise wrong(name, f"{error}; import types where they are there at run time, not under TYPE_CHECKING") from None
    for one, parameter in parameters.items():
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise wrong(name, f"{one} cannot be given by name; declare plain parameters, without * and /")
        if one not in types:
            raise wrong(name, f"{one} has no type; write {one}: str, or what it is")
        if parameter.default not in (parameter.empty, None):
            raise wrong(name, f"{one} has a default, which strict mode does not know; write {one}: T | None = None")
    return {one: types[one] for one in parameters}


def is_injected(kind: Any) -> bool:
    return kind is Caller or INJECTED in getattr(kind, "__metadata__", ())


def hides_injected(kind: Any) -> bool:
    """Whether it is, say, a Caller or None: what is left to the model there, the model could make up."""
    return any(is_injected(inner) or hides_injected(inner) for inner in get_args(kind))


def arguments_of(name: str, function: Callable[..., object], types: Mapping[str, Any]) -> type[BaseModel]:
    """What the model's arguments are held to."""
    parameters = inspect.signature(function).parameters
    fields: dict[str, Any] = {
        FIELD + one: (kind, ... if parameters[one].default is inspect.Parameter.empty else None)
        for one, kind in types.items()
    }
    if hidden := [one for one, kind in types.items() if hides_injected(kind)]:
        raise wrong(
            name, f"{', '.join(hidden)} would be the model's to make up; declare it as Caller or Given[...] alone"
        )
    config = ConfigDict(alias_generator=lambda field: field.removeprefix(FIELD))
    try:
        return create_model(name, __config__=config, **fields)
    except PydanticUserError as error:
        raise wrong(
            name,
            f"JSON cannot carry one of its parameters ({str(error).splitlines()[0]});"
            " declare what is not the model's to say as Given[...]",
        ) from None


def function_tool_of(name: str, description: str, arguments: type[BaseModel]) -> dict[str, Any]:
    try:
        told = dict(pydantic_responses_function_tool(arguments, name=name, description=description))
    except PydanticUserError as error:
        raise wrong(name, f"a parameter has no JSON schema ({str(error).splitlines()[0]})") from None
    schema: Any = told["parameters"]
    if Caller.__name__ in schema.get("$defs", {}):
        raise wrong(name, "a Caller inside of a model's argument would be the model's to make up")
    if fault := next(unknown_to_strict_mode(schema), None):
        raise wrong(name, fault)
    return told


def wrong(name: str, what: str) -> ConfigError:
    return ConfigError(f"The tool {name} is declared wrongly: {what}.")
