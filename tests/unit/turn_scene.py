"""A worker on a store, with a scripted engine and a person who hears everything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias

from server.backends.dynamodb import DynamoBackend
from server.backends.memory import MemoryBell, MemoryFiles, MemoryStore
from server.backends.sql import SqlBackend
from server.channels import websocket
from server.delivery.hub import Hub
from server.delivery.router import Router
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
    ToolsWanted,
    Usage,
    Window,
    Words,
)
from server.ports import Bell, Connections, Painter, Pusher
from server.turns.erasure import Erasure
from server.turns.runner import Runner
from server.turns.speaker import Speaker
from server.turns.worker import Worker
from tests.unit.wires import connection

Run: TypeAlias = Callable[[Prompt], AsyncGenerator[RunEvent]]
Tool: TypeAlias = Callable[[str], Awaitable[str]]
Store: TypeAlias = MemoryStore | SqlBackend | DynamoBackend


LOOK = ToolCall("call_1", "look", "{}")


class ScriptedEngine:
    """The port Engine. Each run is the next of the script; the last one for ever."""

    def __init__(self, *runs: Run) -> None:
        self._runs = list(runs)
        self.prompts: list[Prompt] = []
        self.cancelled: list[str] = []
        self.forgotten: list[str] = []
        self.window_tokens = 1_000

    def window(self, assistant: Assistant) -> Window:
        return Window(self.window_tokens, 0)

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
    """The port Toolbox, over functions by name. `images`: what those of a name make for the person."""

    def __init__(self, **tools: Tool) -> None:
        self._tools = tools
        self.images: dict[str, tuple[str, ...]] = {}
        self.calls: list[tuple[ToolCall, Caller]] = []

    async def call(self, call: ToolCall, caller: Caller) -> ToolResult:
        self.calls.append((call, caller))
        output = await self._tools[call.name](call.arguments)
        return ToolResult(call.id, output, images=self.images.get(call.name, ()))


class Heard:
    """The port Delivery, for a person who keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, int]] = []
        self.replied = asyncio.Event()

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        self.events.append((event, attempt))
        if isinstance(event, Replied):
            self.replied.set()

    def forget(self, person: str, conversation_id: str, attempt: int) -> None:
        """What was heard was heard."""

    def replies(self) -> list[Reply]:
        return [event.reply for event, _ in self.events if isinstance(event, Replied)]


class Routed(Heard):
    """The same, and what the router sends on."""

    def __init__(self, connections: Connections, pusher: Pusher) -> None:
        super().__init__()
        self.router = Router(connections, pusher, partial(websocket.encode, sign=str), window=0)

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        await super().send(person, event, attempt)
        await self.router.send(person, event, attempt)

    def forget(self, person: str, conversation_id: str, attempt: int) -> None:
        self.router.forget(person, conversation_id, attempt)


class Watched(Routed):
    """The same, and what is shown on a socket."""

    def __init__(self) -> None:
        hub = Hub(Metrics())
        super().__init__(hub, hub)
        self.socket, self.wire = connection()
        hub.add(self.socket)


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


def wanting(*calls: ToolCall, said: str = "") -> Run:
    async def run(_prompt: Prompt) -> AsyncGenerator[RunEvent]:
        if said:
            yield Words(said)
        yield ToolsWanted(calls, trace="[]", usage=Usage(1, 2))

    return run


async def blue(_arguments: str) -> str:
    return "blue"


class Scene:
    """A store, a worker on it, and a person."""

    def __init__(
        self,
        *runs: Run,
        store: Store | None = None,
        bell: Bell | None = None,
        deadline: float = 5,
        lease: float = 30,
        most_rounds: int = 3,
        most_calls: int = 6,
        channel: str = "websocket",
        post: Callable[[str], None] = lambda _conversation_id: None,
        heard: Heard | None = None,
        catalog: OneAssistant | None = None,
        painter: Painter | None = None,
        **tools: Tool,
    ) -> None:
        self.store: Store = store or MemoryStore(lease_seconds=lease, most_waiting=100)
        self.bell: Bell = bell or MemoryBell()
        self.engine = ScriptedEngine(*runs)
        self.heard = heard or Heard()
        self.files = MemoryFiles(lambda key, _seconds: key)
        self.catalog = catalog or OneAssistant()
        self.workshop = Workshop(**tools)
        self.metrics = metrics = Metrics()
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
            post=post,
            painter=painter,
        )
        self.channel = channel
        self.worker = Worker(self.store, self.store, self.bell, self.runner, owner="w", turns=4, lease_seconds=lease)

    def inbox(self) -> Inbox:
        return Inbox(self.store, self.bell, self.heard, Rate(0, time.monotonic), Metrics(), most_bytes=1_000)

    def erasure(self, engine: ScriptedEngine | None = None) -> Erasure:
        return Erasure(
            self.inbox(),
            conversations=self.store,
            log=self.store,
            notes=self.store,
            engine=engine or self.engine,
            files=self.files,
        )

    async def say(self, text: str = "hi", message_id: str = "") -> Accepted:
        conversation = await self.store.current("anna", self.channel, "a")
        message = InboundMessage("anna", conversation.id, message_id or f"m{conversation.offset}", text)
        accepted = await self.store.accept(message)
        await self.bell.ring(conversation.id)
        return accepted

    async def lease(self, text: str = "hi") -> Lease:
        lease = await self.store.take((await self.say(text)).conversation_id, "w")
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
