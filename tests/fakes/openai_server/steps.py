"""The steps an answer is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.fakes.openai_server.objects import Json

Headers: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers."""

    status: int
    headers: Headers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes of the body, held back until the next `Wait`, `Stall`, `Reset` or the end."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """What was held back goes out; then seconds on the schedule, 0 too."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stall:
    """What was held back goes out; then nothing until the client leaves."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What was held back goes out; then a TCP RST."""


@dataclass(frozen=True, slots=True)
class Event:
    """Goes out as one server-sent event."""

    event: Json


@dataclass(frozen=True, slots=True)
class Body:
    """Goes out as the whole answer, one JSON object."""

    status: int
    body: Json
    headers: Headers = field(default_factory=dict)


WireStep: TypeAlias = Head | Send | Wait | Stall | Reset
Step: TypeAlias = WireStep | Event | Body
