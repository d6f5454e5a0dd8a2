"""The best that a poller can do which knows how long runs take, though not how long this one will."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from server.assistant.polling.pacing import Pace

POINTS = 400
# In sigmas: where, on both sides of the median, next to no run ends.
REACH = 4.2


@dataclass(frozen=True)
class Lognormal:
    """How long runs take."""

    median: float
    sigma: float

    def ended(self, seconds: float) -> float:
        """The part of the runs that takes no longer."""
        return normal(self._z(seconds)) if seconds else 0.0

    def time_of_ended(self, seconds: float) -> float:
        """What those take, to be divided by the number of all runs."""
        mean = self.median * math.exp(self.sigma**2 / 2)
        return mean * normal(self._z(seconds) - self.sigma) if seconds else 0.0

    @cached_property
    def moments(self) -> list[float]:
        """From nothing to when all have ended, denser where more happens."""
        step = 2 * REACH / (POINTS - 1)
        return [0.0, *(self.median * math.exp(self.sigma * (place * step - REACH)) for place in range(POINTS))]

    def _z(self, seconds: float) -> float:
        return math.log(seconds / self.median) / self.sigma


def normal(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


def best_looks(runs: Lognormal, look_cost: float) -> list[float]:
    """The moments of the looks that make cost and lag least: by dynamic programming, from the last moment back."""
    moments = runs.moments
    ended = [runs.ended(moment) for moment in moments]
    times = [runs.time_of_ended(moment) for moment in moments]
    last = len(moments) - 1
    costs, following = [0.0] * (last + 1), [last] * (last + 1)
    for this in range(last - 1, -1, -1):
        look = look_cost * (1 - ended[this])
        costs[this], following[this] = min(
            (look + moments[then] * (ended[then] - ended[this]) - (times[then] - times[this]) + costs[then], then)
            for then in range(this + 1, last + 1)
        )
    looks = [following[0]]
    while looks[-1] != last:
        looks.append(following[looks[-1]])
    return [moments[place] for place in looks]


class Oracle:
    """Implements Pacing. A look sees what is so half a round trip after it was sent."""

    def __init__(self, runs: Lognormal, look_cost: float, round_trip: float) -> None:
        self._looks = best_looks(runs, look_cost)
        self._half = round_trip / 2

    def begin(self, kind: str, /) -> Pace:
        return lambda elapsed, waited: self._next(elapsed + self._half) - self._half - elapsed

    def learn(self, kind: str, seconds: float, gap: float, /) -> None:
        pass

    def _next(self, moment: float) -> float:
        place = bisect_right(self._looks, moment)
        return self._looks[place] if place < len(self._looks) else moment * 1.1
