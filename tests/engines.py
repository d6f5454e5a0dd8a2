"""Every engine that claims the port, on a double of its provider, and a caller that keeps what callers keep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import httpx2
import openai

from server.assistant.client import connect
from server.assistant.limits import Limits
from server.assistant.polling.poller import Poller
from server.assistant.responses import Abilities, ResponsesEngine
from server.assistant.threads import ThreadsEngine
from server.assistant.tools.toolbox import Tools
from server.metrics import Metrics
from server.model import (
    Assistant,
    Definition,
    Finished,
    Prompt,
    Round,
    RunBegun,
    RunEvent,
    RunMode,
    ThreadMade,
    ToolResult,
    ToolsWanted,
    Words,
)
from server.ports import Engine
from server.settings import read_settings
from server.wiring.engines import make_poller
from tests.fakes.openai_server import FakeOpenAI, Recorded, openai_server

# Longer than the double takes to read OpenAI's description.
SILENCE_SECONDS = 2.0
LIMITS = Limits("gpt-6.1-sol", context_tokens=8_000, max_output_tokens=512)
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


class OneTool(Tools):
    """Knows one tool, and never calls it: that is the caller's business."""

    def __init__(self) -> None:
        pass

    def functions(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return [WEATHER for name in names if name == "weather"]

    def size(self, names: Sequence[str]) -> int:
        return 200 * len(names)


def hasty_poller() -> Poller:
    settings = read_settings(poll_first_seconds=0.01, poll_factor=1, poll_cap_seconds=0.01, polls_per_second=1_000)
    return make_poller(settings, Metrics())


E = TypeVar("E", bound=Exception)
MakeEngine: TypeAlias = Callable[[openai.AsyncOpenAI], Engine]


def responses(client: openai.AsyncOpenAI) -> Engine:
    abilities = Abilities(background=True)
    return ResponsesEngine(client, OneTool(), hasty_poller(), LIMITS, abilities)


def threads(client: openai.AsyncOpenAI) -> Engine:
    return ThreadsEngine(client, OneTool(), hasty_poller(), LIMITS)


@dataclass(frozen=True, slots=True)
class Kind:
    """An engine and how it is asked. `outlives`: its runs outlive us; `reconciles`: one that may have been created is
    found again.
    """

    make: MakeEngine
    mode: RunMode
    outlives: bool = False
    reconciles: bool = False


KINDS = {
    "responses-stream": Kind(responses, "stream"),
    "responses-background": Kind(responses, "background", outlives=True),
    "threads": Kind(threads, "stream", outlives=True, reconciles=True),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Takes the events of an engine."""

    engine: Engine

    async def run(self, prompt: Prompt) -> list[RunEvent]:
        async with aclosing(self.engine.respond(prompt)) as events:
            return [event async for event in events]

    async def run_until(self, error: type[E], prompt: Prompt) -> tuple[list[RunEvent], E]:
        """What was told before the error, and the error."""
        told: list[RunEvent] = []
        try:
            await self.collect(told, prompt)
        except error as raised:
            return told, raised
        raise AssertionError(f"no {error.__name__}: {told}")

    async def collect(self, told: list[RunEvent], prompt: Prompt) -> None:
        """Each event is in the list as soon as it is told, so that those before an error are known."""
        async with aclosing(self.engine.respond(prompt)) as events:
            async for event in events:
                told.append(event)  # noqa: PERF401

    async def leave_after(self, kind: type[RunEvent], prompt: Prompt) -> list[RunEvent]:
        """As a worker that dies once it was told of this."""
        told: list[RunEvent] = []
        async with aclosing(self.engine.respond(prompt)) as events:
            async for event in events:
                told.append(event)
                if isinstance(event, kind):
                    break
        return told


@dataclass(frozen=True, slots=True)
class Bench(Caller):
    """An engine under test and its provider's double. `assistant` is known to both."""

    kind: Kind
    fake: FakeOpenAI
    assistant: Assistant

    @property
    def requests(self) -> list[Recorded]:
        """Those of the engine."""
        return [one for one in self.fake.requests if one.path != "/v1/assistants"]

    def prompt(self, question: str = "hello", run_id: str = "c1-1", **changes: Any) -> Prompt:
        prompt = Prompt(run_id, "p1", self.assistant, self.kind.mode, (), question)
        return replace(prompt, **changes)


@asynccontextmanager
async def open_bench(kind: Kind) -> AsyncIterator[Bench]:
    async with openai_server() as fake, connect(fake.base_url, "any", silence_seconds=SILENCE_SECONDS) as client:
        definition = Definition(name="helper", instructions="Be kind.", tools=("weather",), model="gpt-6.1-sol")
        mirrored = Assistant("helper@0123", definition, await mirror(client))
        yield Bench(kind.make(client), kind, fake, mirrored)
        assert fake.violations == []


async def mirror(client: openai.AsyncOpenAI) -> str:
    made = await client.post(
        "/assistants",
        cast_to=httpx2.Response,
        body={"model": "gpt-4o", "instructions": "An older version."},
        options={"headers": {"OpenAI-Beta": "assistants=v2"}},
    )
    name: str = made.json()["id"]
    return name


# --- what a caller keeps of the events ----------------------------------------------------------------------------


def words(events: Sequence[RunEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Words))


def handle_of(events: Sequence[RunEvent]) -> str | None:
    return next((event.handle for event in reversed(events) if isinstance(event, RunBegun | ToolsWanted)), None)


def thread_of(events: Sequence[RunEvent]) -> str | None:
    return next((event.thread for event in reversed(events) if isinstance(event, ThreadMade)), None)


def finish_of(events: Sequence[RunEvent]) -> Finished:
    end = events[-1]
    assert isinstance(end, Finished), end
    return end


def wanted_of(events: Sequence[RunEvent]) -> ToolsWanted:
    end = events[-1]
    assert isinstance(end, ToolsWanted), end
    return end


def after(prompt: Prompt, events: Sequence[RunEvent]) -> Prompt:
    """The prompt of the next attempt at the same question."""
    thread, handle = thread_of(events) or prompt.thread, handle_of(events) or prompt.handle
    return replace(prompt, thread=thread, handle=handle, again=True)


def answered(prompt: Prompt, events: Sequence[RunEvent], *outputs: str) -> Prompt:
    """The prompt of the run, or the rest of it, that follows the calls."""
    wanted = wanted_of(events)
    results = tuple(ToolResult(call.id, text) for call, text in zip(wanted.calls, outputs, strict=True))
    done = Round(words(events), wanted.calls, results, wanted.trace)
    thread = thread_of(events) or prompt.thread
    return replace(prompt, thread=thread, handle=wanted.handle, rounds=(*prompt.rounds, done))
