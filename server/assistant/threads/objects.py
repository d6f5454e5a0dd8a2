"""What the Assistants protocol shows: only what is read of it. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from server.assistant import output
from server.assistant.output import Details, Fault
from server.errors import ProviderFailed, ServerError
from server.model import Finished, ToolCall, Usage

ACTIVE = {"queued", "in_progress", "requires_action", "cancelling"}
NO_REPLY = {"failed", "cancelling", "cancelled", "expired"}
# A month's budget that is spent is called a rate limit too; only the message tells.
QUOTA_WORDS = "exceeded your current quota"
PARAGRAPH = "\n\n"

T = TypeVar("T")


class Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Function(msgspec.Struct, frozen=True):
    name: str = ""
    arguments: str = ""


class WantedCall(msgspec.Struct):
    id: str = ""
    function: Function = Function()


class WantedOutputs(msgspec.Struct):
    tool_calls: list[WantedCall] = []


class RequiredAction(msgspec.Struct):
    submit_tool_outputs: WantedOutputs | None = None


class Thread(msgspec.Struct):
    id: str


class Run(msgspec.Struct):
    id: str
    status: str
    created_at: float | str | None = None
    metadata: dict[str, Any] | None = None
    required_action: RequiredAction | None = None
    last_error: Fault | None = None
    incomplete_details: Details | None = None
    usage: Tokens | None = None

    def age(self) -> float:
        """Seconds; none where the server writes its times in words."""
        return max(0.0, time.time() - self.created_at) if isinstance(self.created_at, float) else 0.0

    def calls(self) -> tuple[ToolCall, ...]:
        action = self.required_action and self.required_action.submit_tool_outputs
        wanted = action.tool_calls if action else []
        return tuple(ToolCall(one.id, one.function.name, one.function.arguments) for one in wanted)

    def outputs(self, known: Mapping[str, str]) -> list[dict[str, str]] | None:
        """What is to be submitted; None unless each wanted call's output is known."""
        ids = [call.id for call in self.calls()]
        if not ids or not known.keys() >= set(ids):
            return None
        return [{"tool_call_id": one, "output": known[one]} for one in ids]

    def tokens(self) -> Usage | None:
        return Usage(self.usage.prompt_tokens or 0, self.usage.completion_tokens or 0) if self.usage else None


class Text(msgspec.Struct):
    value: str = ""


class Part(msgspec.Struct):
    """Of a message: a text, a refusal, or an image, which is not read. Some servers give a text as a bare string."""

    type: str = ""
    text: Text | str | None = None
    refusal: str | None = None

    def words(self) -> str:
        text = self.text.value if isinstance(self.text, Text) else self.text
        return text or self.refusal or ""


class Message(msgspec.Struct):
    id: str
    role: str = ""
    run_id: str | None = None
    metadata: dict[str, Any] | None = None
    content: list[Part] | None = None
    incomplete_details: Details | None = None


class RunPage(msgspec.Struct):
    data: list[Run] = []


class MessagePage(msgspec.Struct):
    data: list[Message] = []
    has_more: bool = False


def decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError):
        raise output.garbled() from None


def run_of(runs: Iterable[Run], run_id: str) -> Run | None:
    """The first with this `metadata.run_id`, unless it can give no reply."""
    ours = next((run for run in runs if (run.metadata or {}).get("run_id") == run_id), None)
    return None if ours is None or ours.status in NO_REPLY else ours


def words_of(messages: Iterable[Message]) -> str:
    """Every part that can be read, as paragraphs."""
    parts = [part.words() for message in messages for part in message.content or ()]
    return output.readable([PARAGRAPH.join(filter(None, parts))])


def end_of(run: Run, messages: Sequence[Message]) -> Finished:
    """Of a run that completed, or was cut short."""
    return Finished(reason_of(run, messages), run.tokens())


def reason_of(run: Run, messages: Sequence[Message]) -> str:
    if any(part.type == "refusal" for message in messages for part in message.content or ()):
        return "refusal"
    if run.status != "incomplete":
        return "stop"
    # Of a filter only the message says so, by the protocol's description.
    details = [run.incomplete_details, *(message.incomplete_details for message in messages)]
    filtered = any(one is not None and one.reason == "content_filter" for one in details)
    return "content_filter" if filtered else "length"


def failure_of(run: Run) -> ServerError:
    """Of a run that can give no reply."""
    if run.status != "failed":
        late = "The assistant's answer was ended before it was complete. Please try again."
        return ProviderFailed(late, code="expired")
    fault = run.last_error or Fault()
    if QUOTA_WORDS in (fault.message or ""):
        fault = Fault("insufficient_quota")
    return output.failed(fault)
