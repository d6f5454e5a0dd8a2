"""From durations to the times at which a look is worth its price.

If a look costs as much as so many seconds of lag, one is best taken every sqrt(2 * cost / hazard) seconds; the hazard
is the rate at which runs end that have not ended yet. The inverse is how many looks are due per second. Summed up over
time, it says when the next one is due, also where the hazard rises steeply, as it does before the first runs end.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from statistics import pstdev, quantiles

POINTS = 32
# Clocks and round trips blur any duration by so much, as a part of it.
NARROWEST = 0.05
SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 1e6
# In widths: where, on both sides of all durations, a kernel has nearly ended.
REACH = 4.0
# Silverman's rule, and how a logistic's scale follows from its standard deviation.
RULE = 0.9
QUARTILES_APART = 1.34
SCALE = math.sqrt(3) / math.pi


class LookTimes:
    """When to look at a run whose likes took so many seconds; two of them at least.

    The durations are smoothed in logarithmic time, because they vary by factors, with logistic kernels, whose tails are
    long: nothing is thought impossible only because it did not happen yet.
    """

    def __init__(self, durations: Iterable[float], look_cost_seconds: float) -> None:
        logs = sorted(math.log(min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)) for seconds in durations)
        width = kernel_width(logs)
        begin, end = logs[0] - REACH * width, logs[-1] + REACH * width
        self._step = (end - begin) / (POINTS - 1)
        self._points = [begin + place * self._step for place in range(POINTS)]
        surviving = [share_surviving(point, logs, width * SCALE) for point in self._points]
        # The hazard, summed up over a step, is by how much the logarithm of the survivors' share falls.
        looks = (
            math.sqrt(math.exp(point + self._step / 2) * self._step * math.log(one / other) / (2 * look_cost_seconds))
            for point, (one, other) in zip(self._points, pairwise(surviving), strict=False)
        )
        self._due = [*accumulate(looks, initial=0.0)]

    def after(self, elapsed: float) -> float | None:
        """Seconds from now to the next look at a run of this age. None beyond what the durations tell of."""
        due = self._due_until(elapsed) + 1
        place = bisect_right(self._due, due)
        if place == POINTS:
            return None
        earlier, later = self._due[place - 1], self._due[place]
        point = self._points[place - 1] + (due - earlier) / (later - earlier) * self._step
        return math.exp(point) - elapsed

    def _due_until(self, elapsed: float) -> float:
        if elapsed <= math.exp(self._points[0]):
            return 0.0
        place = (math.log(elapsed) - self._points[0]) / self._step
        whole = int(place)
        if whole >= POINTS - 1:
            return self._due[-1]
        return self._due[whole] + (place - whole) * (self._due[whole + 1] - self._due[whole])


def kernel_width(logs: Sequence[float]) -> float:
    """A standard deviation. The quartiles keep a few strays from widening it."""
    low, _, high = quantiles(logs, n=4)
    spread = min(pstdev(logs), (high - low) / QUARTILES_APART)
    return max(NARROWEST, RULE * spread / math.pow(len(logs), 0.2))


def share_surviving(point: float, logs: Sequence[float], scale: float) -> float:
    """The part of the runs that has not ended at this logarithm of time."""
    return sum([1 / (1 + math.exp((point - log) / scale)) for log in logs]) / len(logs)
