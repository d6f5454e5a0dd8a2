"""One conversation and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from server.model import Conversation, Entry, Lease, Question, Reply, Step


@dataclass(slots=True)
class Kept:
    """The entry at offset n is `entries[n - 1]`."""

    conversation: Conversation
    entries: list[Entry] = field(default_factory=list)
    lease: Lease | None = None
    owner: str = ""
    lease_until: int = 0
    attempt: int = 0
    due_at: int = 0
    tries: int = 0
    failures: int = 0
    cancelled: set[int] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)
    thread: str | None = None

    def waiting(self) -> list[Question]:
        answered = self.conversation.answered
        return [entry for entry in self.entries[answered:] if isinstance(entry, Question)]

    def append(self, entry: Entry, *, answered: int) -> None:
        self.entries.append(entry)
        self.conversation = replace(
            self.conversation, offset=entry.offset, answered=answered, updated_at=entry.created_at
        )


def reply_to(kept: Kept, question: int) -> Reply:
    return next(entry for entry in kept.entries if isinstance(entry, Reply) and entry.question == question)


def text_of(entry: Entry) -> str:
    return entry.draft.text if isinstance(entry, Reply) else entry.text
