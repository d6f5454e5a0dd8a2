"""The runs that were created, and how far each is as time passes."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal, TypeAlias

from tests.fakes.openai_server.events import ERRORS, INCOMPLETE
from tests.fakes.openai_server.faults import Fault
from tests.fakes.openai_server.outputs import Item, calls, pieces
from tests.fakes.openai_server.script import Answer

KEPT_RUNS = 10_000
GONE = "gone"

Kind: TypeAlias = Literal["response", "thread.run"]


@dataclass(slots=True)
class Run:
    """A Response, or the run of a thread. `created`: seconds since 1970; `polls`: how often it was looked at.

    The clock that `status` goes by is not that of `created`, and does not jump.
    """

    id: str
    kind: Kind
    metadata: Mapping[str, str]
    created: float
    answer: Answer
    items: tuple[Item, ...]
    polls: int = 0
    _created: float = field(init=False, default_factory=time.monotonic, repr=False)
    _began: float = field(init=False, default_factory=time.monotonic, repr=False)
    _cancelled: float | None = field(init=False, default=None, repr=False)
    _polls_before: int = field(init=False, default=0, repr=False)
    _vanished: bool = field(init=False, default=False, repr=False)

    @property
    def status(self) -> str:
        """At this moment, in OpenAI's words; "gone" if it has vanished."""
        now = time.monotonic()
        if self._vanished:
            return GONE
        if self._cancelled is not None:
            return self._after_cancel(now)
        expiry = self._created + self.answer.expires_after if self.kind == "thread.run" else inf
        status = self._course(min(now, expiry) - self._began)
        return "expired" if now >= expiry and status in ACTIVE else status

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    def cancel(self) -> None:
        """Nothing happens to one that has ended, or is cancelled already."""
        if self._cancelled is None and self.active:
            self._cancelled = time.monotonic()

    def go_on(self, answer: Answer, items: tuple[Item, ...]) -> None:
        """With the next answer, from now on."""
        self.answer, self.items = answer, items
        self._began, self._polls_before = time.monotonic(), self.polls

    def polled(self) -> Fault | None:
        """Counts one look, and says what goes wrong with it."""
        number, self.polls = self.polls - self._polls_before, self.polls + 1
        fault = self.answer.poll_faults[number] if number < len(self.answer.poll_faults) else None
        self._vanished = self._vanished or fault is Fault.VANISHED
        return Fault.UNKNOWN_STATUS if fault is None and self.answer.fault is Fault.UNKNOWN_STATUS else fault

    def _after_cancel(self, now: float) -> str:
        late = self.answer.fault is Fault.LATE_CANCEL
        if self.kind == "response":
            return "completed" if late else "cancelled"
        if now - (self._cancelled or 0.0) < self.answer.cancel_delay:
            return "cancelling"
        return "completed" if late else "cancelled"

    def _course(self, elapsed: float) -> str:
        answer = self.answer
        if answer.fault is Fault.STUCK or elapsed < answer.first_delay:
            return "queued"
        over = elapsed >= answer.first_delay + answer.interval * pieces(self.items)
        return self._end() if over and answer.fault is not Fault.ENDLESS else "in_progress"

    def _end(self) -> str:
        match self.answer.fault:
            case fault if fault in ERRORS:
                return "failed"
            case fault if fault in INCOMPLETE:
                return "incomplete"
            case Fault.VANISHED:
                return GONE
            case Fault.EXPIRED:
                return "expired" if self.kind == "thread.run" else GONE
        return "requires_action" if self.kind == "thread.run" and calls(self.items) else "completed"


ACTIVE = frozenset({"queued", "in_progress", "requires_action", "cancelling"})


class Runs:
    """All that were created; the last ten thousand can be looked at."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Run] = OrderedDict()
        self._created: Counter[str | None] = Counter()

    def __iter__(self) -> Iterator[Run]:
        return iter(self._kept.values())

    def add(self, run: Run) -> None:
        self._kept[run.id] = run
        self._created[run.metadata.get("run_id")] += 1
        if len(self._kept) > KEPT_RUNS:
            self._kept.popitem(last=False)

    def created(self, run_id: str | None = None) -> int:
        """How many in all, or with this `metadata.run_id`."""
        return self._created.total() if run_id is None else self._created[run_id]

    def per_run_id(self) -> dict[str, int]:
        return {run_id: number for run_id, number in self._created.items() if run_id is not None}

    def clear(self) -> None:
        self._kept.clear()
        self._created.clear()
