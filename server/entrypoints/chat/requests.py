"""What was asked of the server and awaits its answer. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import msgspec

from server.channels.websocket import frames

MOST_TRIES = 8
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
# The server itself gives up on an action after 30.
ANSWER_SECONDS = 45.0
KINDS: dict[object, type[frames.Action]] = {one.__struct_config__.tag: one for one in get_args(frames.ClientFrame)}


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
    def is_resuming(self) -> bool:
        return any(isinstance(one.frame, frames.Resume) for one in self._waiting)

    @property
    def is_overdue(self) -> bool:
        sent_at = self._waiting[0].sent_at if self._waiting else None
        return sent_at is not None and self._clock() - sent_at > ANSWER_SECONDS

    @property
    def messages(self) -> int:
        """Those of which it is not known that the server has them."""
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

    def answered(self, kind: type[frames.Action], message_id: str | None = None) -> frames.ClientFrame | None:
        """What has its answer now, if it was asked last, and is of this kind and about this message."""
        return self.pop() if self._is_head(kind, message_id) else None

    def is_about(self, error: frames.ErrorFrame) -> bool:
        kind = KINDS.get(error.action)
        return kind is not None and self._is_head(kind, error.message_id)

    def pop(self) -> frames.ClientFrame:
        """What was asked last is not waited for any more."""
        return self._waiting.popleft().frame

    def try_again(self, error: frames.ErrorFrame) -> float | None:
        """What was asked last, after so many seconds; None when that is of no use, or was tried often enough."""
        request = self._waiting[0]
        request.tries += 1
        if not error.retryable or request.tries >= MOST_TRIES:
            return None
        request.sent_at = None
        delay: float = min(FIRST_DELAY * 2 ** (request.tries - 1), LONGEST_DELAY)
        delay = max(delay, (error.retry_after_ms or 0) / 1000)
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
        return self.pop() if request.tries >= MOST_TRIES else None

    def _is_head(self, kind: type[frames.Action], message_id: str | None) -> bool:
        if not self._waiting or self._waiting[0].sent_at is None:
            return False
        frame = self._waiting[0].frame
        named = frame.message_id if isinstance(frame, frames.SendMessage) else None
        return isinstance(frame, kind) and message_id in {None, named}


def is_too_long(frame: frames.SendMessage, limits: frames.Limits) -> bool:
    """A frame beyond the limit would end the connection, each time it is sent again."""
    return len(frame.message.encode()) > limits.message_bytes or len(msgspec.json.encode(frame)) > limits.frame_bytes
