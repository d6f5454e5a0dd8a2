"""What is kept: people, their conversations, and what was said in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from server.errors import TooMany


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token speaks for."""

    person: str
    username: str
    expires_at_seconds: int
    issued_at_seconds: int = 0
    groups: tuple[str, ...] = ()


def nobodys(name: str) -> str:
    """The person whose conversation it is that belongs to nobody with a token."""
    return f"public:{name}"


def is_nobody(person: str) -> bool:
    return person.startswith("public:")


@dataclass(frozen=True, slots=True)
class SignOut:
    """Tokens of the person that were issued until `at` are refused."""

    person: str
    at: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A log's head. `offset` is its newest entry (0: none yet); every question up to `answered` has its reply.

    `created_at`: when the first was said; until then, when it was made. `thread`: the one at the provider that belongs
    to it.
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

    def goes_on(self, since: int, ended: str | None) -> bool:
        """Nothing was said in it before `since`, and it is not the one that has ended."""
        return self.id != ended and (self.offset == 0 or self.created_at >= since)


@dataclass(frozen=True, slots=True)
class Question:
    """What a person said: one entry of the log."""

    offset: int
    message_id: str
    text: str
    created_at: int


def as_one(questions: Sequence[Question]) -> Question:
    """The first, with the texts of all, a line break between them."""
    return replace(questions[0], text="\n".join(one.text for one in questions))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Draft:
    """How a turn ended, before it has its place in the log. With a `code` it is an error that the person sees.

    `assistant`: name@version of the definition that answered; empty if none came to it. `images`: keys of files.
    """

    text: str
    finish_reason: str
    usage: Usage | None = None
    code: str | None = None
    retryable: bool = False
    assistant: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person was finally told: one entry of the log. `question` is the offset of what it answers.

    Where it answers several, `message_ids` has the ids of all, and `through` is the offset of the last; else they are
    empty and 0.
    """

    offset: int
    question: int
    message_id: str
    draft: Draft
    created_at: int
    message_ids: tuple[str, ...] = ()
    through: int = 0

    def answers(self, question: int) -> bool:
        """Whether it is a reply to the question of this offset."""
        return self.question <= question <= self.last

    @property
    def last(self) -> int:
        """Every question up to this offset has its reply."""
        return self.through or self.question


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A question that ended in an error: `code` says which, `tries` how often it was begun.

    Of several that were asked in one breath it is the first, with the texts of all.
    """

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
# So many find room beyond the bound on what waits, for they end what does.
INTERRUPTS = 5


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message at the door. `message_id` is the idempotency key, unique per person.

    `when_busy`, while others wait for their answer: take a place behind them, cancel them, or do not come in.
    `aliases`: further ids under which it may come again. `quiet`: seconds of silence that its turn waits for; what the
    person says meanwhile is answered together with it.
    """

    person: str
    conversation_id: str
    message_id: str
    text: str
    when_busy: WhenBusy = "enqueue"
    aliases: tuple[str, ...] = ()
    quiet: float = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids under which it may come, its own first."""
        return tuple(dict.fromkeys((self.message_id, *self.aliases)))

    @property
    def quiet_ms(self) -> int:
        return math.ceil(self.quiet * 1000)

    def check_room(self, waiting: int, most: int) -> None:
        """Raises `TooMany` where so many questions that wait leave none for it."""
        if waiting and self.when_busy == "reject":
            raise TooMany("The assistant is still answering; wait for it.", code="busy", retry_after=1)
        if waiting >= most + (INTERRUPTS if self.when_busy == "interrupt" else 0):
            raise TooMany(
                f"{waiting} messages of this conversation wait for their answer; wait for one.",
                code="too_many_waiting",
                retry_after=5,
            )


def reply_id(conversation_id: str, question: int) -> str:
    """The same for every attempt at a question, on every worker."""
    return f"{conversation_id}-{question}"


# Message ids that begin so are the server's own.
REQUEUED = "requeued-"


def requeued_id(letter: DeadLetter) -> str:
    """The same for every requeue of a letter, so that it is asked again once."""
    return f"{REQUEUED}{reply_id(letter.conversation_id, letter.question.offset)}"
