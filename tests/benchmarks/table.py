"""What is measured, where the bars are, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.ledger import Ledger, Ratio

OURS = "ours"
HEADINGS = ("", "ours", "naive", "bare", "ratio", "(min-max)", "to", "bar", "", "next", "")
MINUS = "-"


@dataclass(frozen=True, slots=True)
class Metric:
    """`against`: whom the ratio is made with. `bar` and `following` (the next one): the most that the ratio may be.

    `rate`: more is better, and the ratio is that of the costs. `bare`: whose values the column of that name shows.
    `most`: of a value that has no ratio, the most that it may be.
    """

    name: str
    title: str
    against: str
    bar: float | None = None
    following: float | None = None
    aim: float | None = None
    rate: bool = False
    bare: str = "bare"
    most: float | None = None


METRICS = (
    Metric("turn_20_paced", "20-token turn, paced, CPU µs", "naive", 1.2, 1.0, 0.7),
    Metric("turn_20_burst", "20-token turn, burst, CPU µs", "naive", 1.2, 1.0, 0.7),
    # One that keeps nothing shows the model nothing of what was said; and yet a turn is to cost no more.
    Metric("turn_20_late", "the same after 20 others, CPU µs", "naive", 1.2, 1.0),
    Metric("turn_200_paced", "200-token turn, paced, CPU µs", "naive"),
    Metric("turn_200_burst", "200-token turn, burst, CPU µs", "naive"),
    Metric("token_paced", "one more token, paced, CPU µs", "bare", None, 2.2),
    Metric("token_burst", "one more token, burst, CPU µs", "bare", None, 1.0),
    Metric("first_words", "first words, ms beyond upstream", "naive"),
    Metric("idle_memory", "idle socket, KiB", "idle", None, 1.3, bare="idle"),
    Metric("handshake", "handshake, CPU µs", "idle", None, 1.6, bare="idle"),
    Metric("handshakes", "handshakes per CPU second", "idle", rate=True, bare="idle"),
    Metric("accepts", "accepts per second", "naive", rate=True),
    Metric("accepts_cpu", "accepts per CPU second", "naive", rate=True),
    Metric("accepts_answered", "accepts per second, answering", "naive", rate=True),
    Metric("accepts_answered_cpu", "accepts per CPU second, answering", "naive", rate=True),
    Metric("webhooks", "webhooks per second", "naive", rate=True),
    Metric("webhooks_cpu", "webhooks per CPU second", "naive", rate=True),
    Metric("webhooks_p99", "webhook's p99, ms", "naive", most=500),
    Metric("webhooks_limited", "webhooks per second, limited", "naive", rate=True),
    Metric("webhooks_limited_cpu", "webhooks per CPU second, limited", "naive", rate=True),
    Metric("webhooks_limited_p99", "webhook's p99, limited, ms", "naive", most=500),
    Metric("webhooks_answered", "webhooks per second, answering", "naive", rate=True),
    Metric("webhooks_answered_cpu", "webhooks per CPU second, answering", "naive", rate=True),
    Metric("webhooks_answered_p99", "webhook's p99, answering, ms", "naive", most=500),
    Metric("webhooks_answered_limited", "webhooks per second, answering, limited", "naive", rate=True),
    Metric("webhooks_answered_limited_cpu", "webhooks per CPU second, answering, limited", "naive", rate=True),
    Metric("webhooks_answered_limited_p99", "webhook's p99, answering, limited, ms", "naive", most=500),
)

NOTES = """\
ratio: what ours takes, to what the other takes; the middle of the rounds' ratios. Quote ratios only.
naive: Starlette and the OpenAI SDK, nothing kept. bare: provider's events in, frames out (turns, tokens); a uvicorn
socket that is accepted and left alone (idle sockets, handshakes). bar: what must hold. next: the next step's. Webhooks
are as many at once as sockets that speak, each waiting for its answer: beside the accepts they show the signed form.
limited: with the limits of texts that a server has if nothing else is said; else without any."""


def table(ledger: Ledger) -> str:
    """Every metric that was measured, with what became of its bars."""
    rows = [HEADINGS, *(row(metric, ledger) for metric in METRICS if ledger.middle(metric.name, OURS) is not None)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(line(cells, widths) for cells in rows)


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    title, *rest = (
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((title, *rest)).rstrip()


def row(metric: Metric, ledger: Ledger) -> tuple[str, ...]:
    ratio = ratio_of_costs(metric, ledger)
    programs = (OURS, "naive", metric.bare)
    values = (shown(ledger.middle(metric.name, program)) for program in programs)
    told = (
        ("", "", "")
        if ratio is None
        else (f"{ratio.middle:.2f}", f"({ratio.least:.2f}-{ratio.most:.2f})", metric.against)
    )
    aim = "" if metric.aim is None else f" (aim {metric.aim})"
    middle = None if ratio is None else ratio.middle
    ours = ledger.middle(metric.name, OURS)
    first = verdict(middle, metric.bar) if metric.most is None else verdict(ours, metric.most)
    bars = (*first, *verdict(middle, metric.following, aim))
    return (metric.title, *values, *told, *bars)


def ratio_of_costs(metric: Metric, ledger: Ledger) -> Ratio | None:
    pair = (metric.against, OURS) if metric.rate else (OURS, metric.against)
    return ledger.ratio(metric.name, *pair)


def verdict(value: float | None, bar: float | None, aim: str = "") -> tuple[str, str]:
    if value is None or bar is None:
        return "", ""
    return f"<= {bar}{aim}", "ok" if value <= bar else "MISSED"


def shown(value: float | None) -> str:
    if value is None:
        return MINUS
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
