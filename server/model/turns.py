"""A turn: one question answered, in one or more runs at the model provider."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from server.model.assistants import Assistant, Exchange, RunMode
from server.model.log import Draft, Question, Reply, Usage, as_one


@dataclass(frozen=True, slots=True)
class Lease:
    """A conversation on loan to a worker, with the question it is to answer.

    `attempt` grows with every lease of the conversation and fences its writes and pushes. `tries` counts how often this
    question was begun (this time included), `failures` how often a runner reported that it failed. `cancelled`: the
    person wants no answer any more. `steps`: how many steps of this turn were noted. `thread`: the one at the provider
    that belongs to the conversation. `more`: questions that were asked in one breath with this one; one reply answers
    them all, and every attempt has the same.
    """

    conversation_id: str
    person: str
    channel: str
    assistant: str
    attempt: int
    question: Question
    tries: int
    failures: int
    cancelled: bool = False
    steps: int = 0
    thread: str | None = None
    more: tuple[Question, ...] = ()

    @property
    def questions(self) -> tuple[Question, ...]:
        """All that the turn answers, in their order."""
        return (self.question, *self.more)

    @property
    def asked(self) -> Question:
        """What the turn answers, as one question."""
        return as_one(self.questions) if self.more else self.question

    def reply(self, offset: int, draft: Draft, now: int) -> Reply:
        """To all its questions, in its place in the log."""
        first, ids = self.question, tuple(one.message_id for one in self.questions)
        if not self.more:
            return Reply(offset, first.offset, first.message_id, draft, now)
        return Reply(offset, first.offset, first.message_id, draft, now, ids, self.more[-1].offset)


@dataclass(frozen=True, slots=True)
class Settled:
    """A stored reply, and the lease on the next question; without one the conversation has been let go.

    `unposted`: it was to be filed in the outbox, which has no room; the phone does not get it.
    """

    reply: Reply
    next: Lease | None
    unposted: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """A turn's outcome that nobody sees yet: the question keeps its place and is due again after `delay` seconds."""

    delay: float


Outcome: TypeAlias = Draft | Retry


# --- tools --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model wants done. `arguments` are its own words: JSON, or not even that."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is told. `failed`: `output` says what went wrong. `images`: keys of files for the person."""

    call_id: str
    output: str
    failed: bool = False
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a tool is called: known to us, never taken from the model.

    `key` is the same whenever this call is made again after a crash, and no other call has it.
    """

    person: str
    conversation_id: str
    channel: str
    key: str


@dataclass(frozen=True, slots=True)
class Round:
    """A run that wanted tools, and what they gave. `trace`: the run's output in the engine's own notation."""

    said: str
    calls: tuple[ToolCall, ...]
    results: tuple[ToolResult, ...]
    trace: str


# --- one run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything a run needs.

    `run_id` is the same for every attempt at a question, and names the run in the provider's metadata. `rounds` are
    those of this turn that are over. `handle`: the run that an earlier attempt, or the last round, left at the
    provider. `again`: an earlier attempt may have left one of which nothing is known here. `last`: no tools any more.
    `seconds`: how long it may take; one that is polled is looked at once more then, and ends as `TimeoutError`.
    """

    run_id: str
    person: str
    assistant: Assistant
    mode: RunMode
    exchanges: tuple[Exchange, ...]
    question: str
    rounds: tuple[Round, ...] = ()
    thread: str | None = None
    handle: str | None = None
    again: bool = False
    last: bool = False
    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Window:
    """`tokens`: what a prompt may hold in all. `preamble`: bytes that the engine itself adds to every prompt."""

    tokens: int
    preamble: int


@dataclass(frozen=True, slots=True)
class ThreadMade:
    """The provider has a thread for the conversation."""

    thread: str


@dataclass(frozen=True, slots=True)
class RunBegun:
    """The provider has a run that outlives us."""

    handle: str


@dataclass(frozen=True, slots=True)
class Words:
    """A piece of the reply, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolsWanted:
    """The model wants each of these answered before it goes on, in the run of `handle`; without one, in a new run."""

    calls: tuple[ToolCall, ...]
    trace: str = ""
    handle: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider's own end of a run: `finish_reason` is stop, length, content_filter or refusal."""

    finish_reason: str
    usage: Usage | None


RunEvent: TypeAlias = ThreadMade | RunBegun | Words | ToolsWanted | Finished


# --- what a turn notes, so that the next attempt at it goes on from there -----------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """A run at the provider, and the version of the assistant that it is a run of."""

    handle: str
    assistant: str


@dataclass(frozen=True, slots=True)
class Called:
    """A round whose calls are to be answered; `handle` as in `ToolsWanted`."""

    said: str
    calls: tuple[ToolCall, ...]
    trace: str
    handle: str | None
    usage: Usage | None
    assistant: str


@dataclass(frozen=True, slots=True)
class Returned:
    """A call that is over."""

    result: ToolResult


Step: TypeAlias = Begun | Called | Returned
