"""What OpenAI's strict mode knows of JSON Schema: it refuses every request whose tools go beyond that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

KNOWN = {
    *("type", "title", "description", "enum", "const", "anyOf", "$ref", "$defs"),
    *("properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
    *("pattern", "format", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
SAYS_WHAT = {"type", "enum", "const", "anyOf", "$ref"}
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


def unknown_to_strict_mode(schema: Any, place: str = "") -> Iterator[str]:
    """What is wrong with a schema, and how to mend it. Only what can be wrong after the SDK has made it strict."""
    where = place or "the arguments"
    if unknown := schema.keys() - KNOWN:
        words = ", ".join(sorted(unknown))
        yield f"{where}: strict mode does not know {words}; check that in the function, and raise BadInput"
    if not schema.keys() & SAYS_WHAT:
        yield f"{where}: strict mode wants a type; say which"
    if schema.get("additionalProperties", False) is not False:
        yield f"{where}: strict mode wants every name of an object known; use a model, or a list of pairs"
    if schema.get("format", "date") not in FORMATS:
        yield f"{where}: strict mode does not know the format {schema['format']}; take a str, and check it"
    for name, inner in inner_schemas(schema):
        yield from unknown_to_strict_mode(inner, f"{place}.{name}" if place else name)


def inner_schemas(schema: Any) -> Iterator[tuple[str, Any]]:
    yield from schema.get("properties", {}).items()
    yield from schema.get("$defs", {}).items()
    for inner in schema.get("anyOf", ()):
        yield "one of it", inner
    if "items" in schema:
        yield "each of it", schema["items"]
