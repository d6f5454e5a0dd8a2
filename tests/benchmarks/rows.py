"""Ratios of ours to ours, where their bars are, and how they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.ledger import Ratio, ratio_of


@dataclass(frozen=True, slots=True)
class Row:
    """`least`: what the ratio must reach; `most`: what it may. One of them, or none."""

    title: str
    one: float
    other: float
    ratio: Ratio | None = None
    least: float | None = None
    most: float | None = None

    def cells(self) -> tuple[str, ...]:
        if self.ratio is None:
            return self.title, f"{self.one:,.2f}", f"{self.other:,.2f}", "", "", ""
        bar = f">= {self.least}" if self.least else f"<= {self.most}"
        kept = self.ratio.middle >= (self.least or 0) and self.ratio.middle <= (self.most or float("inf"))
        spread = f"({self.ratio.least:.2f}-{self.ratio.most:.2f})"
        verdict = f"{bar} {'ok' if kept else 'MISSED'}" if self.least or self.most else ""
        return self.title, f"{self.one:,.1f}", f"{self.other:,.1f}", f"{self.ratio.middle:.2f}", spread, verdict


def row(title: str, pairs: Sequence[tuple[float, float]], **bar: float) -> Row:
    """Of (one, other) of each round; the ratio is the other's to the one's."""
    ones, others = zip(*pairs, strict=True)
    return Row(title, median(ones), median(others), ratio_of(other / one for one, other in pairs), **bar)


def table(rows: Sequence[Row]) -> str:
    cells = [row.cells() for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join((cell.rjust if place else cell.ljust)(widths[place]) for place, cell in enumerate(line)).rstrip()
        for line in cells
    )
