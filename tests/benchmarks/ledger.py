"""The values of all rounds, and what they come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of the rounds' ratios the one in the middle, the smallest and the largest."""

    middle: float
    least: float
    most: float


@dataclass(frozen=True)
class Ledger:
    """Metric -> program -> one value a round, in the order of the rounds."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def note(self, metric: str, program: str, value: float) -> None:
        self.values[metric][program].append(value)

    def middle(self, metric: str, program: str) -> float | None:
        """None if it was not measured."""
        found = self.values.get(metric, {}).get(program)
        return median(found) if found else None

    def ratio(self, metric: str, one: str, other: str) -> Ratio | None:
        """How many times the other's value the one's is, round by round. None if not both were measured."""
        measured = self.values.get(metric, {})
        pairs = zip(measured.get(one, ()), measured.get(other, ()), strict=False)
        return ratio_of(mine / theirs for mine, theirs in pairs if theirs)


def ratio_of(ratios: Iterable[float]) -> Ratio | None:
    found = sorted(ratios)
    return Ratio(median(found), found[0], found[-1]) if found else None
