"""Questions asked in one breath: which of them one turn answers, and when it may begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

# However often the person goes on, the turn begins after so many times the quiet that it waits for.
MOST_PAUSES = 5


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question without a reply. `quiet`: milliseconds of silence that its turn waits for; 0: it is answered alone."""

    offset: int
    asked_at: int
    quiet: int = 0
    cancelled: bool = False


Breath: TypeAlias = tuple[Waiting, ...]


def breaths(waiting: Iterable[Waiting], through: int = 0) -> Sequence[Breath]:
    """What waits, oldest first, as turns will answer it: neighbours that wait for quiet are together.

    What the person cancelled is apart from what was said since; what was said up to `through`, when the turn under way
    was begun, from what was said later.
    """

    def turn(one: Waiting) -> tuple[bool, bool, int]:
        return one.offset <= through, one.quiet > 0, one.cancelled if one.quiet else one.offset

    return [tuple(together) for _, together in groupby(waiting, turn)]


def due(breath: Breath) -> int:
    """When its turn may begin. 0: at once."""
    first, last = breath[0], breath[-1]
    if first.cancelled or not first.quiet:
        return 0
    return min(last.asked_at + last.quiet, first.asked_at + MOST_PAUSES * first.quiet)


def breath_of(offset: int, turns: Iterable[Breath]) -> Breath:
    """The one that the question is in, which is there."""
    return next(breath for breath in turns if any(one.offset == offset for one in breath))
