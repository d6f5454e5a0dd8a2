"""How long to wait between looks: growing, or as the last runs of the same assistant version suggest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from server.assistant.polling.durations import Durations, Learning

Pace: TypeAlias = Callable[[float, float], float]
"""The next interval of one run, in seconds, before jitter.

Given are the run's age and what of it was spent between looks, not in them; both in seconds.
"""


class Pacing(Protocol):
    def begin(self, kind: str, /) -> Pace:
        """For one run of this kind, which is an assistant version."""
        ...

    def learn(self, kind: str, seconds: float, gap: float, /) -> None:
        """A run of this kind took so long, give or take half of the gap between the looks that it ended between."""
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """Intervals that grow by `factor` up to a cap, which is another one for runs that have become old."""

    first_seconds: float = 0.75
    factor: float = 1.15
    cap_seconds: float = 4.0
    late_cap_seconds: float = 10.0
    late_after_seconds: float = 120.0

    def interval(self, elapsed: float, waited: float) -> float:
        """A Pace. A run that is found again after a restart goes on at the pace of its age."""
        cap = self.late_cap_seconds if elapsed >= self.late_after_seconds else self.cap_seconds
        # The next member of a geometric series follows from the sum of those before it.
        return min(cap, self.first_seconds + (self.factor - 1) * waited)


class Exponential:
    """Implements Pacing. Learns nothing."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff

    def begin(self, _kind: str, /) -> Pace:
        return self._backoff.interval

    def learn(self, kind: str, seconds: float, gap: float, /) -> None:
        pass


class Adaptive:
    """Implements Pacing. Exponential where too little is known: of a new kind, after a change, for a very long run."""

    def __init__(self, backoff: Backoff, learning: Learning) -> None:
        self._backoff = backoff
        self._learning = learning
        self._durations = Durations(learning)

    def begin(self, kind: str, /) -> Pace:
        times = self._durations.look_times(kind)
        if times is None:
            return self._backoff.interval

        def pace(elapsed: float, waited: float) -> float:
            interval = times.after(elapsed)
            if interval is None:
                return self._backoff.interval(elapsed, waited)
            return min(max(interval, self._learning.floor_seconds), self._learning.ceiling_seconds)

        return pace

    def learn(self, kind: str, seconds: float, gap: float, /) -> None:
        # Found late, as after a restart, a run says too little of when it ended.
        if gap <= self._learning.ceiling_seconds:
            self._durations.add(kind, seconds)
