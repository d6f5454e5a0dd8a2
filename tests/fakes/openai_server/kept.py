"""What the fake keeps between requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from tests.fakes.openai_server.events import Telling
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.runs import Run
from tests.fakes.openai_server.thread import Thread

KEPT_OBJECTS = 10_000

T = TypeVar("T")


@dataclass(slots=True)
class Kept:
    """By their ids."""

    responses: dict[str, tuple[Run, Telling]] = field(default_factory=dict)
    assistants: dict[str, Json] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)


def keep(shelf: dict[str, T], name: str, value: T) -> None:
    """The last ten thousand stay."""
    shelf[name] = value
    if len(shelf) > KEPT_OBJECTS:
        del shelf[next(iter(shelf))]
