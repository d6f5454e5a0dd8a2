"""Files in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from server.errors import NotFound
from server.model import File, check_file, check_key


class MemoryFiles:
    """Implements the port ServedFiles. `sign` makes the links."""

    def __init__(self, sign: Callable[[str, int], str]) -> None:
        self.sign = sign
        self._files: dict[str, File] = {}

    async def put(self, key: str, file: File) -> bool:
        check_file(key, file)
        return self._files.setdefault(key, file) is file

    async def get(self, key: str) -> File:
        check_key(key)
        if key not in self._files:
            raise NotFound("There is no such file.")
        return self._files[key]

    async def holds(self, key: str) -> bool:
        check_key(key)
        return key in self._files

    async def delete(self, key: str) -> None:
        check_key(key)
        self._files.pop(key, None)

    async def open(self, key: str) -> tuple[str, int, AsyncIterator[bytes]]:
        file = await self.get(key)

        async def whole() -> AsyncIterator[bytes]:
            yield file.content

        return file.content_type, len(file.content), whole()
