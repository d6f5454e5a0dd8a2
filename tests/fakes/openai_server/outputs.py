"""The items of a Response's output, and how a stream tells of each. Pure.

Events come without their place: `Telling` adds the output index and the sequence number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.objects import Json, call_item, message_item, refusal_part, text_part
from tests.fakes.openai_server.script import Answer, Call

_BROKEN_STREAMS = frozenset({Fault.STALL, Fault.RESET, Fault.EOF, Fault.ERROR_EVENT})
_BAD_ENDS = frozenset(
    {
        Fault.FAILED,
        Fault.FAILED_RATE_LIMITED,
        Fault.FAILED_PROMPT,
        Fault.INCOMPLETE_LENGTH,
        Fault.INCOMPLETE_FILTER,
    }
)
_ARGUMENTS_PIECE = 8


@dataclass(frozen=True, slots=True)
class Message:
    """What is said, or refused, in one part."""

    id: str
    pieces: tuple[str, ...]
    refusing: bool = False

    def begin(self) -> Iterator[Json]:
        yield {"type": "response.output_item.added", "item": message_item(self.id, "in_progress", [])}
        yield self._in_part("content_part.added", part=self._part(""))

    def delta(self, piece: str) -> Json:
        return self._in_part(f"{self._kind}.delta", delta=piece, **self._logprobs())

    def finish(self, status: str) -> Iterator[Json]:
        text = "".join(self.pieces)
        whole = {"refusal": text} if self.refusing else {"text": text}
        yield self._in_part(f"{self._kind}.done", **whole, **self._logprobs())
        yield self._in_part("content_part.done", part=self._part(text))
        yield {"type": "response.output_item.done", "item": self.shown(status)}

    def shown(self, status: str) -> Json:
        return message_item(self.id, status, [self._part("".join(self.pieces))])

    @property
    def _kind(self) -> str:
        return "refusal" if self.refusing else "output_text"

    def _part(self, text: str) -> Json:
        return refusal_part(text) if self.refusing else text_part(text)

    def _logprobs(self) -> Json:
        return {} if self.refusing else {"logprobs": []}

    def _in_part(self, kind: str, **fields: Any) -> Json:
        return {"type": f"response.{kind}", "item_id": self.id, "content_index": 0, **fields}


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function that the client is to call. `pieces`: the arguments, which need not be JSON."""

    id: str
    call_id: str
    name: str
    pieces: tuple[str, ...]

    def begin(self) -> Iterator[Json]:
        item = call_item(self.id, self.call_id, self.name, "", "in_progress")
        yield {"type": "response.output_item.added", "item": item}

    def delta(self, piece: str) -> Json:
        return {"type": "response.function_call_arguments.delta", "item_id": self.id, "delta": piece}

    def finish(self, status: str) -> Iterator[Json]:
        done = {"type": "response.function_call_arguments.done", "item_id": self.id, "name": self.name}
        yield {**done, "arguments": self.arguments}
        yield {"type": "response.output_item.done", "item": self.shown(status)}

    def shown(self, status: str) -> Json:
        return call_item(self.id, self.call_id, self.name, self.arguments, status)

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


Item: TypeAlias = Message | FunctionCall


def output(answer: Answer, question: str, unique: str, *, stream: bool = False) -> tuple[Item, ...]:
    """What the answer says and calls, as far as its fault lets it. A message is left out if there are only calls."""
    tokens = () if answer.fault is Fault.EMPTY else answer.tokens_for(question)
    message = Message(f"msg_{unique}", tokens, refusing=answer.fault is Fault.REFUSAL)
    said = () if answer.calls and not tokens else (message,)
    items = said + tuple(_call(call, unique, number) for number, call in enumerate(answer.calls))
    cut_off = answer.fault in _BAD_ENDS or (stream and answer.fault in _BROKEN_STREAMS)
    return _first(items, answer.at) if cut_off else items


def pieces(items: tuple[Item, ...]) -> int:
    return sum(len(item.pieces) for item in items)


def calls(items: tuple[Item, ...]) -> tuple[FunctionCall, ...]:
    return tuple(item for item in items if isinstance(item, FunctionCall))


def _first(items: tuple[Item, ...], count: int) -> tuple[Item, ...]:
    """The items that the first pieces, so many of them, begin."""
    kept: list[Item] = []
    for item in items:
        kept.append(replace(item, pieces=item.pieces[: max(0, count)]))
        count -= len(item.pieces)
        if count <= 0:
            break
    return tuple(kept)


def _call(call: Call, unique: str, number: int) -> FunctionCall:
    text = call.text
    cut = tuple(text[start : start + _ARGUMENTS_PIECE] for start in range(0, len(text), _ARGUMENTS_PIECE))
    return FunctionCall(f"fc_{unique}_{number}", call.id or f"call_{unique}{number}", call.name, cut)
