"""A worker on a store, with a scripted engine and a person who hears everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from server.backends.memory import MemoryBell, MemoryStore
from server.errors import Unavailable
from server.inbox.accept import Inbox
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.model import (
    Accepted,
    Assistant,
    Caller,
    Definition,
    Event,
    Finished,
    InboundMessage,
    Lease,
    Prompt,
    Replied,
    Reply,
    RunEvent,
    ToolCall,
    ToolResult,
    Usage,
    Window,
    Words,
)
from server.ports import Bell
from server.turns.runner import Runner
from server.turns.speaker import Speaker
from server.turns.worker import Worker

Run: TypeAlias = Callable[[Prompt], AsyncGenerator[RunEvent]]
Tool: TypeAlias = Callable[[str], Awaitable[str]]


class ScriptedEngine:
    """The port Engine. Each run is the next of the script; the last one for ever."""

    def __init__(self, *runs: Run) -> None:
        self._runs = list(runs)
        self.prompts: list[Prompt] = []
        self.cancelled: list[str] = []
        self.forgotten: list[str] = []

    def window(self, assistant: Assistant) -> Window:
        return Window(1_000, 0)

    async def cancel(self, handle: str) -> None:
        self.cancelled.append(handle)

    async def forget(self, thread: str) -> None:
        self.forgotten.append(thread)

    def respond(self, prompt: Prompt) -> AsyncGenerator[RunEvent]:
        self.prompts.append(prompt)
        run = self._runs.pop(0) if len(self._runs) > 1 else self._runs[0]
        return run(prompt)


class OneAssistant:
    """The port Catalog, where every name means the same definition; its version is the newest that was put there."""

    def __init__(self) -> None:
        self.version = "1"

    async def find(self, reference: str, channel: str) -> Assistant:
        label = reference if "@" in reference else f"scripted@{self.version}"
        return Assistant(label, Definition(name="scripted", instructions="Speak.", tools=("look", "feel")))

    async def check(self, reference: str) -> None:
        pass


class Workshop:
    """The port Toolbox, over functions by name."""

    def __init__(self, **tools: Tool) -> None:
        self._tools = tools
        self.calls: list[tuple[ToolCall, Caller]] = []

    async def call(self, call: ToolCall, caller: Caller) -> ToolResult:
        self.calls.append((call, caller))
        return ToolResult(call.id, await self._tools[call.name](call.arguments))


class Heard:
    """The port Delivery, for a person who keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, int]] = []
        self.replied = asyncio.Event()

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        self.events.append((event, attempt))
        if isinstance(event, Replied):
            self.replied.set()

    def replies(self) -> list[Reply]:
        return [event.reply for event, _ in self.events if isinstance(event, Replied)]


async def speak(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words("hel")
    yield Words("lo")
    yield Finished("stop", Usage(10, 2))


async def break_off(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words("he")
    raise Unavailable("broke off", code="provider_broke_off", retry_after=0.01)


async def crash(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words(str(1 // 0))


async def hang(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
    yield Words("he")
    await asyncio.Event().wait()


class Scene:
    """A store, a worker on it, and a person."""

    def __init__(
        self,
        *runs: Run,
        store: MemoryStore | None = None,
        bell: Bell | None = None,
        deadline: float = 5,
        lease: float = 30,
        most_rounds: int = 3,
        most_calls: int = 6,
        **tools: Tool,
    ) -> None:
        self.store = store or MemoryStore(lease_seconds=lease, most_waiting=100)
        self.bell: Bell = bell or MemoryBell()
        self.engine = ScriptedEngine(*runs)
        self.heard = Heard()
        self.catalog = OneAssistant()
        self.workshop = Workshop(**tools)
        metrics = Metrics()
        speaker = Speaker(
            self.store,
            self.engine,
            self.workshop,
            self.heard,
            metrics,
            most_rounds=most_rounds,
            most_calls=most_calls,
        )
        self.runner = Runner(
            self.store,
            self.store,
            self.store,
            self.bell,
            self.catalog,
            self.engine,
            speaker,
            self.heard,
            metrics,
            mode="stream",
            deadline_seconds=deadline,
        )
        self.worker = Worker(self.store, self.store, self.bell, self.runner, owner="w", turns=4, lease_seconds=lease)

    def inbox(self) -> Inbox:
        return Inbox(self.store, self.bell, self.heard, Rate(0, time.monotonic), Metrics(), most_bytes=1_000)

    async def say(self, text: str = "hi") -> Accepted:
        conversation = await self.store.current("anna", "websocket", "a")
        message = InboundMessage("anna", conversation.id, f"m{conversation.offset}", text)
        accepted = await self.store.accept(message)
        await self.bell.ring(conversation.id)
        return accepted

    async def lease(self) -> Lease:
        lease = await self.store.take((await self.say()).conversation_id, "w")
        assert lease is not None
        return lease

    async def reply(self) -> Reply:
        async with asyncio.timeout(10):
            await self.heard.replied.wait()
            self.heard.replied.clear()
        return self.heard.replies()[-1]

    async def words(self) -> None:
        """Until the assistant has begun to speak."""
        async with asyncio.timeout(5):
            while len(self.heard.events) < 2:
                await asyncio.sleep(0)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Until it has happened."""
        async with asyncio.timeout(5):
            while not happened():
                await asyncio.sleep(0)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(self.worker.run())
            yield
            working.cancel()
