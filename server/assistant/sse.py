"""Server-sent events, from bytes as they arrive. Only what a client of a known server needs: event names and data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.errors import ProviderFailed

MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """`name` is empty where the server gave none."""

    name: bytes
    data: bytes


class EventDecoder:
    """Feed it what each read delivered; it gives back the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Raises `ProviderFailed` for an event of more than 16 MiB."""
        buffer = self._rest + chunk
        if b"\r" in buffer:
            buffer = unix_lines(buffer)
        *blocks, self._rest = buffer.split(b"\n\n")
        if len(self._rest) > MOST_BYTES:
            raise ProviderFailed("The assistant's answer was too large.", code="provider_too_large")
        return filter(None, map(parse_block, blocks))


def unix_lines(buffer: bytes) -> bytes:
    """A carriage return at the very end may be half a line end, and waits for the rest."""
    if buffer.endswith(b"\r"):
        return buffer[:-1].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + b"\r"
    return buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def parse_block(block: bytes) -> ServerSentEvent | None:
    """None for a comment."""
    name = b""
    data = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return ServerSentEvent(name, b"\n".join(data)) if data else None
