"""The real server, as the process that a person starts."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from server.auth.local_pool import LocalUserPool

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
END_SECONDS = 30


@dataclass
class ServerProcess:
    """A running server, its folder, and everything that it has printed so far."""

    process: asyncio.subprocess.Process
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

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), END_SECONDS)

    def printed(self) -> str:
        return "".join(self.output)


class Start(Protocol):
    def __call__(
        self, *, command: Any = ("serve",), **settings: object
    ) -> AbstractAsyncContextManager[ServerProcess]: ...


def environment(data_dir: Path, **settings: object) -> dict[str, str]:
    """Nothing of the developer's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ours = {"DATA_DIR": str(data_dir), "PORT": "0", "PYTHONPATH": str(ROOT)}
    return {**kept, **ours, **{name: str(value) for name, value in settings.items()}}


def server_process(
    data_dir: Path, *, command: Any = ("serve",), **settings: object
) -> AbstractAsyncContextManager[ServerProcess]:
    """Started in a folder that exists, ready, and gone at the end."""
    return module_process(("server", *command), data_dir, **settings)


@asynccontextmanager
async def module_process(command: Sequence[str], data_dir: Path, /, **settings: object) -> AsyncIterator[ServerProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", *command),
        env=environment(data_dir, **settings),
        cwd=data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    server = ServerProcess(process, data_dir, 0)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen(server, ready))
        try:
            await asyncio.wait_for(ready.wait(), START_SECONDS)
            if not server.port:
                raise AssertionError(f"the server did not start:\n{server.printed()}")
            yield server
        finally:
            if process.returncode is None:
                process.kill()


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
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *arguments),
        env=environment(data_dir, **settings),
        cwd=data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
