"""What waits to go to one other process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

from server.backends.peers.parcels import CALL_BYTES, Look, Missed, Parcel, Push
from server.metrics import Metrics

MOST_WAITING = 20_000
WAITING_BYTES = CALL_BYTES
MOST_AT_ONCE = 2_000
# The parcel that reaches it is the last of a call.
ENOUGH_BYTES = 1024 * 1024
LONGEST_PARCEL = CALL_BYTES - 2 * ENOUGH_BYTES
MOST_MISSED = 10_000
MOST_LOOKS = 1_000
# Of a parcel besides its frame: names and numbers.
LABEL_BYTES = 256

Kind = TypeVar("Kind", Look, Missed)


class Outbox:
    """Bounded. Looks go before all else, and are not lost: somebody waits for a turn to end. Of what is lost it
    remembers which sockets miss entries of which conversations, so that these can be told: the entries are in the log.
    Words that are lost are missed by who waits for the next.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: deque[Parcel] = deque()
        self._bytes = 0
        self._looks: dict[Look, None] = {}
        self._missed: dict[Missed, None] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting) + len(self._looks)

    def has_work(self) -> bool:
        return bool(self._waiting or self._looks or self._missed)

    def put(self, parcel: Parcel) -> None:
        if isinstance(parcel, Look):
            remember(parcel, self._looks, MOST_LOOKS)
            return
        size = size_of(parcel)
        if len(self._waiting) >= MOST_WAITING or self._bytes + size > WAITING_BYTES or size > LONGEST_PARCEL:
            self.lose([parcel])
            return
        self._waiting.append(parcel)
        self._bytes += size

    def take_signs(self) -> Sequence[Parcel]:
        """What does no harm when it arrives twice, as many as go together: looks, then who missed something."""
        some: list[Parcel] = [*self._looks]
        self._looks.clear()
        for missed in list(self._missed)[: MOST_AT_ONCE - len(some)]:
            del self._missed[missed]
            some.append(missed)
        return some

    def take(self) -> Sequence[Parcel]:
        """These, then the rest."""
        some = [*self.take_signs()]
        size = 0
        while self._waiting and len(some) < MOST_AT_ONCE and size < ENOUGH_BYTES:
            some.append(self._waiting.popleft())
            size += size_of(some[-1])
        self._bytes -= size
        return some

    def lose(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            match parcel:
                case Push():
                    self._metrics.lost_frames.inc()
                    if parcel.offset:
                        remember(Missed(parcel.connection_id, parcel.conversation_id), self._missed, MOST_MISSED)
                case Missed():
                    remember(parcel, self._missed, MOST_MISSED)
                case Look():
                    remember(parcel, self._looks, MOST_LOOKS)

    def lose_all(self) -> None:
        self.lose(self._waiting)
        self._waiting.clear()
        self._bytes = 0

    def give_up(self) -> None:
        self.lose_all()
        self._looks.clear()
        self._missed.clear()


def remember(one: Kind, kept: dict[Kind, None], most: int) -> None:
    """Of too many, the oldest is forgotten: whom it was for finds out by itself."""
    kept[one] = None
    if len(kept) > most:
        del kept[next(iter(kept))]


def size_of(parcel: Parcel) -> int:
    return LABEL_BYTES + (len(parcel.data) + len(parcel.rich or b"") if isinstance(parcel, Push) else 0)
