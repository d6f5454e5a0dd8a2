"""What descriptions of routes are put together from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from msgspec import Struct

from server.entrypoints.described.release import REFERENCE
from server.entrypoints.schemas import ErrorBody

JSON = "application/json"
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """An answer in one of these media, of no type of ours."""

    media: Sequence[str]
    description: str = "A document."


@dataclass(frozen=True, slots=True)
class Nothing:
    """An answer without a body."""

    description: str


Answer: TypeAlias = type[Struct] | Document | Nothing
# By their names; those of an answer of each status, and of `default`.
Headers: TypeAlias = Mapping[str, Json]


def header(description: str, *, required: bool = False) -> Json:
    return {"description": description, "required": required, "schema": {"type": "string"}}


RETRY_AFTER = header("seconds until it is worth asking again, where that is known")
# Statuses of what may be welcome later.
LATER = {"409", "429", "503"}


def route(
    summary: str,
    answers: Mapping[str, Answer],
    *,
    headers: Mapping[str, Headers] | None = None,
    always: Headers | None = None,
    refused: type[Struct] = ErrorBody,
) -> Json:
    """What it answers, by status, with which headers; `always` these. Any other status is a refusal, too."""
    told = {
        status: response(kind, {**(always or {}), **(headers or {}).get(status, {}), **later(status)})
        for status, kind in {**answers, "default": refused}.items()
    }
    return {"summary": summary, "responses": told}


def later(status: str) -> Headers:
    return {"Retry-After": RETRY_AFTER} if status in LATER else {}


def response(kind: Answer, headers: Headers) -> Json:
    head = {"headers": dict(headers)} if headers else {}
    match kind:
        case Document(media, description):
            return {"description": description, **head, "content": {one: {} for one in media}}
        case Nothing(description):
            return {"description": description, **head}
        case type():
            return {"description": inspect.getdoc(kind), **head, "content": {JSON: {"schema": reference(kind)}}}
        case _:
            assert_never(kind)


def reference(kind: type[Struct]) -> Json:
    return {"$ref": REFERENCE.format(name=kind.__name__)}


def refusals(*statuses: str, kind: type[Struct] = ErrorBody) -> dict[str, Answer]:
    return dict.fromkeys(statuses, kind)


def parameter(name: str, place: str, kind: str = "string", *, required: bool = False, description: str = "") -> Json:
    """`place`: path, query or header."""
    told = {"description": description} if description else {}
    return {"name": name, "in": place, "required": required or place == "path", **told, "schema": {"type": kind}}


def body(content: Mapping[str, Json]) -> Json:
    return {"required": True, "content": {media: {"schema": schema} for media, schema in content.items()}}
