"""The Responses API, streamed: the SDK makes the request and maps its errors, the events are read by us.

The SDK's own event objects cost more time than all the rest of a turn, so its raw byte stream is split here and only
the few events that matter are decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec
import openai
import structlog

from server.assistant.definition import Definition
from server.assistant.sse import EventDecoder, ServerSentEvent
from server.errors import ProviderFailed, ServerError, Unavailable
from server.model import Finished, Prompt, RunEvent, Usage, Window, Words

logger = structlog.get_logger()

CONNECT_SECONDS = 5.0
QUOTA_CODES = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
}
# OpenAI's word and llama.cpp's.
CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error"}
FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


class Tokens(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0


class Fault(msgspec.Struct):
    code: str | None = None
    message: str | None = None


class Details(msgspec.Struct):
    reason: str | None = None


class Ended(msgspec.Struct):
    usage: Tokens | None = None
    incomplete_details: Details | None = None
    error: Fault | None = None


class StreamEvent(msgspec.Struct):
    """Any event of the stream, as far as it is read."""

    type: str = ""
    delta: Any = ""
    response: Ended | None = None
    code: str | None = None
    error: Fault | None = None


DECODER = msgspec.json.Decoder(StreamEvent)
SPOKEN = {b"response.output_text.delta", b"response.refusal.delta"}
TERMINAL = {b"response.completed", b"response.incomplete", b"response.failed", b"error"}
# Without a name, an event says what it is only in its data.
READ = SPOKEN | TERMINAL | {b""}


def connect(base_url: str | None, api_key: str, *, silence_seconds: float) -> openai.AsyncOpenAI:
    """A client for an engine; close it. A provider that says nothing for `silence_seconds` counts as gone.

    Retries are the turn runner's business. aiohttp carries a token for half of what the SDK's own transport takes.
    """
    timeout = httpx2.Timeout(silence_seconds, connect=CONNECT_SECONDS)
    http_client = openai.DefaultAioHttpClient(timeout=timeout)
    return openai.AsyncOpenAI(
        base_url=base_url, api_key=api_key, max_retries=0, timeout=timeout, http_client=http_client
    )


class ResponsesEngine:
    """Implements the port Engine. The conversation is ours: nothing is stored at the provider."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        definition: Definition,
        *,
        model: str,
        context_tokens: int,
        max_output_tokens: int,
    ) -> None:
        # Looked up here, because the SDK imports a good part of itself for it, and the first turn should not wait.
        self._create = client.responses.with_streaming_response.create
        self._definition = definition
        self._model = model
        self._max_output_tokens = max_output_tokens
        self._window = Window(context_tokens - max_output_tokens, definition.size)

    @property
    def assistant(self) -> str:
        return self._definition.label

    @property
    def window(self) -> Window:
        return self._window

    async def respond(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        reader = StreamReader(self._max_output_tokens)
        with provider_errors():
            # As `extra_body`, because the SDK would look at each part of each earlier message on its way.
            async with self._create(stream=True, extra_body=self._request(prompt)) as response:
                async for chunk in response.iter_bytes():
                    words, finished = reader.read(chunk)
                    if words:
                        yield Words(words)
                    if finished is not None:
                        yield finished
                        return
        raise Unavailable("The assistant's answer broke off.", code="provider_broke_off")

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "instructions": self._definition.instructions,
            "input": list(self._input(prompt)),
            "max_output_tokens": self._max_output_tokens,
            "metadata": {"run_id": prompt.run_id, "assistant": self._definition.label},
            "safety_identifier": hashlib.sha256(prompt.person.encode()).hexdigest(),
            "store": False,
            "stream_options": {"include_obfuscation": False},
        }
        if self._definition.temperature is not None:
            request["temperature"] = self._definition.temperature
        return request

    def _input(self, prompt: Prompt) -> Iterator[dict[str, str]]:
        for exchange in (*self._definition.examples, *prompt.exchanges):
            yield item("user", exchange.question)
            yield item("assistant", exchange.reply)
        yield item("user", prompt.question)


def item(role: str, text: str) -> dict[str, str]:
    # llama.cpp does not recognise an assistant's item without its type.
    return {"type": "message", "role": role, "content": text}


