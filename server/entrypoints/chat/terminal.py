"""The terminal's, and the pipe's, end of the event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TextIO

from server.entrypoints.chat.editor import Keys

CHUNK = 64 * 1024
LONGEST_LINE = 1024 * 1024
PASTE_MARKS_ON, PASTE_MARKS_OFF = "\033[?2004h", "\033[?2004l"


def is_terminal(stream: TextIO) -> bool:
    """One that can move its cursor, if it is for output."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def writer(stream: TextIO) -> Callable[[str], None]:
    def write(text: str) -> None:
        stream.buffer.write(text.encode(stream.encoding, "replace"))
        stream.buffer.flush()

    return write


def columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


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


class Keyboard:
    """While it is open, the terminal gives each key at once, Ctrl-C and Ctrl-Z too, and shows none by itself."""

    def __init__(
        self,
        descriptor: int,
        write: Callable[[str], None],
        pressed: Callable[[str], None],
        gone: Callable[[], None],
    ) -> None:
        self._descriptor = descriptor
        self._write = write
        self._pressed = pressed
        self._gone = gone
        self._keys = Keys()
        self._before = termios.tcgetattr(descriptor)

    def __enter__(self) -> None:
        self.take()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._give_back()

    def take(self) -> None:
        """Again after the process was stopped, too."""
        modes = termios.tcgetattr(self._descriptor)
        modes[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, modes)
        self._write(PASTE_MARKS_ON)

    def suspend(self) -> None:
        """Stop this job, as Ctrl-Z does."""
        self._give_back()
        os.kill(0, signal.SIGTSTP)

    def _give_back(self) -> None:
        self._write(PASTE_MARKS_OFF)
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, CHUNK)
        except OSError:  # The terminal was closed.
            data = b""
        for key in self._keys.feed(data):
            self._pressed(key)
        if not data:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._gone()
