"""Definitions, their versions, and what they are on one channel."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, replace

from server.model import Assistant, Definition, Overrides

LABEL_DIGITS = 12


def canonical(definition: Definition) -> str:
    """The same JSON for the same words, whatever the order they were written in."""
    return json.dumps(asdict(definition), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def version_of(definition: Definition) -> str:
    """SHA-256 of its canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(definition).encode()).hexdigest()


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


def assistant_of(definition: Definition, channel: str, provider_id: str | None = None) -> Assistant:
    label = label_of(definition.name, version_of(definition))
    return Assistant(label, on_channel(definition, channel), provider_id)


def size_of(definition: Definition) -> int:
    """Bytes that it adds to every prompt."""
    examples = (example.question + example.reply for example in definition.examples)
    return len((definition.instructions + "".join(examples)).encode())


SHIPPED = Definition(
    name="assistant",
    instructions=(
        "You are a helpful assistant in a chat. Answer in the language of the question, plainly and briefly;"
        " say so when you do not know."
    ),
)
