"""What is noted about people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.backends.memory.base import MemoryBase
from server.model import MOST_NOTES, Note, check_note


class MemoryNotes(MemoryBase):
    """Implements the port Notes."""

    def __init__(self, clock: Callable[[], float], lease_ms: int) -> None:
        super().__init__(clock, lease_ms)
        self._notes: dict[str, dict[str, Note]] = {}

    async def add(self, person: str, key: str, text: str) -> None:
        check_note(text)
        notes = self._notes.setdefault(person, {})
        notes.setdefault(key, Note(text, self._now()))
        if len(notes) > MOST_NOTES:
            del notes[next(iter(notes))]

    async def of(self, person: str, limit: int) -> Sequence[Note]:
        return list(self._notes.get(person, {}).values())[::-1][:limit]

    async def forget_notes(self, person: str) -> None:
        self._notes.pop(person, None)
