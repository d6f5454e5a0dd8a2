"""The connections that this process holds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from server.errors import ConnectionGone
from server.model import Conversation, Frame

MOST_REMEMBERED = 64


@dataclass(slots=True)
class Seen:
    """What a socket was shown of a conversation: entries up to `offset`, turns of questions up to `turn`."""

    offset: int = 0
    turn: int = 0
    attempt: int = 0


class Connection:
    """One open socket: live frames on their way out, held back while something older is being shown.

    It holds from its beginning, until the first `release`. More than `most_bytes` unread cut it off.
    """

    def __init__(self, connection_id: str, person: str, *, most_bytes: int, deltas: bool = True) -> None:
        self.id = connection_id
        self.person = person
        self._when_cut_off: Callable[[], None] | None = None
        self._most_bytes = most_bytes
        self._deltas = deltas
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._held: list[tuple[Frame, int]] | None = []
        self._seen: dict[str, Seen] = {}

    def when_cut_off(self, callback: Callable[[], None]) -> None:
        """Called once, when more than `most_bytes` wait; nothing is taken any more then."""
        self._when_cut_off = callback

    def put(self, frame: Frame, attempt: int = 0) -> None:
        """A live frame: now, after what is held, or never if the socket was shown it already."""
        if frame.delta and not self._deltas:
            return
        if self._held is not None:
            self._weigh(frame)
            self._held.append((frame, attempt))
        elif self._is_news(frame, attempt):
            self.say(frame)

    def say(self, frame: Frame) -> None:
        """An answer to this socket alone, past all that is held."""
        self._weigh(frame)
        self._frames.append(frame)
        self._wake.set()

    def hold(self) -> None:
        if self._held is None:
            self._held = []

    def release(self, shown: Conversation | None = None) -> None:
        """Go live again; of `shown`, everything up to its offset has been shown."""
        if shown is not None:
            seen = self._remember(shown.id)
            seen.offset, seen.turn = shown.offset, shown.answered
        held, self._held = self._held or [], None
        for frame, attempt in held:
            self._bytes -= frame.size
            self.put(frame, attempt)

    async def write(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Send what is put, in order, until cancelled."""
        while True:
            await self._wake.wait()
            while self._frames:
                frame = self._frames.popleft()
                self._bytes -= frame.size
                await send(frame.data)
            self._wake.clear()

    def _weigh(self, frame: Frame) -> None:
        self._bytes += frame.size
        if self._bytes > self._most_bytes:
            callback, self._when_cut_off = self._when_cut_off, None
            if callback is not None:
                callback()
            raise ConnectionGone(f"connection {self.id} does not read")

    def _is_news(self, frame: Frame, attempt: int) -> bool:
        if not attempt and frame.conversation_id not in self._seen:
            return True
        seen = self._remember(frame.conversation_id)
        if attempt < seen.attempt and attempt:
            return False
        seen.attempt = max(attempt, seen.attempt)
        return frame.turn > seen.turn if frame.turn else not 0 < frame.offset <= seen.offset

    def _remember(self, conversation_id: str) -> Seen:
        seen = self._seen.get(conversation_id)
        if seen is None:
            seen = self._seen[conversation_id] = Seen()
            if len(self._seen) > MOST_REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return seen


class Hub:
    """Implements the ports Connections and Pusher for this process."""

    def __init__(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._people: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        self._connections[connection.id] = connection
        self._people.setdefault(connection.person, {})[connection.id] = None

    def remove(self, connection: Connection) -> None:
        """Again is no error."""
        if self._connections.pop(connection.id, None) is None:
            return
        theirs = self._people[connection.person]
        del theirs[connection.id]
        if not theirs:
            del self._people[connection.person]

    def count(self, person: str) -> int:
        return len(self._people.get(person, ()))

    async def of(self, person: str) -> Sequence[str]:
        return tuple(self._people.get(person, ()))

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        connection = self._connections.get(connection_id)
        if connection is None:
            raise ConnectionGone(f"connection {connection_id} is closed")
        connection.put(frame, attempt)
