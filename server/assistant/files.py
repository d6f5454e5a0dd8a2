"""A definition as a file: YAML 1.2, read strictly. The definitions that ship are read here."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from server.errors import BadInput
from server.model import Definition, Exchange, Overrides, RunMode

SHIPPED = Path(__file__).parent / "definitions"
MOST_CHARACTERS = 256 * 1024
DEEPEST = 16

# What each field takes, in the words of an error's last half.
TAKES = {
    "name": "lower-case letters, digits, - and _, at most 64, the first a letter; asst_ is the provider's own",
    "description": "one line for people, at most 512 characters, none of them a control character",
    "instructions": "text of 1 to 64000 characters, without control characters",
    "examples": "a list of at most 20, each with a question and a reply",
    "tools": "a list of names, each once, e.g. [current_time]",
    "model": "a model's name at the provider, or leave it out",
    "temperature": "a number from 0 to 2, or leave it out",
    "max_output_tokens": "a whole number from 16 to 1000000, or leave it out",
    "max_reply_tokens": "a whole number from 16 to 1000000, or leave it out",
    "run_mode": "stream or background, or leave it out",
    "keep_opening": "true or false, or leave it out",
    "channels": "under the name of a channel, what is different there, e.g. its instructions",
    "question": "text without control characters",
    "reply": "text without control characters",
}
SHORT = (
    "name",
    "description",
    "model",
    "temperature",
    "max_output_tokens",
    "max_reply_tokens",
    "run_mode",
    "keep_opening",
)


def once_each(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("names one twice")
    return names


def not_the_providers(name: str) -> str:
    if name.startswith("asst_"):
        raise ValueError("begins with asst_")
    return name


# They end in logs and on terminals; a NUL no database takes.
READABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64_000, pattern=READABLE)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$"), AfterValidator(not_the_providers)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", max_length=512)]
Model = Annotated[str, StringConstraints(pattern=r"^\S{1,128}$")]
Tool = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Channel = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Example(Strict):
    question: Text
    reply: Text


class Part(Strict):
    """What a definition says, and a channel may say otherwise."""

    instructions: Text | None = None
    model: Model | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_output_tokens: Annotated[int, Field(ge=16, le=1_000_000)] | None = None
    max_reply_tokens: Annotated[int, Field(ge=16, le=1_000_000)] | None = None
    run_mode: RunMode | None = None


class Whole(Part):
    name: Name
    instructions: Text
    description: Line = ""
    examples: Annotated[list[Example], Field(max_length=20)] = []
    tools: Annotated[list[Tool], Field(max_length=64), AfterValidator(once_each)] = []
    keep_opening: bool | None = None
    channels: dict[Channel, Part] = {}


def parse(text: str, source: str) -> Definition:
    """Raises `BadInput` that names each wrong field of `source`, its fault and the fix."""
    content = load(text, source)
    if not isinstance(content, dict):
        raise BadInput(f"{source}: this is no definition; begin it with `name:` and `instructions:`.")
    try:
        whole = Whole.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise BadInput("\n".join(f"{source}: {fault(one)}" for one in faults)) from None
    return definition(whole)


def load(text: str, source: str) -> Any:
    if len(text) > MOST_CHARACTERS:
        raise BadInput(f"{source}: this is too long for a definition; at most {MOST_CHARACTERS} characters are taken.")
    try:
        check_shape(text, source)
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise BadInput(f"{source}:{place} this is not good YAML: {error.problem}.") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{source}: this is not good YAML: {str(error).partition(chr(10))[0]}.") from None


def check_shape(text: str, source: str) -> None:
    """Before anything is made of it: little text can stand for very much, or take very long."""
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            raise BadInput(f"{source}: aliases (*name) are not taken, as a few of them can stand for very much.")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise BadInput(f"{source}: this is nested deeper than any definition.")


def definition(whole: Whole) -> Definition:
    return Definition(
        name=whole.name,
        description=whole.description,
        examples=tuple(Exchange(one.question, one.reply) for one in whole.examples),
        tools=tuple(whole.tools),
        keep_opening=whole.keep_opening,
        channels={channel: Overrides(**part.model_dump()) for channel, part in whole.channels.items()},
        **{name: getattr(whole, name) for name in Part.model_fields},
    )


def fault(error: Any) -> str:
    place = [str(part) for part in error["loc"] if part != "[key]"]
    field = next((part for part in reversed(place) if part in TAKES), "")
    path = ".".join(place)
    match error["type"]:
        case "extra_forbidden":
            return f"{path}: there is no such field here; {suggestion(place)}"
        case "missing":
            what = "is missing"
        case "string_too_short":
            what = "is empty"
        case "value_error":
            what = str(error["ctx"]["error"])
        case _:
            what = f"is {shortened(error['input'])}"
    return f"{path}: {what}; it takes {TAKES[field]}."


def suggestion(place: list[str]) -> str:
    kind: type[BaseModel] = Whole
    if len(place) > 1:
        kind = Example if place[0] == "examples" else Part
    known = list(kind.model_fields)
    close = difflib.get_close_matches(place[-1], known, 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."


def shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def write(one: Definition) -> str:
    """As a file that reads as the same definition."""
    content: dict[str, Any] = {name: getattr(one, name) for name in SHORT if getattr(one, name) not in (None, "")}
    if one.description:
        content["description"] = block(one.description)
    if one.tools:
        content["tools"] = list(one.tools)
    if one.examples:
        content["examples"] = [{"question": block(pair.question), "reply": block(pair.reply)} for pair in one.examples]
    if one.channels:
        content["channels"] = {channel: dict(differences(part)) for channel, part in sorted(one.channels.items())}
    content["instructions"] = block(one.instructions)
    yaml, stream = YAML(), StringIO()
    yaml.width = 1_000_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(content, stream)
    return stream.getvalue()


def differences(part: Overrides) -> Iterator[tuple[str, Any]]:
    for name in (one.name for one in fields(Overrides)):
        value = getattr(part, name)
        if value is not None:
            yield name, block(value) if name == "instructions" else value


def block(text: str) -> str:
    """Line by line where it has several, so that a difference shows as lines; what YAML would change, escaped."""
    lines = text.split("\n")
    if not all(line.isprintable() and line == line.rstrip() for line in lines):
        escaped: str = DoubleQuotedScalarString(text)
        return escaped
    return LiteralScalarString(text + "\n") if len(lines) > 1 else text


def read_definition(path: Path) -> Definition:
    """Raises `BadInput`."""
    try:
        with path.open(encoding="utf-8") as file:
            return parse(file.read(MOST_CHARACTERS + 1), str(path))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text; save it as such.") from None


def read_shipped() -> Mapping[str, Definition]:
    """By name."""
    found = [read_definition(path) for path in sorted(SHIPPED.glob("*.yaml"))]
    return {one.name: one for one in found}
