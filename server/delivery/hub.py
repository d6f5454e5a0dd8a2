"""The connections that this process holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.delivery.connection import Connection
from server.errors import ConnectionGone
from server.metrics import Metrics
from server.model import Frame


class Hub:
    """Implements the ports Connections and Pusher for this process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._connections: dict[str, Connection] = {}
        self._people: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        """A snapshot: connections may come and go meanwhile."""
        return iter(list(self._connections.values()))

    def add(self, connection: Connection) -> None:
        self._connections[connection.id] = connection
        self._people.setdefault(connection.who.person, {})[connection.id] = None

    def remove(self, connection: Connection) -> None:
        """Again is no error."""
        if self._connections.pop(connection.id, None) is None:
            return
        self._metrics.dropped.inc(connection.dropped)
        self._metrics.sent.inc(connection.sent)
        theirs = self._people[connection.who.person]
        del theirs[connection.id]
        if not theirs:
            del self._people[connection.who.person]

    def connections(self, person: str) -> Sequence[Connection]:
        return [self._connections[one] for one in self._people.get(person, ())]

    def count(self, person: str) -> int:
        return len(self._people.get(person, ()))

    def measure(self) -> None:
        """Bring the figures up to now."""
        self._metrics.connections.set(len(self))
        for connection in self:
            self._metrics.sent.inc(connection.sent)
            connection.sent = 0

    async def of(self, person: str, *, fresh: bool = True) -> Sequence[str]:  # noqa: ARG002  it always is
        return tuple(self._people.get(person, ()))

    def catch_up(self, connection_id: str, conversation_id: str) -> None:
        """Have it look for entries that did not reach it. One that is closed needs none."""
        if connection := self._connections.get(connection_id):
            connection.catch_up(conversation_id)

    def holds(self, connection_id: str) -> bool:
        return connection_id in self._connections

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        connection = self._connections.get(connection_id)
        if connection is None:
            raise ConnectionGone(f"connection {connection_id} is closed")
        connection.put(frame, attempt)
