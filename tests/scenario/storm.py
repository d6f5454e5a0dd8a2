"""A server that dies again and again under load."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.auth.local_pool import LocalUserPool
from server.backends.sql import open_sql
from server.model import Question, Reply
from server.turns.runner import MOST_TRIES
from tests.fakes.openai_server import Answer, Choose, FakeOpenAI, Recorded
from tests.scenario.checker import check
from tests.scenario.history import Kept, Run, Store, frames_of, read_logs
from tests.scenario.load import Crowd, Pace, crowd
from tests.scenario.process import ServerProcess, Start, environment

KILLS = int(os.environ.get("KILLS", "20"))
STOPS = int(os.environ.get("STOPS", "5"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
LIFE_SECONDS = 0.05, 1.0
BIRTH_SECONDS = 0.2, 1.2
# Longer than the lease of a life before.
BUSY_SECONDS = 2.0
MISCARRIED = 0.2
SETTLE_SECONDS = 60
DATABASE = "switchboard.db"
RUN_ID = re.compile(r"(.+)-(\d+)\.0")

End = Callable[[ServerProcess], Awaitable[None]]


@dataclass
class Storm:
    """A server that ends again and again.

    `opened`: what it keeps, seen from outside. `busy`: how often it ended in the middle of a run; `slowest_end` is
    seconds.
    """

    start: Start
    provider: FakeOpenAI
    folder: Path
    random: random.Random
    port: int
    settings: Mapping[str, object] = field(default_factory=dict)
    opened: Callable[[Path], AbstractAsyncContextManager[Store]] = lambda folder: open_database(folder)
    busy: int = 0
    slowest_end: float = 0
    births: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    async def rage(self, ends: int, end: End) -> None:
        for _ in range(ends):
            async with self._life() as server:
                await asyncio.sleep(self.random.uniform(*LIFE_SECONDS))
                if len(self.births) % 2:
                    await self._until_busy()
                self.busy += self.is_busy()
                began = time.monotonic()
                await end(server)
                self.slowest_end = max(self.slowest_end, time.monotonic() - began)
            self.faults += server.faults

    async def pass_by(self, load: Crowd) -> list[str]:
        """One more life, in which all is answered; who is not, is returned."""
        async with self._life() as server:
            unsettled = await load.settle(SETTLE_SECONDS)
            assert await server.stop() == 0
        self.faults += server.faults
        return unsettled

    async def miscarry(self) -> None:
        """A life that ends before the server is ready."""
        self.births.append(time.time())
        process = await begun(self.provider, self.folder, PORT=self.port, **self.settings)
        await asyncio.sleep(self.random.uniform(*BIRTH_SECONDS))
        await killed(process)

    def _life(self) -> AbstractAsyncContextManager[ServerProcess]:
        self.births.append(time.time())
        return self.start(PORT=self.port, MESSAGES_PER_MINUTE=0, **self.settings)

    async def _until_busy(self) -> None:
        """Or for so long that a server may well have nothing to do."""
        with suppress(TimeoutError):
            await self.provider.until(self.is_busy, BUSY_SECONDS)

    def is_busy(self) -> bool:
        """Whether a run is under way at the provider."""
        streamed = any(request.ended is None for request in self.provider.questions)
        return streamed or any(run.status in {"queued", "in_progress"} for run in self.provider.runs)

    def runs(self) -> list[Run] | None:
        """Those that began a turn; None where threads have runs, which are asked for in another way."""
        if self.settings.get("ENGINE") == "threads":
            return None
        asked = Counter[str]()
        found = ((request, RUN_ID.fullmatch(request.body["metadata"]["run_id"])) for request in self.provider.questions)
        return [self._run(request, name, asked) for request, name in found if name is not None]

    def _run(self, request: Recorded, found: re.Match[str], asked: Counter[str]) -> Run:
        asked[found[0]] += 1
        prompt = tuple(item["content"] for item in request.body["input"])
        life = bisect_right(self.births, request.arrived)
        return Run(found[1], int(found[2]), asked[found[0]], life, request.arrived, request.ended, prompt)


async def begun(provider: FakeOpenAI, folder: Path, **settings: object) -> Process:
    """A server that is starting."""
    ours = environment(folder, OPENAI_BASE_URL=provider.base_url, OPENAI_API_KEY="any", **settings)
    command = (sys.executable, "-m", "server", "serve")
    return await asyncio.create_subprocess_exec(*command, env=ours, cwd=folder, stdout=DEVNULL, stderr=DEVNULL)


async def killed(process: Process) -> None:
    process.kill()
    await process.wait()


def paced(body: Mapping[str, Any]) -> Answer:
    """The question's echo in some ten pieces; some begin late, some come all at once. None outlasts a usual life."""
    dice = random.Random(body["input"][-1]["content"])
    return Answer(first_delay=dice.choice((0, 0, 0.02, 0.1)), interval=dice.choice((0, 0.005, 0.005, 0.01)))


async def weather(
    storm: Storm, rage: Callable[[], Awaitable[None]], answers: Choose = paced, *, least: int = 0
) -> list[Kept]:
    """A load and a storm, after which nothing is wrong. What the store holds. On a machine that is so busy that few
    messages were said, the storm goes on until there are at `least` so many.
    """
    storm.provider.script(normal=answers)
    url, token = f"ws://127.0.0.1:{storm.port}/ws", LocalUserPool.open(storm.folder).token
    async with crowd(url, token, people=6, seed=SEED, pace=Pace()) as load:
        await rage()
        while load.said < least:
            await storm.rage(1, ServerProcess.kill)
        unsettled = await storm.pass_by(load)
    async with storm.opened(storm.folder) as store:
        logs = await read_logs(store, load.people)
    harms = check(load.sockets, logs, storm.runs())
    describe(storm, load, logs)
    assert Counter(harm.kind for harm in harms) == {}, "\n".join(map(str, harms[:20]))
    assert unsettled == []
    assert storm.faults == []
    assert [reply for log in logs for reply in odd_replies(log, storm.births)] == []
    return logs


def open_database(folder: Path) -> AbstractAsyncContextManager[Store]:
    return open_sql(f"sqlite:///{folder / DATABASE}", sole=False, lease_seconds=30, most_waiting=100)


def questions(logs: Sequence[Kept]) -> list[Question]:
    return [entry for log in logs for entry in log.entries if isinstance(entry, Question)]


def odd_replies(log: Kept, births: Sequence[float]) -> list[Reply]:
    asked = {question.offset: question for question in questions([log])}
    replies = [entry for entry in log.entries if isinstance(entry, Reply)]
    return [
        one for one in replies if not (echoes(one, asked[one.question]) or worn_out(one, asked[one.question], births))
    ]


def echoes(reply: Reply, question: Question) -> bool:
    return (reply.draft.text, reply.draft.code) == (f"You said: {question.text}", None)


def worn_out(reply: Reply, question: Question, births: Sequence[float]) -> bool:
    lives = [birth for birth in births if question.created_at < birth * 1000 < reply.created_at]
    return reply.draft.code == "too_many_tries" and len(lives) >= MOST_TRIES


def describe(storm: Storm, load: Crowd, logs: Sequence[Kept]) -> None:
    shown = {kind: len(frames_of(load.sockets, kind)) for kind in ("assistantDelta", "resumed")}
    print(
        f"{len(storm.births)} lives, {storm.busy} ended during a run, the slowest in {storm.slowest_end:.1f} s;",
        end=" ",
    )
    print(f"{len(questions(logs))} messages, {len(load.sockets)} sockets, {shown}")
