"""The programs, each a process of its own on its own core."""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from server.auth.local_pool import LocalUserPool
from tests.benchmarks.machine import Cores, cpu_seconds, pinned, resident_bytes
from tests.benchmarks.talker import OURS, PLAIN, Speech, Talker, talkers
from tests.scenario.process import environment

START_SECONDS = 60
UP = re.compile(r"(?:^READY |is up at http://)(\S+)\s", re.MULTILINE)
# As in production, but for the limits that would stop the benchmark itself.
SETTINGS: dict[str, object] = {
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "json",
    "MESSAGES_PER_MINUTE": 0,
    "CONNECTIONS_PER_PERSON": 0,
    "TURNS": 4096,
    "OPENAI_API_KEY": "sk-benchmark",
}


@dataclass(frozen=True, slots=True)
class Process:
    """A running one, and what it said that it listens at."""

    pid: int
    address: str
    home: Path

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        return resident_bytes(self.pid)


@dataclass
class Program:
    """One of those compared, and how to get in. `pool`: makes the tokens for the one that wants any."""

    name: str
    process: Process
    speech: Speech
    pool: LocalUserPool | None = None
    people: int = 0

    def newcomers(self, number: int) -> range:
        """People who were never here before."""
        first, self.people = self.people, self.people + number
        return range(first, self.people)

    def tokens(self, people: range) -> list[str]:
        """Fresh ones."""
        if self.pool is None:
            return [""] * len(people)
        return [self.pool.token(f"person-{one}") for one in people]

    def talkers(self, number: int) -> AbstractAsyncContextManager[list[Talker]]:
        """As many sockets, each of a newcomer."""
        return self.sockets(self.tokens(self.newcomers(number)))

    def sockets(self, tokens: Sequence[str]) -> AbstractAsyncContextManager[list[Talker]]:
        """One of each."""
        return talkers(self.process.port, self.speech, tokens)


@dataclass(frozen=True, slots=True)
class Upstream:
    """The fake provider."""

    base_url: str

    def answers(self, **answer: Any) -> None:
        """From now on: fields of `tests.fakes.openai_server.Answer`. Waits, which between measurements does no harm."""
        url = f"{self.base_url.removesuffix('/v1')}/_control/script"
        with urllib.request.urlopen(url, msgspec.json.encode({"answers": [], "normal": answer}), timeout=10):
            pass


@dataclass(frozen=True)
class Stage:
    """Starts programs: on these cores, in folders of their own in this one."""

    cores: Cores
    folder: Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def upstream(self) -> AsyncIterator[Upstream]:
        command = ("tests.fakes.openai_server", "--no-validate")
        async with self._process(command, self.cores.others) as process:
            yield Upstream(process.address)

    @asynccontextmanager
    async def program(self, name: str, upstream: Upstream, **more: object) -> AsyncIterator[Program]:
        """ours, naive, bare or idle: a new one that never served anybody, until the block ends. `more`: settings of
        ours.
        """
        if name == "ours":
            settings = {**SETTINGS, "OPENAI_BASE_URL": upstream.base_url, **more}
            async with self._process(("server", "serve"), self.cores.server, **settings) as process:
                yield Program(name, process, OURS, LocalUserPool.open(Path(str(more.get("DATA_DIR", process.home)))))
        else:
            command = (f"tests.benchmarks.{name}", upstream.base_url)
            async with self._process(command, self.cores.server) as process:
                yield Program(name, process, PLAIN)

    @asynccontextmanager
    async def _process(
        self, command: tuple[str, ...], where: frozenset[int], **settings: object
    ) -> AsyncIterator[Process]:
        home = self.folder / f"{next(self.numbers)}-{command[0]}"
        home.mkdir()
        # Not into a pipe: one that nobody reads stops who writes.
        with pinned(where), (home / "output").open("wb") as output:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *command),
                env=environment(home, **settings),
                cwd=home,
                stdout=output,
                stderr=output,
            )
        try:
            yield Process(running.pid, await address(running, home / "output"), home)
        finally:
            # It may have ended by itself; then that is what is told.
            with suppress(ProcessLookupError):
                running.kill()
            await running.wait()


async def address(running: asyncio.subprocess.Process, output: Path) -> str:
    """What it listens at. Raises `RuntimeError` with all that it said when it ends instead."""
    async with asyncio.timeout(START_SECONDS):
        while running.returncode is None:
            if found := UP.search(said(output)):
                return found[1]
            await asyncio.sleep(0.02)
    raise RuntimeError(f"it did not start:\n{said(output)}")


def said(output: Path) -> str:
    return output.read_text(errors="replace")
