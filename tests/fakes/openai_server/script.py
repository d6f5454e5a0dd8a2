"""Which answer a request gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, repeat
from typing import Any, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said, what is called, how fast, and what goes wrong. Times are seconds.

    `tokens`: the text in pieces, one delta each; None echoes the question, or says nothing beside `calls`. `length`:
    the pieces are cut off, or filled up, to this many. With an `interval` each delta is a write of its own, on a
    schedule that does not drift; without one, all go out in as few writes as possible. `at`: how many tokens come
    before the fault. `times`: for how many requests.

    A run is queued for `first_delay` and then in progress for an `interval` per token, those of arguments too.
    `poll_faults`: what its first look, its second and so on gets. `poll_headers`: on each answer that shows it.
    `cancel_delay`: how long the run of a thread is cancelling; `expires_after`: how long one may live unfinished.
    """

    tokens: tuple[str, ...] | None = None
    length: int | None = None
    first_delay: float = 0.0
    interval: float = 0.0
    fault: Fault | None = None
    at: int = 0
    retry_after: float = 1.0
    times: int = 1
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


ECHO = Answer()

Choose: TypeAlias = Callable[[Mapping[str, Any]], Answer]
"""From a request's body to its answer."""


class Script:
    """The answers one after another, each `times` times, then the normal one for ever."""

    def __init__(self, answers: Sequence[Answer], normal: Answer | Choose) -> None:
        self._queue: Iterator[Answer] = chain.from_iterable(repeat(answer, answer.times) for answer in answers)
        self._normal = normal

    def answer(self, body: Mapping[str, Any]) -> Answer:
        queued = next(self._queue, None)
        if queued is not None:
            return queued
        return self._normal if isinstance(self._normal, Answer) else self._normal(body)


@dataclass(frozen=True, slots=True)
class ScriptBody:
    """A script as JSON: {"answers": [...], "normal": {...}}; without `normal`, the normal answer stays as it was."""

    answers: tuple[Answer, ...] = ()
    normal: Answer | None = None


def parse_script(data: bytes) -> ScriptBody:
    """Raises `msgspec.ValidationError` that names what is wrong, an unknown field too."""
    raw = msgspec.json.decode(data, type=dict[str, Any])
    script = msgspec.convert(raw, ScriptBody)
    _only_known(raw, ScriptBody)
    for answer in [*raw.get("answers", ()), raw.get("normal") or {}]:
        _only_known(answer, Answer)
        for call in answer.get("calls", ()):
            _only_known(call, Call)
    return script


def words(text: str) -> tuple[str, ...]:
    """`text` in pieces of a word each; joined they are `text` again."""
    return tuple(_PIECE.findall(text))


def _only_known(raw: Mapping[str, Any], kind: type[Answer | Call | ScriptBody]) -> None:
    unknown = raw.keys() - {known.name for known in fields(kind)}
    if unknown:
        raise msgspec.ValidationError(f"unknown in {kind.__name__}: {', '.join(sorted(unknown))}")
