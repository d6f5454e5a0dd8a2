"""Servers that need not load their modules first: forked from a process that has them loaded and has done nothing yet.

Each is a process of its own with an environment, a folder and an end of its own, and runs the very module that
`python -m` does. Loading takes most of the time that a test of a server takes.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST_REQUEST = 1024 * 1024


# --- a test's side ----------------------------------------------------------------------------------------------------


class Child:
    """As much of `asyncio.subprocess.Process` as tests use."""

    def __init__(self, reports: socket.socket) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self._reports = reports
        self._heard = b""
        self._born, self._over = asyncio.Event(), asyncio.Event()

    def hear(self) -> None:
        """The process' id, and later how it ended: negative for a signal."""
        heard = self._reports.recv(64)
        self._heard += heard
        pid, _, end = self._heard.partition(b"\n")
        if b"\n" in self._heard:
            self.pid = int(pid)
            self._born.set()
        if end.endswith(b"\n") or not heard:
            asyncio.get_running_loop().remove_reader(self._reports)
            self._reports.close()
            self.returncode = int(end or b"-9")
            self._born.set()
            self._over.set()

    async def born(self) -> None:
        await self._born.wait()

    async def wait(self) -> int:
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        printed = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return printed[0], printed[1]

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def fork(command: Sequence[str], cwd: Path, env: Mapping[str, str], *, apart: bool) -> Child:
    """Runs a module with its arguments; standard error goes where standard output goes, unless `apart`."""
    loop = asyncio.get_running_loop()
    mine, reports = socket.socketpair()
    child = Child(mine)
    mine.setblocking(False)
    loop.add_reader(mine, child.hear)
    ends = [await piped(child.stdout)]
    ends.append(await piped(child.stderr) if apart else os.dup(ends[0]))
    request = json.dumps({"command": list(command), "cwd": str(cwd), "env": dict(env)}).encode() + b"\n"
    try:
        socket.send_fds(nursery(), [request], [reports.fileno(), *ends])
    finally:
        reports.close()
        for end in ends:
            os.close(end)
    await child.born()
    return child


async def piped(reader: asyncio.StreamReader) -> int:
    """The end to write into."""
    read, write = os.pipe()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", 0)
    )
    return write


@cache
def nursery() -> socket.socket:
    """Begun once, and over when this process is."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


# --- the other side ---------------------------------------------------------------------------------------------------


def load() -> None:
    """What `python -m server serve` does, on its way and later."""

    import server.backends.dynamodb
    import server.backends.s3
    import server.backends.sqs
    import server.channels.azure_sms.sender
    import server.entrypoints.banner
    import server.entrypoints.host  # noqa: F401


def main(control: socket.socket) -> None:
    """In a process that is forked, it runs the module, and ends as that does."""
    # Nobody waits for those that wait for the children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.disable()
    load()
    gc.freeze()
    gc.enable()
    while True:
        request, fds, _, _ = socket.recv_fds(control, LONGEST_REQUEST, 3)
        if not request:
            return
        while not request.endswith(b"\n"):
            request += control.recv(LONGEST_REQUEST)
        if os.fork() == 0:
            control.close()
            told = json.loads(request)
            if watched(*fds):
                become(told["cwd"], told["env"], *fds[1:])
                module, *sys.argv[1:] = told["command"]
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            return
        for fd in fds:
            os.close(fd)


def watched(reports: int, *ends: int) -> bool:
    """True in another process, of which this one tells that it is there and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(reports)
        return True
    for end in ends:
        os.close(end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(reports, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):
        os.write(reports, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return False


def become(cwd: str, env: Mapping[str, str], stdout: int, stderr: int) -> None:
    for fd, end in enumerate((stdout, stderr), start=1):
        os.dup2(end, fd)
        os.close(end)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    random.seed()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
