"""A pipe: lines come in; each reply goes out, whole, when it has ended, and all remarks go to standard error."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import TextIO

from server.entrypoints.chat.view import Ears, Kind, clean

CHUNK = 64 * 1024
LONGEST_LINE = 1024 * 1024
BY_SIGNAL = 128


class Plain:
    def show(self, kind: Kind, text: str) -> None:
        look = kind.value
        if look.label is not None:
            write(sys.stdout if look.aloud else sys.stderr, f"{look.label}{text}\n")

    def speak(self, words: str) -> None:
        pass

    async def listen(self, ears: Ears) -> None:
        """A line at a time: the next when all that the one before asked for is there."""
        async for line in lines(sys.stdin.fileno()):
            ears.typed(line)
            await ears.answered()
        ears.leave(0)

    def interrupt(self, ears: Ears) -> None:
        ears.leave(BY_SIGNAL + signal.SIGINT)


def write(stream: TextIO, text: str) -> None:
    safe = clean(text) if stream.isatty() else text
    stream.buffer.write(safe.encode(stream.encoding, "replace"))
    stream.buffer.flush()


async def lines(descriptor: int) -> AsyncIterator[str]:
    """Until its end; read only as fast as they are taken. One that is too long for any message comes in pieces."""
    rest = b""
    while chunk := await read(descriptor):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if len(rest) > LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")


async def read(descriptor: int) -> bytes:
    """The next bytes, or none at the end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:  # A file: it never lets anyone wait.
        return os.read(descriptor, CHUNK)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, CHUNK)
