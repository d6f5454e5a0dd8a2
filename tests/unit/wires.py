"""A socket's end that keeps what is written, for as long as nobody reads it."""

from __future__ import annotations

import time

from server.delivery.connection import Connection
from server.model import Principal


class FakeWire:
    """Implements `delivery.hub.Wire`. `reading`: the client takes everything at once. `closed_at`: by the clock that
    does not jump.
    """

    def __init__(self, *, reading: bool = True) -> None:
        self.reading = reading
        self.frames: list[str] = []
        self.closed: tuple[int, str] | None = None
        self.closed_at = 0.0

    def write(self, data: bytes) -> None:
        if self.closed is None:
            self.frames.append(data.decode())

    def unread(self) -> int:
        return 0 if self.reading else sum(len(frame) for frame in self.frames)

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed, self.closed_at = (code, reason), time.monotonic()


def connection(
    connection_id: str = "k",
    person: str = "anna",
    *,
    most_bytes: int = 1_000,
    deltas: bool = True,
    reading: bool = True,
) -> tuple[Connection, FakeWire]:
    wire = FakeWire(reading=reading)
    who = Principal(person, person, expires_at_seconds=2_000_000_000, issued_at_seconds=1_000_000_000)
    return Connection(connection_id, who, wire, most_bytes=most_bytes, deltas=deltas), wire
