"""Definitions, their versions, and what they are on one channel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import msgspec

from server.model import Assistant, Definition, Overrides

LABEL_DIGITS = 12
PREFIX_DIGITS = 8
UNSAID: tuple[Any, ...] = (None, "", (), {})


def canonical(definition: Definition) -> str:
    """The same JSON for the same words, whatever the order they were written in. What is not said is not in it, so
    that a field which comes to be changes no version there is.
    """
    return json.dumps(said(asdict(definition)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def said(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: said(one) for name, one in value.items() if one not in UNSAID}


def definition_of(body: str) -> Definition:
    """From its canonical JSON."""
    return msgspec.json.decode(body, type=Definition)


def version_of(definition: Definition) -> str:
    """SHA-256 of its canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(definition).encode()).hexdigest()


def is_prefix(word: str) -> bool:
    """Whether it reads as a version, or the beginning of one."""
    return len(word) >= PREFIX_DIGITS and set(word) <= set("0123456789abcdef")


def label_of(name: str, version: str) -> str:
    """name@version, as people and log lines see it."""
    return f"{name}@{version[:LABEL_DIGITS]}"


def on_channel(definition: Definition, channel: str) -> Definition:
    """With what is different there put in."""
    overrides = definition.channels.get(channel)
    if overrides is None:
        return definition
    changes = {one.name: getattr(overrides, one.name) for one in fields(Overrides)}
    return replace(definition, **{name: value for name, value in changes.items() if value is not None})


def assistant_of(definition: Definition, version: str, channel: str, provider_id: str | None = None) -> Assistant:
    return Assistant(label_of(definition.name, version), on_channel(definition, channel), provider_id)


def size_of(definition: Definition) -> int:
    """Bytes that it adds to every prompt."""
    examples = (example.question + example.reply for example in definition.examples)
    return len((definition.instructions + "".join(examples)).encode())
