"""What a checker may find, and a log made easy to look things up in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from server.model import Entry, Question, Reply
from tests.scenario.history import Kept


class Kind(StrEnum):
    """Every way in which a promise can be broken."""

    LOST = "lost"  # accepted but never answered, shown but not kept, or the log went back
    EARLY = "early"  # acknowledged before it was durable
    DOUBLED = "doubled"  # two questions of one id, two replies to one question, an offset twice, a run too many
    REORDERED = "reordered"  # questions, replies, runs or frames out of order
    GAP = "gap"  # an offset that was skipped
    UNEQUAL = "unequal"  # deltas that are not the reply, or a reply that is not the stored one
    WORDLESS = "wordless"  # a reply shown live, of which neither the beginning nor any words were
    CUT = "cut"  # kept with less than all that was to be said, though nobody asked for that
    TERMINAL = "terminal"  # another terminal frame than the one that is stored, or words after it
    CORRUPTED = "corrupted"  # another text, place or prompt than what was said
    OVERLAP = "overlap"  # two runs of a conversation at the same time
    STALE = "stale"  # kept, though the lease it was made under had passed to another
    UNASKED = "unasked"  # something that answers or shows what nobody said


@dataclass(frozen=True, slots=True)
class Harm:
    """`where`: the conversation or the device. `at`: of words, when their reply was stored; seconds since 1970."""

    kind: Kind
    where: str
    detail: str
    at: float | None = None

    def __str__(self) -> str:
        return f"{self.kind} at {self.where}: {self.detail}"


@dataclass(frozen=True)
class Ledger:
    """A log by offset, and by message id. Of what should be there once, the first counts."""

    kept: Kept

    @cached_property
    def entries(self) -> dict[int, Entry]:
        return {entry.offset: entry for entry in self.kept.entries}

    @cached_property
    def questions(self) -> dict[str, Question]:
        entries = (entry for entry in reversed(self.kept.entries) if isinstance(entry, Question))
        return {entry.message_id: entry for entry in entries}

    @cached_property
    def replies(self) -> dict[str, Reply]:
        entries = (entry for entry in reversed(self.kept.entries) if isinstance(entry, Reply))
        return {entry.message_id: entry for entry in entries}

    @cached_property
    def in_order(self) -> list[Question]:
        return sorted(self.questions.values(), key=lambda question: question.offset)

    @property
    def head(self) -> int:
        return max(self.entries, default=0)


Ledgers = dict[str, Ledger]


def ledgers_of(logs: Iterable[Kept]) -> Ledgers:
    return {kept.conversation_id: Ledger(kept) for kept in logs}
