"""What HTTP routes answer with."""

from __future__ import annotations

import secrets

import msgspec
from msgspec import Struct


class Health(Struct, frozen=True):
    """What is running here."""

    status: str
    model: str
    assistant: str
    connections: int


class Alive(Struct, frozen=True):
    """The process answers."""

    status: str


class Ready(Struct, frozen=True):
    """Whether new clients are welcome, and what each dependency says."""

    status: str
    dependencies: dict[str, str]


class ErrorDetail(Struct, frozen=True, rename="camel"):
    code: str
    message: str
    retryable: bool
    request_id: str


class ErrorBody(Struct, frozen=True):
    """Every refusal over HTTP."""

    error: ErrorDetail


class SpoiledEvent(Struct, frozen=True):
    """An event of a delivery that cannot be read: its place in the list, from 0, and why."""

    index: int
    reason: str


class EventsTaken(Struct, frozen=True, omit_defaults=True):
    """What became of a delivery. `accepted` are on their way to an answer; nobody is owed one for those `ignored`."""

    status: str
    message: str
    accepted: int
    duplicates: int
    ignored: int
    validation_response: str | None = msgspec.field(default=None, name="validationResponse")
    spoiled: list[SpoiledEvent] = []


class EventsRefused(Struct, frozen=True):
    """A delivery that was not taken. `error.retryable`: it is to come again."""

    status: str
    message: str
    error: ErrorDetail


encode = msgspec.json.Encoder().encode


def request_id() -> str:
    return f"r_{secrets.token_hex(8)}"


def error(code: str, message: str, identifier: str, *, retryable: bool = False) -> ErrorBody:
    return ErrorBody(ErrorDetail(code, message, retryable, identifier))
