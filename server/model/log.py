"""What is kept: people, their conversations, and what was said in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token speaks for."""

    person: str
    username: str
    expires_at_seconds: int
    issued_at_seconds: int = 0
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignOut:
    """Tokens of the person that were issued until `at` are refused."""

    person: str
    at: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A log's head. `offset` is its newest entry (0: none yet); every question up to `answered` has its reply.

    `thread`: the one at the provider that belongs to it.
    """

    id: str
    person: str
    channel: str
    assistant: str
    epoch: str
    offset: int
    answered: int
    created_at: int
    updated_at: int
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a person said: one entry of the log."""

    offset: int
    message_id: str
    text: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Draft:
    """How a turn ended, before it has its place in the log. With a `code` it is an error that the person sees.

    `assistant`: name@version of the definition that answered; empty if none came to it.
    """

    text: str
    finish_reason: str
    usage: Usage | None = None
    code: str | None = None
    retryable: bool = False
    assistant: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person was finally told: one entry of the log. `question` is the offset of what it answers."""

    offset: int
    question: int
    message_id: str
    draft: Draft
    created_at: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A question that ended in an error: `code` says which, `tries` how often it was begun."""

    conversation_id: str
    person: str
    question: Question
    code: str
    tries: int
    created_at: int


Entry: TypeAlias = Question | Reply


@dataclass(frozen=True, slots=True)
class Page:
    """Neighbouring entries in the order of the log. `more`: there are others beyond, in the direction read."""

    entries: tuple[Entry, ...]
    more: bool


WhenBusy: TypeAlias = Literal["enqueue", "interrupt", "reject"]


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message at the door. `message_id` is the idempotency key, unique per person.

    `when_busy`, while others wait for their answer: take a place behind them, cancel them, or do not come in.
    """

    person: str
    conversation_id: str
    message_id: str
    text: str
    when_busy: WhenBusy = "enqueue"


def reply_id(conversation_id: str, question: int) -> str:
    """The same for every attempt at a question, on every worker."""
    return f"{conversation_id}-{question}"


# Message ids that begin so are the server's own.
REQUEUED = "requeued-"


def requeued_id(letter: DeadLetter) -> str:
    """The same for every requeue of a letter, so that it is asked again once."""
    return f"{REQUEUED}{reply_id(letter.conversation_id, letter.question.offset)}"
