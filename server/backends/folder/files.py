"""A file is one file on the disk: a line with its type, then its content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from server.backends.folder.paths import folder_errors, place_of, write_once
from server.errors import NotFound
from server.model import File, check_file, check_key

PIECE_BYTES = 256 * 1024
LONGEST_LINE = 256


class FolderFiles:
    """Implements the port ServedFiles. The folder is prepared; `sign` makes the links."""

    def __init__(self, folder: Path, sign: Callable[[str, int], str]) -> None:
        self._folder = folder
        self.sign = sign

    async def put(self, key: str, file: File) -> bool:
        check_file(key, file)
        pieces = (f"{file.content_type}\n".encode(), file.content)
        with folder_errors():
            return await asyncio.to_thread(write_once, self._folder, self._place(key), pieces)

    async def get(self, key: str) -> File:
        place = self._place(key)
        with folder_errors():
            return await asyncio.to_thread(read, place)

    async def holds(self, key: str) -> bool:
        place = self._place(key)
        with folder_errors():
            return await asyncio.to_thread(place.exists)

    async def delete(self, key: str) -> None:
        place = self._place(key)
        with folder_errors():
            await asyncio.to_thread(place.unlink, missing_ok=True)

    async def open(self, key: str) -> tuple[str, int, AsyncIterator[bytes]]:
        place = self._place(key)
        with folder_errors():
            content_type, start, end = await asyncio.to_thread(look, place)
        return content_type, end - start, pieces_of(place, start, end)

    def _place(self, key: str) -> Path:
        check_key(key)
        return place_of(self._folder, key)


def read(place: Path) -> File:
    content_type, start, end = look(place)
    return File(read_piece(place, start, end - start), content_type)


def look(place: Path) -> tuple[str, int, int]:
    """Its type, and where its content begins and ends."""
    try:
        with place.open("rb") as file:
            line = file.readline(LONGEST_LINE)
            return line.decode().rstrip("\n"), len(line), file.seek(0, 2)
    except FileNotFoundError:
        raise NotFound("There is no such file.") from None


async def pieces_of(place: Path, start: int, end: int) -> AsyncIterator[bytes]:
    """It is opened anew for each piece: a reader who does not read keeps nothing open."""
    while start < end:
        with folder_errors():
            piece = await asyncio.to_thread(read_piece, place, start, min(PIECE_BYTES, end - start))
        if not piece:
            return
        yield piece
        start += len(piece)


def read_piece(place: Path, start: int, size: int) -> bytes:
    try:
        with place.open("rb") as file:
            file.seek(start)
            return file.read(size)
    except FileNotFoundError:
        raise NotFound("There is no such file.") from None
