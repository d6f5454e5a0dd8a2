"""The values that travel between the stages. Frozen; times are milliseconds since 1970 unless a name says seconds."""

from __future__ import annotations

from collections.abc import Callable
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


# --- what is kept -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conversation:
    """A log's head. `offset` is its newest entry (0: none yet); every question up to `answered` has its reply."""

    id: str
    person: str
    channel: str
    assistant: str
    epoch: str
    offset: int
    answered: int
    created_at: int
    updated_at: int


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
    """How a turn ended, before it has its place in the log. With a `code` it is an error that the person sees."""

    text: str
    finish_reason: str
    usage: Usage | None = None
    code: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """A turn's outcome that nobody sees yet: the question keeps its place and is due again after `delay` seconds."""

    delay: float


Outcome: TypeAlias = Draft | Retry


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


# --- what comes in ------------------------------------------------------------------------------------------------


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


# --- a turn -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """A conversation on loan to a worker, with the question it is to answer.

    `attempt` grows with every lease of the conversation and fences its writes and pushes. `tries` counts how often this
    question was begun (this time included), `failures` how often a runner reported that it failed. `cancelled`: the
    person wants no answer any more.
    """

    conversation_id: str
    person: str
    assistant: str
    attempt: int
    question: Question
    tries: int
    failures: int
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """A stored reply, and the lease on the next question; without one the conversation has been let go."""

    reply: Reply
    next: Lease | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and the reply it got, as the model is shown them."""

    question: str
    reply: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything a run needs. `run_id` names the run in the provider's metadata and in our log lines."""

    run_id: str
    person: str
    exchanges: tuple[Exchange, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Window:
    """`tokens`: what a prompt may hold in all. `preamble`: bytes that the engine itself adds to every prompt."""

    tokens: int
    preamble: int


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of the reply, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider's own end of a run: `finish_reason` is stop, length, content_filter or refusal."""

    finish_reason: str
    usage: Usage | None


RunEvent: TypeAlias = Words | Finished


# --- what goes out ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message is durable. `duplicate`: its id was accepted before, and nothing changed."""

    conversation_id: str
    message_id: str
    offset: int
    text: str
    created_at: int
    duplicate: bool = False


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
class Replied:
    """A turn's one terminal event: the reply, or the error, is stored."""

    conversation_id: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was said so far of a reply under way, for a device that joins in the middle."""

    conversation_id: str
    question: int
    message_id: str
    text: str


Event: TypeAlias = Accepted | RunStarted | Delta | Replied


@dataclass(frozen=True, slots=True)
class Frame:
    """An event in the bytes of a socket, with what the hub must know to keep order.

    `offset`: the log entry it shows, or 0. `turn`: the offset of the question whose turn it belongs to, or 0. `delta`:
    left out for sockets that asked for whole replies only. `rich`: makes the form for sockets that want more than text.
    """

    data: bytes
    conversation_id: str = ""
    offset: int = 0
    turn: int = 0
    delta: bool = False
    rich: Callable[[], bytes] | None = None


def reply_id(conversation_id: str, question: int) -> str:
    """The same for every attempt at a question, on every worker."""
    return f"{conversation_id}-{question}"


# Message ids that begin so are the server's own.
REQUEUED = "requeued-"


def requeued_id(letter: DeadLetter) -> str:
    """The same for every requeue of a letter, so that it is asked again once."""
    return f"{REQUEUED}{reply_id(letter.conversation_id, letter.question.offset)}"
