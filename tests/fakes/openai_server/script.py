"""Which answer a request gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from tests.fakes.openai_server.faults import Fault

FILLER = " more"
_PIECE = re.compile(r"\s*\S+|\s+\Z")


@dataclass(frozen=True, slots=True)
class Call:
    """A function to call. `arguments`: a string goes out as it is, JSON or not. `id`: its call_id, else a new one."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else msgspec.json.encode(self.arguments).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """What can go wrong with any answer. `retry_after`: seconds; `times`: for how many requests."""

    fault: Fault | None = None
    retry_after: float = 1.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Answer(Scripted):
    """What is said, what is called, how fast, and what goes wrong. Times are seconds.

    `tokens`: the text in pieces, one delta each; None echoes the question, or says nothing beside `calls`. `length`:
    the pieces are cut off, or filled up, to this many. With an `interval` each delta is a write of its own, on a
    schedule that does not drift; without one, all go out in as few writes as possible. `at`: how many tokens come
    before the fault.

    A run is queued for `first_delay` and then in progress for an `interval` per token, those of arguments too.
    `poll_faults`: what its first look, its second and so on gets. `poll_headers`: on each answer that shows it.
    `cancel_delay`: how long the run of a thread is cancelling; `expires_after`: how long one may live unfinished.
    """

    tokens: tuple[str, ...] | None = None
    length: int | None = None
    first_delay: float = 0.0
    interval: float = 0.0
    at: int = 0
    calls: tuple[Call, ...] = ()
    poll_faults: tuple[Fault | None, ...] = ()
    poll_headers: Mapping[str, str] = field(default_factory=dict)
    cancel_delay: float = 0.0
    expires_after: float = 600.0

    def tokens_for(self, question: str) -> tuple[str, ...]:
        echo = () if self.calls else words(f"You said: {question}")
        tokens = echo if self.tokens is None else self.tokens
        if self.length is None:
            return tokens
        return (tokens + (FILLER,) * (self.length - len(tokens)))[: self.length]


@dataclass(frozen=True, slots=True)
class Picture(Scripted):
    """What a request for pictures gets after a delay of seconds. For faults of HTTP or the connection."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict(Scripted):
    """What a moderation finds after a delay of seconds. `flagged`: names of categories. Faults: as of a picture."""

    flagged: tuple[str, ...] = ()
    delay: float = 0.0


ECHO = Answer()

A = TypeVar("A", bound=Scripted)

Choose: TypeAlias = Callable[[Mapping[str, Any]], Answer]
"""From a request's body to its answer."""


class Script(Generic[A]):
    """The answers one after another, each `times` times, then the normal one for ever."""

    def __init__(self, answers: Sequence[A], normal: A | Callable[[Mapping[str, Any]], A]) -> None:
        self._start = (answers, normal)
        self._normal = normal
        self._queue = _repeated(answers)

    def script(self, *answers: A, normal: A | Callable[[Mapping[str, Any]], A] | None = None) -> None:
        """From now on: these answers in turn, then the normal one (None: as it was). Forgets those still queued."""
        self._normal = self._normal if normal is None else normal
        self._queue = _repeated(answers)

    def reset(self) -> None:
        """As at the start."""
        answers, normal = self._start
        self.script(*answers, normal=normal)

    def answer(self, body: Mapping[str, Any]) -> A:
        """The next one."""
        queued = next(self._queue, None)
        if queued is not None:
            return queued
        return self._normal if isinstance(self._normal, Scripted) else self._normal(body)


def _repeated(answers: Sequence[A]) -> Iterator[A]:
    return chain.from_iterable(repeat(answer, answer.times) for answer in answers)


def words(text: str) -> tuple[str, ...]:
    """`text` in pieces of a word each; joined they are `text` again."""
    return tuple(_PIECE.findall(text))
