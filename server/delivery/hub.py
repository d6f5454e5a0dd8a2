"""The connections that this process holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from server.errors import ConnectionGone
from server.metrics import Metrics
from server.model import Conversation, Frame, Principal

MOST_REMEMBERED = 64
SLOW_READER = 4408


class Wire(Protocol):
    """The host's end of one socket. Nothing here waits."""

    def write(self, data: bytes) -> None:
        """One text frame. After the socket's end, nothing."""
        ...

    def unread(self) -> int:
        """Bytes written that the network has not taken yet."""
        ...

    def close(self, code: int, reason: str) -> None:
        """The last frame; the socket is gone soon after, whatever the client does."""
        ...


@dataclass(slots=True)
class Seen:
    """What a socket was shown of a conversation: entries up to `offset`, turns of questions up to `turn`, and of the
    turn it is `following` every word so far.
    """

    offset: int = 0
    turn: int = 0
    following: int = 0
    attempt: int = 0


class Connection:
    """One open socket: live frames on their way out, held back while something older is being shown.

    It holds from its beginning, until the first `release`. More than `most_bytes` unread end it. `deltas`: it wants a
    reply's words as they come; `rich`: the rich form of frames that have one.
    """

    def __init__(
        self,
        connection_id: str,
        who: Principal,
        wire: Wire,
        *,
        most_bytes: int,
        deltas: bool = True,
        rich: bool = False,
    ) -> None:
        self.id = connection_id
        self.who = who
        self.wire = wire
        self.warned = False
        self.sent = 0
        self.dropped = False
        self._most_bytes = most_bytes
        self._deltas = deltas
        self._rich = rich
        self._held: list[tuple[Frame, int]] | None = []
        self._held_bytes = 0
        self._seen: dict[str, Seen] = {}

    def put(self, frame: Frame, attempt: int = 0) -> None:
        """A live frame: now, after what is held, or never if the socket was shown it already.

        Raises `ConnectionGone` when the client reads too slowly.
        """
        if frame.delta and not self._deltas:
            return
        if self._held is None:
            if self._is_news(frame, attempt):
                self.say(frame)
            return
        self._held.append((frame, attempt))
        self._held_bytes += len(frame.data)
        self._check()

    def say(self, frame: Frame) -> None:
        """An answer to this socket alone, past all that is held."""
        data = frame.rich() if self._rich and frame.rich else frame.data
        self.wire.write(data)
        self.sent += len(data)
        self._check()

    def offer(self, frame: Frame) -> None:
        """The same, for what is no harm to miss."""
        with suppress(ConnectionGone):
            self.say(frame)

    def renew(self, who: Principal) -> None:
        """The same person, with a newer token."""
        self.who = who
        self.warned = False

    def is_following(self, conversation_id: str, turn: int) -> bool:
        """Whether it was shown the beginning of this turn's reply, and not yet its end."""
        seen = self._seen.get(conversation_id)
        return seen is not None and seen.following == turn > seen.turn

    def holds_beginning(self, conversation_id: str, turn: int) -> bool:
        """Whether a reply of this turn began while frames are held back: then all its words are among them."""
        return any(
            frame.conversation_id == conversation_id and frame.turn == turn and not frame.offset and not frame.delta
            for frame, _ in self._held or ()
        )

    def hold(self) -> None:
        if self._held is None:
            self._held = []

    def release(self, shown: Conversation, said: Mapping[str, int]) -> None:
        """Go live again. Everything up to the offset of `shown` was shown, and a snapshot of each turn in `said`, which
        holds questions' offsets by conversation.
        """
        held, self._held, self._held_bytes = self._held or [], None, 0
        seen = self._remember(shown.id)
        seen.offset, seen.turn = shown.offset, shown.answered
        for conversation_id, turn in said.items():
            self._remember(conversation_id).following = turn
        for frame, attempt in held:
            # The snapshot was taken now, and has these words.
            if frame.offset or not frame.turn or said.get(frame.conversation_id) != frame.turn:
                self.put(frame, attempt)

    def resume(self) -> None:
        """Go live again as if nothing had been held."""
        held, self._held, self._held_bytes = self._held or [], None, 0
        for frame, attempt in held:
            self.put(frame, attempt)

    def _check(self) -> None:
        if self._held_bytes + self.wire.unread() > self._most_bytes:
            self.dropped = True
            self.wire.close(SLOW_READER, "reads too slowly")
            raise ConnectionGone(f"connection {self.id} reads too slowly")

    def _is_news(self, frame: Frame, attempt: int) -> bool:
        if not frame.turn and frame.conversation_id not in self._seen:
            return True
        seen = self._remember(frame.conversation_id)
        if attempt < seen.attempt and attempt:
            return False
        seen.attempt = max(attempt, seen.attempt)
        if not frame.offset:
            return self._follows(frame, seen)
        if frame.turn == seen.following:
            seen.following = 0
        return frame.offset > seen.offset

    def _follows(self, frame: Frame, seen: Seen) -> bool:
        """Words make sense only after the beginning of their reply, or a snapshot."""
        if frame.delta:
            return frame.turn == seen.following > seen.turn
        if frame.turn > seen.turn:
            seen.following = frame.turn
        return frame.turn > seen.turn or not frame.turn

    def _remember(self, conversation_id: str) -> Seen:
        seen = self._seen.get(conversation_id)
        if seen is None:
            seen = self._seen[conversation_id] = Seen()
            if len(self._seen) > MOST_REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return seen


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

    async def of(self, person: str) -> Sequence[str]:
        return tuple(self._people.get(person, ()))

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        connection = self._connections.get(connection_id)
        if connection is None:
            raise ConnectionGone(f"connection {connection_id} is closed")
        connection.put(frame, attempt)
