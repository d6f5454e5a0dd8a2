"""What a run of the Responses API put out, whole or as events: only what is read of it.

The SDK's own objects cost more time than all the rest of a turn, so bytes are decoded here, into little.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from server.assistant.faults import fault_of
from server.assistant.sse import EventDecoder, ServerSentEvent
from server.errors import ServerError, Unavailable
from server.model import Finished, ToolCall, ToolsWanted, Usage

logger = structlog.get_logger()

FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


class Tokens(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0


class Fault(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class Details(msgspec.Struct):
    reason: str | None = None


class Part(msgspec.Struct):
    """Of a message: `text`, or a `refusal`."""

    type: str = ""
    text: str = ""
    refusal: str = ""


class Item(msgspec.Struct):
    """A message, a function call, or something that is not read."""

    type: str = ""
    content: list[Part] | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    encrypted_content: str | None = None


class Output(msgspec.Struct):
    """A response, as far as it is read. `created_at` is seconds since 1970."""

    id: str = ""
    status: str = ""
    created_at: float = 0.0
    output: list[msgspec.Raw] = []
    usage: Tokens | None = None
    incomplete_details: Details | None = None
    error: Fault | None = None

    def tokens(self) -> Usage | None:
        return Usage(self.usage.input_tokens, self.usage.output_tokens) if self.usage else None


class StreamEvent(msgspec.Struct):
    """Any event of the stream, as far as it is read."""

    type: str = ""
    delta: Any = ""
    response: Output | None = None
    code: str | None = None
    error: Fault | None = None


event_decoder = msgspec.json.Decoder(StreamEvent)
output_decoder = msgspec.json.Decoder(Output)
item_decoder = msgspec.json.Decoder(Item)

SPOKEN = {b"response.output_text.delta", b"response.refusal.delta"}
TERMINAL = {b"response.completed", b"response.incomplete", b"response.failed", b"error"}
# Without a name, an event says what it is only in its data.
READ = SPOKEN | TERMINAL | {b""}


class StreamReader:
    """Bytes of a stream to the words that one read delivered, merged, and the end if it came."""

    def __init__(self, max_output_tokens: int) -> None:
        self._decoder = EventDecoder()
        self._max_output_tokens = max_output_tokens
        self._refused = False

    def read(self, chunk: bytes) -> tuple[str, Finished | ToolsWanted | None]:
        words: list[str] = []
        for event in self._decoder.feed(chunk):
            if event.name not in READ:
                continue
            decoded = decode_event(event)
            match decoded.type:
                case "response.output_text.delta":
                    words.append(decoded.delta)
                case "response.refusal.delta":
                    self._refused = True
                    words.append(decoded.delta)
                case "response.completed" | "response.incomplete":
                    return readable(words), self._end(decoded)
                case "response.failed" | "error":
                    raise run_failed(decoded)
        return readable(words), None

    def _end(self, event: StreamEvent) -> Finished | ToolsWanted:
        output = event.response or Output()
        output.status = event.type.removeprefix("response.")
        return end_of(output, self._max_output_tokens, refused=self._refused)


def decode_event(event: ServerSentEvent) -> StreamEvent:
    try:
        decoded = event_decoder.decode(event.data)
    except (msgspec.MsgspecError, UnicodeError):
        raise garbled() from None
    if not decoded.type:
        decoded.type = event.name.decode(errors="replace")
    return decoded


def decode_output(body: bytes) -> Output:
    try:
        return output_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError):
        raise garbled() from None


def end_of(output: Output, max_output_tokens: int, *, refused: bool = False) -> Finished | ToolsWanted:
    """Of a run that completed, or was cut short."""
    if output.status == "completed":
        calls = calls_of(output)
        if calls:
            return ToolsWanted(calls, trace_of(output), usage=output.tokens())
    return Finished(reason_of(output, max_output_tokens, refused=refused), output.tokens())


def reason_of(output: Output, max_output_tokens: int, *, refused: bool) -> str:
    if refused:
        return "refusal"
    if output.status == "incomplete":
        told = output.incomplete_details and output.incomplete_details.reason
        return FINISH_REASONS.get(told or "", "length")
    # llama.cpp calls a reply completed that was cut at the limit.
    cut = output.usage is not None and output.usage.output_tokens >= max_output_tokens
    return "length" if cut else "stop"


def words_of(output: Output) -> tuple[str, bool]:
    """All that a whole response says, and whether it is a refusal."""
    items = [item for item in map(decode_item, output.output) if item.type == "message"]
    parts = [part for item in items for part in item.content or ()]
    refused = any(part.type == "refusal" for part in parts)
    return readable([part.text or part.refusal for part in parts]), refused


def calls_of(output: Output) -> tuple[ToolCall, ...]:
    items = map(decode_item, output.output)
    return tuple(ToolCall(one.call_id, one.name, one.arguments) for one in items if one.type == "function_call")


def trace_of(output: Output) -> str:
    """The items that the next run must be shown, as a JSON list. Reasoning that was not handed out cannot be."""
    shown = [raw for raw in output.output if is_shown(decode_item(raw))]
    return msgspec.json.encode(shown).decode()


def is_shown(item: Item) -> bool:
    return item.type in {"message", "function_call"} or (
        item.type == "reasoning" and item.encrypted_content is not None
    )


def decode_item(raw: msgspec.Raw) -> Item:
    try:
        return item_decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeError):
        raise garbled() from None


def readable(words: list[str]) -> str:
    # A log line of PostgreSQL cannot hold a NUL, and nobody can read one.
    return "".join(words).replace("\0", "")


def garbled() -> Unavailable:
    return Unavailable("The assistant's answer was garbled.", code="provider_garbled")


def lost() -> Unavailable:
    return Unavailable("The assistant's answer was lost. Please try again.", code="provider_lost_run")


def run_failed(event: StreamEvent) -> ServerError:
    return failed(event.error or (event.response and event.response.error) or Fault(event.code))


def failed(fault: Fault) -> ServerError:
    logger.warning("provider_run_failed", code=fault.code)
    return fault_of(fault.code, None)
