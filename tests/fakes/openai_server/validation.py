"""Holds what is asked and what is answered against OpenAI's own description of its API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationError, ValidationErrorKind

from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.steps import Body, Event, Step

KEPT_VIOLATIONS = 1000
_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[4] / "shared" / "openai" / "openapi.json"
_URI = "urn:openai"


@dataclass(frozen=True, slots=True)
class Violation:
    """`where`: "request POST /responses", "answer GET /models 200" or "event response.created"."""

    where: str
    message: str


class Description:
    """The OpenAPI document, repaired so that it can judge. Paths are its own: no /v1, {placeholders} as they are."""

    def __init__(self, document: Json) -> None:
        repaired = _repaired(document)
        self._paths = repaired["paths"]
        self._registry = jsonschema_rs.Registry([(_URI, repaired)], draft=jsonschema_rs.Draft202012)
        self._events = dict(_event_schemas(repaired["components"]["schemas"]))
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def request_errors(self, method: str, path: str, body: Any) -> list[ValidationError]:
        asked = self._paths[path][method.lower()].get("requestBody")
        if asked is None:
            return []
        # Else a misspelt field would pass: the description closes none of its objects.
        return self._errors(_ref(asked["content"]), body, unevaluatedProperties=False)

    def answer_errors(self, method: str, path: str, status: int, body: Any) -> list[ValidationError]:
        if status >= 400:
            return self._errors("#/components/schemas/ErrorResponse", body)
        content = self._paths[path][method.lower()]["responses"][str(status)].get("content")
        return self._errors(_ref(content), body) if content else []

    def event_errors(self, event: Json) -> list[ValidationError]:
        # An unknown type is judged by the whole union, and fails it.
        return self._errors(self._events.get(event["type"], "#/components/schemas/ResponseStreamEvent"), event)

    def _errors(self, ref: str, instance: Any, **extra: bool) -> list[ValidationError]:
        validator = self._validators.get(ref)
        if validator is None:
            schema = {"$ref": f"{_URI}{ref}", **extra}
            validator = jsonschema_rs.Draft202012Validator(schema, registry=self._registry)
            self._validators[ref] = validator
        return [] if validator.is_valid(instance) else list(validator.iter_errors(instance))


class Inspector:
    """Collects the violations, the first thousand of them; without a description there are none to find."""

    def __init__(self, description: Description | None) -> None:
        self._description = description
        self.violations: list[Violation] = []

    @property
    def active(self) -> bool:
        return self._description is not None

    def request(self, method: str, path: str, body: Any) -> Violation | None:
        """The first that the request commits."""
        if self._description is None:
            return None
        found = self._note(f"request {method} {path}", self._description.request_errors(method, path, body))
        return found[0] if found else None

    def checked(self, method: str, path: str, steps: Iterable[Step]) -> Iterator[Step]:
        """The same steps, each looked at as it passes."""
        if self._description is None:
            return iter(steps)
        return self._looked_at(self._description, method, path, steps)

    def _looked_at(self, description: Description, method: str, path: str, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            match step:
                case Event(event):
                    self._note(f"event {event['type']}", description.event_errors(event))
                case Body(status, body):
                    errors = description.answer_errors(method, path, status, body)
                    self._note(f"answer {method} {path} {status}", errors)
                case _:
                    pass  # Bytes that are wrong on purpose, and pauses.
            yield step

    def _note(self, where: str, errors: list[ValidationError]) -> list[Violation]:
        found = [Violation(where, message) for message in _messages(errors)]
        self.violations.extend(found[: max(0, KEPT_VIOLATIONS - len(self.violations))])
        return found


def description_path() -> Path | None:
    """Where the description is: $OPENAI_DESCRIPTION, or beside the repository; None if it is not there."""
    path = Path(os.environ.get("OPENAI_DESCRIPTION") or _BESIDE_THE_REPOSITORY)
    return path if path.is_file() else None


@cache
def load_description(path: Path) -> Description:
    """Read once per process: it takes a while."""
    return Description(msgspec.json.decode(path.read_bytes()))


def _repaired(document: Json) -> Json:
    repaired: Json = _rewritten(document)
    schemas = repaired["components"]["schemas"]
    # Without it an answer to no call at all would pass.
    schemas["FunctionCallOutputItemParam"]["required"].append("call_id")
    for name in ("ListAssistantsResponse", "ListMessagesResponse", "ListRunsResponse"):
        # An empty list has neither.
        schemas[name]["properties"] |= {key: {"type": ["string", "null"]} for key in ("first_id", "last_id")}
    return repaired


def _rewritten(node: Any) -> Any:
    """oneOf read as anyOf: the description's alternatives overlap, so that most valid bodies match several.

    `nullable`, which JSON Schema does not know, read as one more alternative.
    """
    match node:
        case {"nullable": True, **rest}:
            return {"anyOf": [_rewritten(rest), {"type": "null"}]} if rest else {"type": "null"}
        case {"allOf": [*parts], **rest} if {"nullable": True} in parts:
            return {"anyOf": _rewritten(parts), **_rewritten(rest)}
        case dict():
            return {"anyOf" if key == "oneOf" else key: _rewritten(value) for key, value in node.items()}
        case list():
            return [_rewritten(value) for value in node]
        case _:
            return node


def _event_schemas(schemas: Json) -> Iterator[tuple[str, str]]:
    for alternative in schemas["ResponseStreamEvent"]["anyOf"]:
        ref = alternative["$ref"]
        for kind in schemas[ref.rpartition("/")[2]]["properties"]["type"]["enum"]:
            yield kind, ref


def _ref(content: Json) -> str:
    ref: str = content["application/json"]["schema"]["$ref"]
    return ref


def _messages(errors: list[ValidationError]) -> Iterator[str]:
    """The field and what is wrong with it, cut to a readable length."""
    wrong = {error.instance_path[0] for error in errors if error.instance_path}
    for error in errors:
        kind = error.kind
        # A field that is wrong in itself counts as unevaluated too.
        if isinstance(kind, ValidationErrorKind.UnevaluatedProperties) and wrong.issuperset(kind.unexpected):
            continue
        place = "/".join(map(str, error.instance_path)) or "body"
        yield f"{place}: {error.message}"[:500]
