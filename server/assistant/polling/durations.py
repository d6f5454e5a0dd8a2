"""How long the last runs took, and whether they still tell how long the next will take."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from server.assistant.polling.hazard import LookTimes

# How many of the last durations are held against those before them, and how many standard deviations are no chance.
JUDGED = 5
MISFIT = 3.0


@dataclass(frozen=True, slots=True)
class Learning:
    """`fewest`: durations of a kind that it takes to learn from. `most`: that are kept of it. `kinds`: that are kept.

    `look_cost_seconds`: so much lag is one look worth.
    """

    fewest: int = 10
    most: int = 50
    kinds: int = 256
    look_cost_seconds: float = 0.1
    floor_seconds: float = 0.2
    ceiling_seconds: float = 15.0


class Durations:
    """Of the kinds that were asked for or added to last."""

    def __init__(self, learning: Learning) -> None:
        self._learning = learning
        self._kinds: OrderedDict[str, Kind] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kinds)

    def add(self, kind: str, seconds: float) -> None:
        found = self._kinds.setdefault(kind, Kind(self._learning))
        self._kinds.move_to_end(kind)
        if len(self._kinds) > self._learning.kinds:
            self._kinds.popitem(last=False)
        found.add(seconds)

    def look_times(self, kind: str) -> LookTimes | None:
        """None if there are too few durations, or none that fit."""
        found = self._kinds.get(kind)
        if found is None:
            return None
        self._kinds.move_to_end(kind)
        return found.look_times()


class Kind:
    """The durations of one kind. Those from before a sudden change are forgotten."""

    def __init__(self, learning: Learning) -> None:
        self._learning = learning
        self._seconds: deque[float] = deque(maxlen=learning.most)
        self._times: LookTimes | None = None

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)
        self._times = None
        every = list(self._seconds)
        earlier, last = every[:-JUDGED], every[-JUDGED:]
        if len(earlier) >= self._learning.fewest and misfit(last, earlier):
            self._seconds = deque(last, self._learning.most)

    def look_times(self) -> LookTimes | None:
        if len(self._seconds) < self._learning.fewest:
            return None
        if self._times is None:
            self._times = LookTimes(self._seconds, self._learning.look_cost_seconds)
        return self._times


def misfit(last: Sequence[float], earlier: Iterable[float]) -> bool:
    """Whether the last are all but longer, or all but shorter, than those before them."""
    known = sorted(earlier)
    # Half of them, on average, is shorter than a duration of the same distribution.
    shorter = fmean((bisect_left(known, seconds) + bisect_right(known, seconds)) / 2 for seconds in last)
    deviation = math.sqrt((1 / len(last) + 1 / len(known)) / 12)
    return abs(shorter / len(known) - 0.5) > MISFIT * deviation
