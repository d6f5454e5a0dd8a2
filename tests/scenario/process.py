"""The real server, as the process that a person starts."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import httpx2

from server.auth.local_pool import LocalUserPool
from tests.scenario.nursery import Child, fork

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
END_SECONDS = 30
# The second is what nobody caught.
FAULT = re.compile(r'"level":"(error|critical)"')
# Not on other systems: their libraries do not all bear it.
FORKS = sys.platform == "linux" and not os.environ.get("NO_FORKS")


@dataclass
class ServerProcess:
    """A running server, its folder, and everything that it has printed so far."""

    process: asyncio.subprocess.Process | Child
    data_dir: Path
    port: int
    output: list[str] = field(default_factory=list)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def socket(self, query: str = "", path: str = "/ws") -> str:
        return f"ws://127.0.0.1:{self.port}{path}{query}"

    def token(self, user: str = "anna") -> str:
        return self.pool.token(user)

    @cached_property
    def pool(self) -> LocalUserPool:
        return LocalUserPool.open(self.data_dir)

    @property
    def faults(self) -> list[str]:
        """Log lines of errors, and of worse."""
        return [line for line in self.output if FAULT.search(line)]

    async def kill(self) -> None:
        """It must not have ended by itself."""
        assert self.process.returncode is None, f"it had ended with {self.process.returncode}:\n{self.printed()}"
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self, within: float = END_SECONDS) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), within)

    async def figure(self, name: str) -> float:
        """Of those that it counts."""
        async with httpx2.AsyncClient(base_url=self.http, timeout=START_SECONDS) as http:
            lines = (await http.get("/metrics")).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"switchboard_{name}_total "))

    def printed(self) -> str:
        return "".join(self.output)


class NotStarted(AssertionError):
    """`server`: what is left of it."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(f"the server did not start:\n{server.printed()}")
        self.server = server


def kept_by(server: ServerProcess) -> list[str]:
    """All that its database holds, but for who is alive."""
    file = server.data_dir / "switchboard.db"
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        lines = list(database.iterdump())
    database.close()
    return [line for line in lines if 'INSERT INTO "node' not in line]


class Start(Protocol):
    def __call__(
        self, *, command: Any = ("serve",), **settings: object
    ) -> AbstractAsyncContextManager[ServerProcess]: ...


def environment(data_dir: Path, **settings: object) -> dict[str, str]:
    """Nothing of the developer's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ours = {"DATA_DIR": str(data_dir), "PORT": "0", "PYTHONPATH": str(ROOT)}
    return {**kept, **ours, **{name: str(value) for name, value in settings.items()}}


async def begin(
    command: Sequence[str], data_dir: Path, settings: Mapping[str, object], *, apart: bool
) -> asyncio.subprocess.Process | Child:
    """`python -m`, in this folder; `apart`: standard error by itself."""
    env = environment(data_dir, **settings)
    # One that is to trust other certificates has to load its libraries itself: they read them once.
    if FORKS and "SSL_CERT_FILE" not in env:
        return await fork(command, data_dir, env, apart=apart)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command),
        env=env,
        cwd=data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if apart else asyncio.subprocess.STDOUT,
    )


def server_process(
    data_dir: Path, *, command: Any = ("serve",), **settings: object
) -> AbstractAsyncContextManager[ServerProcess]:
    """Started in a folder that exists, ready, and gone at the end."""
    return module_process(("server", *command), data_dir, **settings)


@asynccontextmanager
async def module_process(command: Sequence[str], data_dir: Path, /, **settings: object) -> AsyncIterator[ServerProcess]:
    process = await begin(command, data_dir, settings, apart=False)
    server = ServerProcess(process, data_dir, 0)
    ready = asyncio.Event()
    listening = asyncio.create_task(listen(server, ready))
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(ready.wait(), START_SECONDS)
        if not server.port:
            raise NotStarted(server)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        # To the end of what it printed, also where the block raised: else its pipe would stay open.
        await listening


async def listen(server: ServerProcess, ready: asyncio.Event) -> None:
    assert server.process.stdout is not None
    async for line in server.process.stdout:
        server.output.append(line.decode())
        if found := re.search(r"is up at http://[^:]+:(\d+)", server.output[-1]):
            server.port = int(found[1])
            ready.set()
    await server.process.wait()
    ready.set()


async def run_command(*arguments: str, data_dir: Path, **settings: object) -> tuple[int, str, str]:
    """`python -m server ...`: exit code, standard output, standard error."""
    return await run_module("server", *arguments, data_dir=data_dir, **settings)


async def run_module(module: str, *arguments: str, data_dir: Path, **settings: object) -> tuple[int, str, str]:
    process = await begin((module, *arguments), data_dir, settings, apart=True)
    output, errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
