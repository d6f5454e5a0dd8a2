"""One conversation and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from server.model import Breath, Conversation, Entry, Lease, Question, Reply, Step, Waiting, breath_of, breaths, due


@dataclass(slots=True)
class Kept:
    """The entry at offset n is `entries[n - 1]`. `quiet`: milliseconds that questions wait for, by their offsets.
    `through`: the last question of the turn under way, as it was when that was first taken; 0: none was.
    """

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
    quiet: dict[int, int] = field(default_factory=dict)
    through: int = 0
    steps: list[Step] = field(default_factory=list)
    thread: str | None = None

    def waiting(self) -> list[Question]:
        answered = self.conversation.answered
        return [entry for entry in self.entries[answered:] if isinstance(entry, Question)]

    def turns(self) -> list[Breath]:
        """What waits, as turns will answer it."""
        line = (
            Waiting(one.offset, one.created_at, self.quiet.get(one.offset, 0), one.offset in self.cancelled)
            for one in self.waiting()
        )
        return list(breaths(line, self.through))

    def next_turn(self, now: int) -> list[Question]:
        """The questions of the turn that may begin; from its first time on they stay the same."""
        first = next(iter(self.turns()), ())
        if not first:
            return []
        if not self.through and due(first) > now:
            self.due_at = due(first)
            return []
        self.through = first[-1].offset
        return self.waiting()[: len(first)]

    def ask(self, question: Question, quiet: int) -> None:
        self.append(question, answered=self.conversation.answered)
        if quiet:
            self.quiet[question.offset] = quiet
            self.due_at = self.due_at if self.through else due(self.turns()[0])

    def cancel(self, offset: int) -> None:
        """And what was asked in one breath with it."""
        self.cancelled.update(one.offset for one in breath_of(offset, self.turns()))
        self.due_at = 0

    def append(self, entry: Entry, *, answered: int) -> None:
        begun_at = self.conversation.created_at if self.entries else entry.created_at
        self.entries.append(entry)
        self.conversation = replace(
            self.conversation,
            offset=entry.offset,
            answered=answered,
            created_at=begun_at,
            updated_at=entry.created_at,
        )


def reply_to(kept: Kept, question: int) -> Reply:
    return next(entry for entry in kept.entries if isinstance(entry, Reply) and entry.question == question)


def text_of(entry: Entry) -> str:
    return entry.draft.text if isinstance(entry, Reply) else entry.text
