"""One socket: what goes out on it, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from typing import NoReturn, Protocol

from server.delivery.seen import Seen, WordsLost
from server.errors import ConnectionGone
from server.model import Conversation, Frame, Principal, Snapshot

MOST_REMEMBERED = 64
SLOW_READER = 4408
FRAMES_LOST = 4410
NOTHING: Set[str] = frozenset()


def ignore(_conversation_id: str) -> None:
    """Until somebody can do better."""


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


class Connection:
    """One open socket: live frames on their way out, held back while something older is being shown.

    It holds from its beginning, until the first `release`. More than `most_bytes` unread end it. `deltas`: it wants a
    reply's words as they come; `rich`: the rich form of frames that have one. `catch_up` shows, soon, what the log has
    more of a conversation.
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
        self.catch_up: Callable[[str], None] = ignore
        self._most_bytes = most_bytes
        self._deltas = deltas
        self._rich = rich
        self._is_new = True
        self._held: list[tuple[Frame, int]] | None = []
        self._early: list[tuple[Frame, int]] = []
        self._held_bytes = 0
        self._looked_at: Sequence[tuple[Frame, int]] = ()
        self._seen: dict[str, Seen] = {}

    def put(self, frame: Frame, attempt: int = 0) -> None:
        """A live frame: now, after what is held, after what comes before it, or never if the socket was shown it.

        Raises `ConnectionGone` when the client reads too slowly, or words that come before these were lost.
        """
        if frame.delta and not self._deltas:
            return
        if self._held is not None:
            self._keep(self._held, frame, attempt)
            return
        seen = self._seen.get(frame.conversation_id)
        if seen is not None and seen.goes_on(frame, attempt):
            self.say(frame)
        elif self._take(frame, attempt) and self._early:
            self._go_on()

    def say(self, frame: Frame) -> None:
        """An answer to this socket alone, past all that is held."""
        data = frame.rich() if self._rich and frame.rich else frame.data
        self.wire.write(data)
        self.sent += len(data)
        self._check()

    def offer(self, frame: Frame) -> None:
        """The same, for what is no harm to miss; once it has been live."""
        with suppress(ConnectionGone):
            if self._is_new and self._held is not None:
                self._keep(self._held, frame, 0)
            else:
                self.say(frame)

    def renew(self, who: Principal) -> None:
        """The same person, with a newer token."""
        self.who = who
        self.warned = False

    def is_crowded(self) -> bool:
        """Whether the client is to read some of what it was sent before it is sent more that can wait."""
        return self.wire.unread() > self._most_bytes // 4

    def cut_off(self) -> NoReturn:
        """Raises `ConnectionGone`."""
        self.dropped = True
        self.wire.close(SLOW_READER, "reads too slowly")
        raise ConnectionGone(f"connection {self.id} reads too slowly")

    def is_following(self, conversation_id: str, turn: int) -> bool:
        """Whether it was shown the beginning of this turn's reply, and not yet its end."""
        seen = self._seen.get(conversation_id)
        return seen is not None and seen.following == turn > seen.turn

    def holds_beginning(self, conversation_id: str, turn: int) -> bool:
        """Whether a reply of this turn began while frames are held back: then all its words are among them."""
        return any(
            frame.conversation_id == conversation_id and frame.turn == turn and not frame.offset and not frame.delta
            for frame, _ in self._early + (self._held or [])
        )

    def expects_earlier(self, conversation_id: str, turn: int, answered: int) -> bool:
        """Whether frames of a turn before this one, which comes after the last `answered`, are here or still to come:
        then all that this turn says comes after them.
        """
        seen = self._seen.get(conversation_id)
        if seen is not None and answered < seen.following < turn:
            return True
        return any(
            frame.conversation_id == conversation_id and answered < frame.turn < turn
            for frame, _ in self._early + (self._held or [])
        )

    def hold(self) -> None:
        if self._held is None:
            self._held = []

    def release(self, shown: Conversation, said: Iterable[Snapshot]) -> None:
        """Go live again. Everything up to the offset of `shown` was shown, and each snapshot of `said`."""
        self.begin(shown)
        for snapshot in said:
            self._remember(snapshot.conversation_id).follow(snapshot)
        self.resume()

    def resume(self) -> None:
        """Go live again as if nothing had been held."""
        held, self._held = self._early + (self._held or []), None
        self._is_new = False
        self._early, self._held_bytes = [], 0
        for frame, attempt in held:
            self.put(frame, attempt)

    def begin(self, shown: Conversation) -> None:
        """All that is in the log of a conversation was shown."""
        self._remember(shown.id).begin(shown)

    def watch(self, known: Conversation) -> None:
        """Miss nothing that comes after what is in the log of a conversation. What of that was shown, nobody knows."""
        self._remember(known.id).watch(known)

    def shown(self, conversation_id: str) -> int | None:
        """The newest entry that it was shown; None if it is not known where it began."""
        seen = self._seen.get(conversation_id)
        return seen.offset if seen is not None else None

    def forget(self, conversation_id: str) -> None:
        """There is no such conversation any more."""
        self._seen.pop(conversation_id, None)

    def behind(self, *, overdue: bool) -> Set[str]:
        """Ask at each look: conversations of which something was lost on its way here, it seems; with `overdue` also
        those of which something should have come.
        """
        if not self._early and not overdue:
            self._looked_at = ()
            return NOTHING
        before, self._looked_at = {id(frame) for frame, _ in self._looked_at}, tuple(self._early)
        late = {frame.conversation_id for frame, _ in self._early if id(frame) in before}
        if overdue:
            late |= {one for one, seen in self._seen.items() if seen.is_overdue()}
        return late

    def _take(self, frame: Frame, attempt: int) -> bool:
        """Whether it need not wait."""
        seen = self._seen.get(frame.conversation_id)
        if seen is not None and seen.is_early(frame):
            self._keep(self._early, frame, attempt)
            return False
        self._show(frame, attempt)
        return True

    def _go_on(self) -> None:
        """Show what waited only for what has just been shown."""
        went_on = True
        while went_on:
            waiting, self._early, self._held_bytes = self._early, [], 0
            for frame, attempt in waiting:
                self._take(frame, attempt)
            went_on = 0 < len(self._early) < len(waiting)

    def _show(self, frame: Frame, attempt: int) -> None:
        try:
            if self._is_news(frame, attempt):
                self.say(frame)
        except WordsLost:
            self.wire.close(FRAMES_LOST, "frames were lost; resume")
            raise ConnectionGone(f"connection {self.id} missed words") from None

    def _is_news(self, frame: Frame, attempt: int) -> bool:
        if not frame.turn and frame.conversation_id not in self._seen:
            return True
        return self._remember(frame.conversation_id).is_news(frame, attempt)

    def _keep(self, kept: list[tuple[Frame, int]], frame: Frame, attempt: int) -> None:
        kept.append((frame, attempt))
        self._held_bytes += len(frame.data)
        self._check()

    def _check(self) -> None:
        if self._held_bytes + self.wire.unread() > self._most_bytes:
            self.cut_off()

    def _remember(self, conversation_id: str) -> Seen:
        """Of too many, the one that was used longest ago is forgotten."""
        seen = self._seen.pop(conversation_id, None) or Seen(self._deltas)
        self._seen[conversation_id] = seen
        if len(self._seen) > MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return seen
