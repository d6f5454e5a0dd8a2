"""Files by their keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

from server.model import File

# A picture of unknown origin to one that is safe to keep and to show. Raises `BadInput` for what is none.
Redraw: TypeAlias = Callable[[bytes], Awaitable[File]]


class Files(Protocol):
    """Finished files. A key has one content for good, until it is deleted. `BadInput` for what is no key."""

    async def put(self, key: str, file: File) -> bool:
        """Keep it, whole or not at all. Durable when it returns. False, and nothing is changed, if the key has one.

        Of those who put one there at the same time, one is told True. `BadInput` above 16 MiB.
        """
        ...

    async def get(self, key: str) -> File:
        """Raises `NotFound`."""
        ...

    async def holds(self, key: str) -> bool: ...

    async def delete(self, key: str) -> None:
        """One that is not there is no error."""
        ...

    def sign(self, key: str, until: int) -> str:
        """A URL that anyone may fetch it from, until then, in seconds since 1970. No I/O. Without a host it is on this
        very server; for the same moment it is the same there.
        """
        ...


class ServedFiles(Files, Protocol):
    """Files that this server can serve itself."""

    async def open(self, key: str) -> tuple[str, int, AsyncIterator[bytes]]:
        """Its type, its size and its content, piece by piece. Raises `NotFound`."""
        ...
