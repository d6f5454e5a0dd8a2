"""What lies between a client and a server: a TCP proxy on loopback that passes all on until it freezes or breaks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto

PIECE_BYTES = 64 * 1024


class Break(Enum):
    """When a connection breaks: of a request nobody there hears, or its answer nobody here."""

    BEFORE_IT_IS_ASKED = auto()
    BEFORE_IT_IS_DONE = auto()
    BEFORE_IT_IS_ANSWERED = auto()


@dataclass
class Line:
    """`thawed` is cleared for good by `freeze`: connections stay open, and nothing comes through any more. `shut`:
    every new connection is closed at once.
    """

    host: str
    port_there: int
    port: int = 0
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    shut: bool = False
    _breaks: tuple[re.Pattern[bytes], Break] | None = None
    _shuts: bool = False

    def freeze(self) -> None:
        self.thawed.clear()

    def break_at(self, request: re.Pattern[bytes], when: Break, *, for_good: bool = False) -> None:
        """At the next request in which that is found. `for_good`: and it is shut then."""
        self._breaks, self._shuts = (request, when), for_good

    @property
    def has_broken(self) -> bool:
        return self._breaks is None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.shut:
            writer.close()
            return
        there, to_there = await asyncio.open_connection(self.host, self.port_there)
        deaf = asyncio.Event()
        try:
            with suppress(ConnectionError):
                await asyncio.gather(self._ask(reader, to_there, deaf), self._answer(there, writer, deaf))
        finally:
            writer.close()
            to_there.close()

    async def _ask(self, reader: asyncio.StreamReader, to_there: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self.thawed.wait()
            when = self._break_in(piece)
            if when is Break.BEFORE_IT_IS_ASKED:
                raise ConnectionResetError
            if when is Break.BEFORE_IT_IS_ANSWERED:
                deaf.set()
            to_there.write(piece)
            await to_there.drain()
            if when is Break.BEFORE_IT_IS_DONE:
                raise ConnectionResetError
        to_there.write_eof()

    def _break_in(self, piece: bytes) -> Break | None:
        if self._breaks is None or not self._breaks[0].search(piece):
            return None
        (_, when), self._breaks = self._breaks, None
        self.shut = self._shuts
        return when

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while piece := await there.read(PIECE_BYTES):
            await self.thawed.wait()
            if deaf.is_set():
                raise ConnectionResetError
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def freezing_line(host: str, port: int) -> AsyncIterator[Line]:
    line = Line(host, port)
    line.thawed.set()
    serving: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.get_running_loop().create_task(line.serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