class StreamReader:
    """Bytes of a stream to the words that one read delivered, merged, and the end if it came."""

    def __init__(self, max_output_tokens: int) -> None:
        self._decoder = EventDecoder()
        self._max_output_tokens = max_output_tokens
        self._refused = False

    def read(self, chunk: bytes) -> tuple[str, Finished | None]:
        words: list[str] = []
        for event in self._decoder.feed(chunk):
            if event.name not in READ:
                continue
            decoded = decode(event)
            match decoded.type:
                case "response.output_text.delta":
                    words.append(decoded.delta)
                case "response.refusal.delta":
                    self._refused = True
                    words.append(decoded.delta)
                case "response.completed" | "response.incomplete":
                    return text_of(words), self._finished(decoded)
                case "response.failed" | "error":
                    raise run_failed(decoded)
        return text_of(words), None

    def _finished(self, event: StreamEvent) -> Finished:
        ended = event.response or Ended()
        usage = Usage(ended.usage.input_tokens, ended.usage.output_tokens) if ended.usage else None
        return Finished(self._reason(event.type, ended, usage), usage)

    def _reason(self, kind: str, ended: Ended, usage: Usage | None) -> str:
        if self._refused:
            return "refusal"
        if kind == "response.incomplete":
            told = ended.incomplete_details and ended.incomplete_details.reason
            return FINISH_REASONS.get(told or "", "length")
        # llama.cpp calls a reply completed that was cut at the limit.
        cut = usage is not None and usage.output_tokens >= self._max_output_tokens
        return "length" if cut else "stop"


def decode(event: ServerSentEvent) -> StreamEvent:
    try:
        decoded = DECODER.decode(event.data)
    except (msgspec.MsgspecError, UnicodeError):
        raise Unavailable("The assistant's answer was garbled.", code="provider_garbled") from None
    if not decoded.type:
        decoded.type = event.name.decode(errors="replace")
    return decoded


def text_of(words: list[str]) -> str:
    # A log line of PostgreSQL cannot hold a NUL, and nobody can read one.
    return "".join(words).replace("\0", "")


def run_failed(event: StreamEvent) -> ServerError:
    fault = event.error or (event.response and event.response.error) or Fault(event.code)
    logger.warning("provider_run_failed", code=fault.code)
    return fault_of(fault.code, None)


def fault_of(code: str | None, retry_after: float | None) -> ServerError:
    """A fault that the provider names, in our words."""
    if code in QUOTA_CODES:
        return ProviderFailed("The assistant is out of budget. Please tell its operator.", code="provider_quota")
    if code == "context_length_exceeded":
        return ProviderFailed("This message is too long for the assistant; shorten it.", code="message_too_long")
    if code in {None, "server_error", "rate_limit_exceeded", "slow_down", "vector_store_timeout"}:
        return Unavailable("The assistant is busy. Please try again.", code="provider_busy", retry_after=retry_after)
    return ProviderFailed("The assistant could not answer this.", code="provider_refused")


@contextmanager
def provider_errors() -> Iterator[None]:
    """OpenAI's and its transport's errors in our words. Theirs quote the request, so they are never shown or logged."""
    try:
        yield
    except openai.APIStatusError as error:
        raise status_error(error) from None
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        logger.warning("provider_unreachable", kind=type(error).__name__)
        raise Unavailable("The assistant cannot be reached. Please try again.", code="provider_unreachable") from None


def status_error(error: openai.APIStatusError) -> ServerError:
    status, words = error.status_code, {error.code, error.type}
    logger.warning("provider_refused", status=status, code=error.code, kind=error.type, request=error.request_id)
    match status:
        case 429 if words & QUOTA_CODES:
            return fault_of("insufficient_quota", None)
        case 408 | 409 | 429:
            return fault_of(None, retry_after(error.response.headers))
        case 401 | 403:
            return ProviderFailed("The assistant is not set up. Please tell its operator.", code="provider_key")
        case 404:
            return ProviderFailed("The assistant's model is unknown. Please tell its operator.", code="unknown_model")
        case _ if status >= 500:
            return fault_of(None, retry_after(error.response.headers))
        case _ if words & CONTEXT_CODES:
            return fault_of("context_length_exceeded", None)
        case _:
            return ProviderFailed("The assistant could not answer this.", code="provider_refused")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the HTTP date form is not used by any provider and read as no hint."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    return None
