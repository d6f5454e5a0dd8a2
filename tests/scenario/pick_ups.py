"""How long people waited after a process was killed, until somebody went on with their conversation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from server.model import Question, Reply
from tests.scenario.history import Kept, Run


@dataclass(frozen=True, slots=True)
class PickUp:
    """Seconds from a death. `undisturbed`: from the last thing since then that may have ended another pick-up, of which
    nobody knows, before it could be seen.
    """

    waited: float
    undisturbed: float


def pick_ups(
    deaths: Sequence[float], logs: Iterable[Kept], runs: Iterable[Run], disturbances: Iterable[float]
) -> list[PickUp]:
    """Of each death and each conversation in which somebody waited. Times are seconds since 1970."""
    began: dict[str, list[float]] = {}
    for run in runs:
        began.setdefault(run.conversation_id, []).append(run.began)
    times = sorted([*deaths, *disturbances])
    return [
        PickUp(done - death, done - times[bisect_left(times, done) - 1])
        for log in logs
        for death, done in ended_waits(log, deaths, began.get(log.conversation_id, ()))
    ]


def ended_waits(log: Kept, deaths: Iterable[float], began: Iterable[float]) -> Iterator[tuple[float, float]]:
    """Each death during which somebody waited, and when something was done."""
    replies = {entry.question: entry.created_at / 1000 for entry in log.entries if isinstance(entry, Reply)}
    questions = [entry for entry in log.entries if isinstance(entry, Question)]
    waits = [(entry.created_at / 1000, replies.get(entry.offset, inf)) for entry in questions]
    done = sorted([*began, *replies.values()])
    for death in deaths:
        if any(asked < death < answered for asked, answered in waits):
            yield death, next((at for at in done if at > death), inf)
