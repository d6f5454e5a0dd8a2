"""Replies under way: what was said of them so far, and when it goes out."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.model import Delta, RunStarted, Snapshot


@dataclass(slots=True)
class LiveReply:
    """One run's words. `sent` are out; `pending` wait for the end of their window."""

    person: str
    started: RunStarted
    attempt: int
    sent: list[str] = field(default_factory=list)
    sent_length: int = 0
    sent_at: float = float("-inf")
    pending: list[str] = field(default_factory=list)

    def take(self, now: float) -> Delta:
        """All that is pending, as one delta that is now on its way."""
        text = "".join(self.pending)
        delta = Delta(self.started.conversation_id, self.started.question.offset, self.sent_length, text)
        self.pending.clear()
        self.sent.append(text)
        self.sent_length += len(text)
        self.sent_at = now
        return delta

    def put_back(self, delta: Delta) -> None:
        """It was taken, and did not go out: it is pending again, unless what comes after it was taken since."""
        if self.sent_length == delta.at + len(delta.text):
            self.sent.pop()
            self.sent_length = delta.at
            self.pending.insert(0, delta.text)

    def snapshot(self) -> Snapshot:
        """What every device has been sent: what is pending comes after it."""
        question, text = self.started.question, "".join(self.sent)
        return Snapshot(self.started.conversation_id, question.offset, question.message_id, text, self.attempt)
