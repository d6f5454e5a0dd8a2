"""What goes out: a turn as the person sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from server.model.log import Question, Reply

ToolStatus: TypeAlias = Literal["started", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message is durable. `duplicate`: its id was accepted before, and nothing changed. `joins`: it will be answered
    together with what waited before it.
    """

    conversation_id: str
    message_id: str
    offset: int
    text: str
    created_at: int
    duplicate: bool = False
    joins: bool = False


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins. Seen a second time for the same question: forget the words shown so far."""

    conversation_id: str
    question: Question
    assistant: str


@dataclass(frozen=True, slots=True)
class Delta:
    """Words of a reply under way; `at` counts the code points of the reply before them."""

    conversation_id: str
    question: int
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """A tool is at work for a reply under way, or was. What it was asked, and said, is between it and the model."""

    conversation_id: str
    question: int
    name: str
    status: ToolStatus


@dataclass(frozen=True, slots=True)
class Replied:
    """A turn's one terminal event: the reply, or the error, is stored."""

    conversation_id: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was said so far of a reply under way, by this attempt at it, for a device that joins in the middle."""

    conversation_id: str
    question: int
    message_id: str
    text: str
    attempt: int = 0


Event: TypeAlias = Accepted | RunStarted | Delta | ToolUsed | Replied


@dataclass(frozen=True, slots=True)
class Frame:
    """An event in the bytes of a socket, with what the hub must know to keep order.

    `offset`: the log entry it shows, or 0. `turn`: the offset of the question whose turn it belongs to, or 0. `delta`:
    left out for sockets that asked for whole replies only. `at`, `end`: how many code points of the reply come before
    these words, and with them; of a whole reply `end` is its length. None: it holds no words. `rich`: makes the form
    for sockets that want more than text. `through`: of a whole reply, the offset of the last question that it answers.
    """

    data: bytes
    conversation_id: str = ""
    offset: int = 0
    turn: int = 0
    delta: bool = False
    at: int | None = None
    end: int | None = None
    rich: Callable[[], bytes] | None = None
    through: int = 0
