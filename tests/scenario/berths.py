"""The processes of a cluster, each followed by a new one when it ends, as a supervisor does it."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field

from tests.scenario.pair import Nodes
from tests.scenario.process import NotStarted, ServerProcess

UP_SECONDS = 180.0
PAUSE_SECONDS = 0.2
LOOK_SECONDS = 1.0
# A process, or its store, that takes so long to say that it is ready may lose leases by itself.
SLOW_SECONDS = 1.0
# Too late, but soon enough to be told how late.
LATEST_END_SECONDS = 90.0
# How long what was sent may be on its way.
DISTURBED_SECONDS = 5.0
# What is left of a lease when a run begins, if nothing is wrong.
SURE = 2 / 3


@dataclass
class Life:
    """A process from its start on. Times are seconds since 1970. `troubles`: from and until when something was done to
    it. `stillborn`: when it was given up, if it did not come up.
    """

    number: int
    began: float = field(default_factory=time.time)
    stillborn: float | None = None
    troubles: list[tuple[float, float]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """By which the provider knows it: as a model."""
        return f"life-{self.number}"

    def sure_until(self, began: float, lease_seconds: float) -> float:
        """Until when what began at that time cannot have been taken over."""
        first = min((at for at, until in self.troubles if until > began), default=math.inf)
        return min(first, began + lease_seconds * SURE)

    def is_excused(self, at: float, lease_seconds: float) -> bool:
        """Whether it may have lost a lease by then, and not know it."""
        return any(begin <= at < end + lease_seconds for begin, end in self.troubles)

    def is_disturbed(self, at: float) -> bool:
        """Whether what it was to send to others at that time, or they to it, may not have come."""
        ends = ((begin, begin if math.isinf(end) else end) for begin, end in self.troubles)
        return any(begin - DISTURBED_SECONDS < at < end + DISTURBED_SECONDS for begin, end in ends)

    def miscarried(self) -> bool:
        """Whether it did not come up though nothing was in its way."""
        return self.stillborn is not None and not any(
            begin < self.stillborn and self.began < end for begin, end in self.troubles
        )


@dataclass
class Berth:
    """Where one process after another lives. `faults`: error lines that they printed, and ends of which nobody knows
    why; `ending`: what comes now was wanted.
    """

    nodes: Nodes
    which: int
    command: Sequence[str]
    lives: list[Life]
    faults: list[str] = field(default_factory=list)
    server: ServerProcess | None = None
    up: asyncio.Event = field(default_factory=asyncio.Event)
    ending: bool = False
    over: bool = False

    async def run(self) -> None:
        """Until it is over and the last process has ended."""
        while not self.over:
            self.life = Life(len(self.lives))
            self.lives.append(self.life)
            try:
                await self._live()
            except* NotStarted as group:
                self._not_started(group)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _live(self) -> None:
        settings = {"OPENAI_MODEL": self.life.name, "LOG_LEVEL": "warning"}
        async with self.nodes.begin(self.which, self.command, **settings) as self.server:
            self.ending = False
            self.up.set()
            try:
                code = await self.server.process.wait()
            finally:
                self.up.clear()
        if not self.ending:
            self._note(f"it ended by itself, with {code}")
        self._read(self.server)

    def _not_started(self, group: ExceptionGroup[NotStarted]) -> None:
        """What it needs may be in trouble too."""
        self.life.stillborn = time.time()
        for error in group.exceptions:
            if isinstance(error, NotStarted):
                print(f"{self.life.name}: {error}", flush=True)
                self._read(error.server)

    def _read(self, server: ServerProcess) -> None:
        for line in server.faults:
            self._note(line)

    def _note(self, fault: str) -> None:
        self.faults.append(f"{self.life.name}: {fault}")
        print(self.faults[-1][:2_000], flush=True)

    async def look(self) -> None:
        """Notes when it is slow, until cancelled: a machine may be busy with others."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            server, life, began = await self.ready(), self.life, time.time()
            await answers(server.port)
            if time.time() - began > SLOW_SECONDS:
                life.troubles.append((began, time.time()))

    async def ready(self) -> ServerProcess:
        await asyncio.wait_for(self.up.wait(), UP_SECONDS)
        assert self.server is not None
        return self.server

    async def kill(self) -> None:
        server = await self._ends()
        await server.kill()

    async def stop(self) -> float:
        """SIGTERM; how many seconds it took to end in good order."""
        server = await self._ends()
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(server.process.wait(), LATEST_END_SECONDS)
        assert code == 0, f"it ended with {code}, and had said:\n{server.printed()}"
        return time.monotonic() - began

    async def _ends(self) -> ServerProcess:
        """The one that is about to be ended."""
        server = await self.ready()
        self.ending = True
        self.life.troubles.append((time.time(), math.inf))
        return server

    async def freeze(self, seconds: float) -> None:
        server = await self.ready()
        began = time.time()
        server.process.send_signal(signal.SIGSTOP)
        self.life.troubles.append((began, math.inf))
        try:
            await asyncio.sleep(seconds)
        finally:
            server.process.send_signal(signal.SIGCONT)
            self.life.troubles[-1] = (began, time.time())


async def answers(port: int) -> None:
    """Returns when it has said whether it is ready, or hung up."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(UP_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                await reader.read()


@dataclass
class Berths:
    """All of a cluster, and every life there was."""

    all: Sequence[Berth]
    lives: list[Life]

    @property
    def faults(self) -> list[str]:
        return [fault for berth in self.all for fault in berth.faults]

    @property
    def stillborn(self) -> list[Life]:
        return [life for life in self.lives if life.stillborn is not None]

    @property
    def miscarried(self) -> list[Life]:
        return [life for life in self.lives if life.miscarried()]

    async def ready(self) -> None:
        for berth in self.all:
            await berth.ready()

    async def stop(self) -> None:
        """All of them in good order, and nobody comes after them."""
        for berth in self.all:
            berth.over = True
        await asyncio.gather(*(berth.stop() for berth in self.all))

    @contextmanager
    def in_trouble(self) -> Iterator[None]:
        """Something that all of them need is."""
        began = time.time()
        yield
        for life in self.lives:
            life.troubles.append((began, time.time()))


@asynccontextmanager
async def berths(nodes: Nodes, commands: Sequence[Sequence[str]]) -> AsyncIterator[Berths]:
    """Up, until the block ends; it is for the block to stop them, what runs still is killed."""
    lives: list[Life] = []
    every = Berths([Berth(nodes, which, command, lives) for which, command in enumerate(commands)], lives)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(berth.run()) for berth in every.all]
        looking = [tasks.create_task(berth.look()) for berth in every.all]
        try:
            await every.ready()
            yield every
            await asyncio.wait(running, timeout=LATEST_END_SECONDS)
        finally:
            for task in (*running, *looking):
                task.cancel()
