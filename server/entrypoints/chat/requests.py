"""What was asked of the server and awaits its answer. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from server.channels.websocket import frames

MOST_WAITING = 100
MOST_TRIES = 8
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
# The server itself gives up on an action after 30.
ANSWER_SECONDS = 45.0


@dataclass(slots=True)
class Request:
    frame: frames.ClientFrame
    sent_at: float | None = None
    tries: int = 0


class Requests:
    """Sent in order, the next only when the one before has its answer; what a lost connection left open, again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: deque[Request] = deque()
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MOST_WAITING

    @property
    def is_resuming(self) -> bool:
        return any(isinstance(one.frame, frames.Resume) for one in self._waiting)

    @property
    def is_overdue(self) -> bool:
        sent_at = self._waiting[0].sent_at if self._waiting else None
        return sent_at is not None and self._clock() - sent_at > ANSWER_SECONDS

    @property
    def messages(self) -> int:
        return sum(isinstance(one.frame, frames.SendMessage) for one in self._waiting)

    def add(self, frame: frames.ClientFrame) -> None:
        self._waiting.append(Request(frame))

    def put_first(self, frame: frames.ClientFrame) -> None:
        self._waiting.appendleft(Request(frame))

    def next(self) -> frames.ClientFrame | None:
        """What is to be sent now."""
        if not self._waiting or self._waiting[0].sent_at is not None or self._clock() < self._not_before:
            return None
        self._waiting[0].sent_at = self._clock()
        return self._waiting[0].frame

    def head(self, kind: type[frames.Action], message_id: str | None = None) -> bool:
        """Whether it is one of this kind, and about this message, that the server was asked last."""
        if not self._waiting or self._waiting[0].sent_at is None:
            return False
        frame = self._waiting[0].frame
        named = frame.message_id if isinstance(frame, frames.SendMessage) else None
        return isinstance(frame, kind) and message_id in {None, named}

    def answered(self, kind: type[frames.Action], message_id: str | None = None) -> frames.ClientFrame | None:
        """What has its answer now, if it was waited for."""
        return self._waiting.popleft().frame if self.head(kind, message_id) else None

    def try_again(self, hint: float) -> float | None:
        """The one asked last, after so many seconds; None when it was tried often enough."""
        request = self._waiting[0]
        request.tries += 1
        if request.tries >= MOST_TRIES:
            return None
        request.sent_at = None
        delay: float = max(min(FIRST_DELAY * 2 ** (request.tries - 1), LONGEST_DELAY), hint)
        self._not_before = self._clock() + delay
        return delay

    def drop(self, message_id: str) -> bool:
        """A message that was not sent yet, and now will not be."""
        for one in self._waiting:
            untouched = one.sent_at is None and not one.tries
            if untouched and isinstance(one.frame, frames.SendMessage) and one.frame.message_id == message_id:
                self._waiting.remove(one)
                return True
        return False

    def reset(self) -> frames.ClientFrame | None:
        """The connection is lost. What was lost with too many of them, and is not tried again."""
        self._not_before = 0.0
        self._waiting = deque(one for one in self._waiting if not isinstance(one.frame, frames.Resume))
        if not self._waiting or self._waiting[0].sent_at is None:
            return None
        request = self._waiting[0]
        request.sent_at = None
        request.tries += 1
        return self._waiting.popleft().frame if request.tries >= MOST_TRIES else None


def is_too_long(frame: frames.SendMessage, limits: frames.Limits) -> bool:
    """A frame beyond the limit would end the connection, each time it is sent again."""
    return len(frame.message.encode()) > limits.message_bytes or len(msgspec.json.encode(frame)) > limits.frame_bytes
