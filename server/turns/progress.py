"""How far a turn has come: folded from its steps, those that an earlier attempt noted and those of this one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from server.model import Begun, Called, Returned, Round, Step, ToolCall, ToolResult, Usage


@dataclass(slots=True)
class Progress:
    """`assistant`: the version it was begun with. `handle`: the run at the provider, if there is one to go on with.

    `wanted`: the round whose calls are not all answered yet, with the results there are.
    """

    assistant: str | None = None
    handle: str | None = None
    rounds: list[Round] = field(default_factory=list)
    usage: Usage | None = None
    wanted: Called | None = None
    results: list[ToolResult] = field(default_factory=list)

    def take(self, step: Step) -> None:
        match step:
            case Begun(handle, assistant):
                self.handle, self.assistant = handle, assistant
            case Called():
                self.handle, self.assistant = step.handle, step.assistant
                self.usage = total(self.usage, step.usage)
                self.wanted, self.results = step, []
            case Returned(result):
                self.results.append(result)
                self._close()
            case _:
                assert_never(step)

    def _close(self) -> None:
        wanted = self.wanted
        if wanted is not None and len(self.results) == len(wanted.calls):
            self.rounds.append(Round(wanted.said, wanted.calls, tuple(self.results), wanted.trace))
            self.wanted = None

    def unanswered(self) -> list[ToolCall]:
        known = {result.call_id for result in self.results}
        return [call for call in self.wanted.calls if call.id not in known] if self.wanted else []

    def said(self) -> str:
        """Everything that the rounds said before they wanted tools."""
        rounds = "".join(one.said for one in self.rounds)
        return rounds + self.wanted.said if self.wanted else rounds

    def images(self) -> tuple[str, ...]:
        """What the tools made for the person, each picture once."""
        results = [result for one in self.rounds for result in one.results]
        if self.wanted is not None:
            results += self.results
        return tuple(dict.fromkeys(key for result in results for key in result.images))

    def calls(self) -> int:
        """How many were answered in rounds that are over."""
        return sum(len(one.calls) for one in self.rounds)


def progress_of(steps: Iterable[Step]) -> Progress:
    progress = Progress()
    for step in steps:
        progress.take(step)
    return progress


def total(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    return Usage(one.input_tokens + other.input_tokens, one.output_tokens + other.output_tokens)
