"""The Responses API: streamed while somebody watches, or in the background and polled."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
import openai

from server.assistant import output
from server.assistant.creation import made
from server.assistant.faults import provider_errors
from server.assistant.limits import Limits
from server.assistant.output import Output, StreamReader
from server.assistant.polling.hints import poll_after
from server.assistant.polling.poller import OVER, Poll, Poller
from server.assistant.tools.toolbox import Tools
from server.errors import NotFound, Unavailable
from server.model import Assistant, Finished, Prompt, RunBegun, RunEvent, ToolsWanted, Window, Words

NO_REPLY = {"failed", "cancelled", "expired"}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the provider can do. `background`: runs that outlive the request; `reasoning`: hand out what a model
    thought, sealed, for its next run.
    """

    background: bool = False
    reasoning: bool = False


class ResponsesEngine:
    """Implements the port Engine. The conversation is ours: a streamed run leaves nothing at the provider."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        tools: Tools,
        poller: Poller,
        limits: Limits,
        abilities: Abilities,
    ) -> None:
        # Looked up here, because the SDK imports a good part of itself for it, and the first turn should not wait.
        self._stream = client.responses.with_streaming_response.create
        self._raw = client.responses.with_raw_response
        self._tools = tools
        self._poller = poller
        self._abilities = abilities
        self._limits = limits

    def window(self, assistant: Assistant) -> Window:
        return self._limits.window(assistant, self._tools)

    def respond(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        if prompt.handle is not None:
            return self._polled(prompt)
        if prompt.mode == "stream":
            return self._streamed(prompt)
        return self._polled(prompt) if self._abilities.background else self._collected(prompt)

    async def cancel(self, handle: str) -> None:
        try:
            with provider_errors(asks_for="run"):
                await self._raw.cancel(handle)
        except NotFound:
            pass

    async def forget(self, thread: str) -> None:
        """There are no threads here; one left by another engine is that one's."""

    # --- streamed ---

    async def _streamed(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        reader = StreamReader(self._limits.longest(prompt.assistant.definition))
        options = {"store": False, "stream_options": {"include_obfuscation": False}}
        with provider_errors():
            # As `extra_body`, because the SDK would look at each part of each earlier message on its way.
            async with self._stream(stream=True, extra_body=self._request(prompt) | options) as response:
                async for chunk in response.iter_bytes():
                    words, end = reader.read(chunk)
                    if words:
                        yield Words(words)
                    if end is not None:
                        yield end
                        return
        raise Unavailable("The assistant's answer broke off.", code="provider_broke_off")

    async def _collected(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        """For a provider that can only stream, the same as in the background: nothing, then all."""
        said: list[str] = []
        async with aclosing(self._streamed(prompt)) as events:
            async for event in events:
                if isinstance(event, Words):
                    said.append(event.text)
                    continue
                if said:
                    yield Words("".join(said))
                yield event

    # --- in the background ---

    async def _polled(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        run = None if prompt.handle is None else await self._earlier_run(prompt, prompt.handle)
        if run is None:
            run = await made(self._begin(prompt), lambda begun: self.cancel(begun.id))
            yield RunBegun(run.id)
            run = await self._first_end(prompt, run.id)
        for event in self._outcome(prompt, run):
            yield event

    async def _earlier_run(self, prompt: Prompt, handle: str) -> Output | None:
        """None if it cannot give a reply any more."""
        try:
            run = (await self._look(handle)).found
            if run.status not in OVER:
                run = await self._wait(prompt, handle, age_seconds=time.time() - run.created_at)
        except NotFound:
            return None
        return None if run.status in NO_REPLY else run

    async def _first_end(self, prompt: Prompt, handle: str) -> Output:
        try:
            return await self._wait(prompt, handle)
        except NotFound:
            raise output.lost() from None

    async def _begin(self, prompt: Prompt) -> Output:
        with provider_errors():
            response = await self._raw.create(extra_body=self._request(prompt) | {"background": True, "store": True})
        return output.decode_output(response.content)

    async def _wait(self, prompt: Prompt, handle: str, *, age_seconds: float = 0.0) -> Output:
        now = self._poller.clock.time()
        return await self._poller.wait(
            lambda: self._look(handle),
            kind=prompt.assistant.label,
            begun_at=now - age_seconds,
            deadline=now + prompt.seconds,
        )

    async def _look(self, handle: str) -> Poll[Output]:
        with provider_errors(asks_for="run"):
            response = await self._raw.retrieve(handle)
        run = output.decode_output(response.content)
        return Poll(run.status, run, poll_after(response.headers))

    def _outcome(self, prompt: Prompt, run: Output) -> Iterator[Words | Finished | ToolsWanted]:
        if run.status in NO_REPLY:
            raise output.failed(run.error or output.Fault())
        words, refused = output.words_of(run)
        if words:
            yield Words(words)
        yield output.end_of(run, self._limits.longest(prompt.assistant.definition), refused=refused)

    # --- the request ---

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        definition = prompt.assistant.definition
        request: dict[str, Any] = {
            "model": self._limits.model_of(definition),
            "instructions": definition.instructions,
            "input": list(items(prompt)),
            "max_output_tokens": self._limits.longest(definition),
            "metadata": {"run_id": f"{prompt.run_id}.{len(prompt.rounds)}", "assistant": prompt.assistant.label},
            "safety_identifier": hashlib.sha256(prompt.person.encode()).hexdigest(),
        }
        if definition.temperature is not None:
            request["temperature"] = definition.temperature
        if functions := self._tools.functions(definition.tools):
            request |= self._tooling(functions, last=prompt.last)
        return request

    def _tooling(self, functions: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
        tooling: dict[str, Any] = {"tools": functions}
        if last:
            tooling["tool_choice"] = "none"
        if self._abilities.reasoning:
            tooling["include"] = ["reasoning.encrypted_content"]
        return tooling


def items(prompt: Prompt) -> Iterator[Any]:
    for exchange in (*prompt.assistant.definition.examples, *prompt.exchanges):
        yield message("user", exchange.question)
        yield message("assistant", exchange.reply)
    yield message("user", prompt.question)
    for one in prompt.rounds:
        yield from msgspec.json.decode(one.trace)
        for result in one.results:
            yield {"type": "function_call_output", "call_id": result.call_id, "output": result.output}


def message(role: str, text: str) -> dict[str, str]:
    # llama.cpp does not recognise an assistant's item without its type.
    return {"type": "message", "role": role, "content": text}
