"""One run in a thread: begun once, found again after a crash, followed to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import httpx2
import msgspec
import openai

from server.assistant import output
from server.assistant.catalog import PROVIDERS_OWN
from server.assistant.creation import made
from server.assistant.faults import for_operator, provider_errors
from server.assistant.limits import Limits
from server.assistant.polling.poller import OVER, Poller
from server.assistant.threads.api import MOST_MESSAGES, ThreadsApi
from server.assistant.threads.objects import ACTIVE, NO_REPLY, Run, end_of, failure_of, run_of, words_of
from server.assistant.tools.toolbox import Tools
from server.errors import NotFound, ProviderFailed, Unavailable
from server.model import (
    Assistant,
    Definition,
    Prompt,
    RunBegun,
    RunEvent,
    ThreadMade,
    ToolsWanted,
    Window,
    Words,
)

# After these there may be a run although nobody said so. `Unavailable`: the answer was torn.
DOUBTFUL = (openai.APIConnectionError, openai.InternalServerError, httpx2.TransportError, Unavailable)
# These may be because another run holds the thread.
HELD = (openai.BadRequestError, openai.ConflictError)
# Ends the name of a thread that does not hold the whole conversation yet.
UNFINISHED = "+"
# The protocol takes no smaller limit.
LEAST_OUTPUT_TOKENS = 256
LOCKED_SECONDS = 1.0


class ThreadsEngine:
    """Implements the port Engine. Runs are polled, whatever the prompt's mode; each is one of its thread's."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        tools: Tools,
        poller: Poller,
        limits: Limits,
    ) -> None:
        self._api = ThreadsApi(client)
        self._tools = tools
        self._poller = poller
        self._limits = limits

    def window(self, assistant: Assistant) -> Window:
        return self._limits.window(assistant, self._tools)

    async def respond(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        if prompt.assistant.provider_id is None:
            raise for_operator("The assistant is not set up at the provider.", "assistant_not_mirrored")
        with nothing_lost():
            handle, run = prompt.handle or "", await self._earlier_run(prompt)
            if run is None:
                async with aclosing(self._begun(prompt)) as events:
                    async for event in events:
                        yield event
                        if isinstance(event, RunBegun):
                            handle = event.handle
                run = await self._answered(handle, await self._wait(handle, prompt), prompt)
            for end in await self._outcome(handle, run, prompt):
                yield end

    async def cancel(self, handle: str) -> None:
        if "/" in handle:
            await self._api.cancel(handle)

    async def forget(self, thread: str) -> None:
        await self._api.delete_thread(thread.removesuffix(UNFINISHED))

    # --- the thread ---

    async def _begun(self, prompt: Prompt) -> AsyncGenerator[ThreadMade | RunBegun]:
        handle = await self._begin_in(prompt.thread, prompt)
        if handle is None:
            thread = None
            async with aclosing(self._new_thread(prompt)) as made:
                async for event in made:
                    thread = event.thread
                    yield event
            handle = await self._begin_in(thread, prompt)
        if handle is None:
            raise Unavailable("The assistant's memory was lost. Please try again.", code="provider_lost_thread")
        yield RunBegun(handle)

    async def _new_thread(self, prompt: Prompt) -> AsyncGenerator[ThreadMade]:
        """Told of before it holds the whole conversation, it has a name that says so until it does."""
        if prompt.thread is not None:
            await self.forget(prompt.thread)
        seeds = list(messages(prompt))
        thread = await made(self._api.create_thread(seeds[:MOST_MESSAGES]), self.forget)
        if seeds[MOST_MESSAGES:]:
            yield ThreadMade(thread + UNFINISHED)
            for seed in seeds[MOST_MESSAGES:]:
                await self._api.add_message(thread, seed)
        yield ThreadMade(thread)

    async def _begin_in(self, thread: str | None, prompt: Prompt) -> str | None:
        """The run's handle; None if there is no such thread, or not the whole of it."""
        if thread is None or thread.endswith(UNFINISHED):
            return None
        try:
            run = await self._begin(thread, prompt)
        except NotFound:
            if not await self._api.has_thread(thread):
                return None
            raise for_operator("The assistant or its model is unknown to the provider.", "unknown_model") from None
        return f"{thread}/{run.id}"

    # --- the run ---

    async def _begin(self, thread: str, prompt: Prompt) -> Run:
        """One that an earlier attempt left there, or a new one."""
        asked = False
        if prompt.again or prompt.handle is not None:
            run = run_of(await self._api.newest_runs(thread), prompt.run_id)
            if run is not None:
                return run
            asked = await self._is_asked(thread, prompt.run_id)
        creation = self._create(thread, prompt, asked=asked)
        return await made(creation, lambda run: self._api.cancel(f"{thread}/{run.id}"))

    async def _is_asked(self, thread: str, run_id: str) -> bool:
        """Whether an earlier attempt's question is there."""
        newest = await self._api.newest_messages(thread)
        return any(one.role == "user" and (one.metadata or {}).get("run_id") == run_id for one in newest)

    async def _create(self, thread: str, prompt: Prompt, *, asked: bool) -> Run:
        with provider_errors(asks_for="thread"):
            try:
                return await self._api.create_run(thread, self._request(prompt, asked=asked))
            except (*DOUBTFUL, *HELD) as error:
                runs = await self._api.newest_runs(thread)
                run = run_of(runs, prompt.run_id)
                if run is not None:
                    return run
                if isinstance(error, HELD):
                    await self._unlock(thread, runs)
                raise

    async def _unlock(self, thread: str, runs: Sequence[Run]) -> None:
        """Raises `Unavailable` if one of them, which nobody waits for any more, still holds the thread."""
        active = [run for run in runs if run.status in ACTIVE]
        for run in active:
            if run.status != "cancelling":
                await self._api.cancel(f"{thread}/{run.id}")
        if active:
            busy = "The assistant is still busy with an earlier message. Please try again."
            raise Unavailable(busy, code="provider_busy", retry_after=LOCKED_SECONDS)

    async def _earlier_run(self, prompt: Prompt) -> Run | None:
        """None if there is none, or it cannot give a reply any more."""
        if prompt.handle is None or "/" not in prompt.handle:
            return None
        try:
            run = (await self._api.look(prompt.handle)).found
            if run.status not in OVER:
                run = await self._wait(prompt.handle, prompt, age_seconds=run.age())
            run = await self._answered(prompt.handle, run, prompt)
        except NotFound:
            return None
        return None if run.status in NO_REPLY else run

    async def _answered(self, handle: str, run: Run, prompt: Prompt) -> Run:
        """The run once it wants none of the calls that are answered already."""
        known = {result.call_id: result.output for one in prompt.rounds for result in one.results}
        while run.status == "requires_action" and (outputs := run.outputs(known)) is not None:
            await self._api.submit(handle, outputs)
            run = await self._wait(handle, prompt)
        return run

    async def _wait(self, handle: str, prompt: Prompt, *, age_seconds: float = 0.0) -> Run:
        now = self._poller.clock.time()
        return await self._poller.wait(
            lambda: self._api.look(handle),
            kind=prompt.assistant.label,
            begun_at=now - age_seconds,
            deadline=now + prompt.seconds,
        )

    async def _outcome(self, handle: str, run: Run, prompt: Prompt) -> list[RunEvent]:
        if run.status in NO_REPLY:
            raise failure_of(run)
        calls = run.calls()
        if run.status == "requires_action" and not calls:
            raise ProviderFailed("The assistant wants something that is not known here.", code="unknown_action")
        told = told_in(prompt)
        said = [message for message in await self._api.messages_of(handle) if message.id not in told]
        words = words_of(said)
        events: list[RunEvent] = [Words(words)] if words else []
        if run.status != "requires_action":
            return [*events, end_of(run, said)]
        # Its tokens are counted at its end, for all rounds.
        trace = msgspec.json.encode([message.id for message in said]).decode()
        return [*events, ToolsWanted(calls, trace, handle)]

    # --- the request ---

    def _request(self, prompt: Prompt, *, asked: bool) -> dict[str, Any]:
        """`asked`: the question is in the thread. If not, it comes with the run: both are there, or neither is."""
        assistant = prompt.assistant
        request: dict[str, Any] = {
            "assistant_id": assistant.provider_id,
            "metadata": {"run_id": prompt.run_id, "assistant": assistant.label},
        }
        if not asked:
            question = message("user", prompt.question) | {"metadata": {"run_id": prompt.run_id}}
            request["additional_messages"] = [question]
        if not assistant.label.startswith(PROVIDERS_OWN):
            request |= self._version(assistant.definition, last=prompt.last)
        return request

    def _version(self, definition: Definition, *, last: bool) -> dict[str, Any]:
        """All that the provider's copy of the definition may say otherwise by now."""
        tools = [nested(function) for function in self._tools.functions(definition.tools)]
        version: dict[str, Any] = {
            "model": self._limits.model_of(definition),
            "instructions": definition.instructions,
            "tools": tools,
            "max_completion_tokens": max(self._limits.longest(definition), LEAST_OUTPUT_TOKENS),
        }
        if definition.temperature is not None:
            version["temperature"] = definition.temperature
        if last and tools:
            version["tool_choice"] = "none"
        return version


@contextmanager
def nothing_lost() -> Iterator[None]:
    """What was there a moment ago and is gone may be made anew."""
    try:
        yield
    except NotFound:
        raise output.lost() from None


def told_in(prompt: Prompt) -> set[str]:
    """Messages whose words were given in an earlier round. The trace of another engine names none."""
    traces = (msgspec.json.decode(one.trace or "[]") for one in prompt.rounds)
    return {name for trace in traces for name in trace if isinstance(name, str)}


def messages(prompt: Prompt) -> Iterator[dict[str, Any]]:
    """The conversation so far. The protocol takes no empty one."""
    for exchange in (*prompt.assistant.definition.examples, *prompt.exchanges):
        if exchange.question and exchange.reply:
            yield message("user", exchange.question)
            yield message("assistant", exchange.reply)


def message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def nested(function: dict[str, Any]) -> dict[str, Any]:
    """As this protocol wants a function told."""
    return {"type": "function", "function": {name: value for name, value in function.items() if name != "type"}}
