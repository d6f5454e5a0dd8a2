"""What polling costs: the poller itself, on a clock that takes no time, asking after runs that are made up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist, fmean, quantiles

from server.assistant.polling.bucket import TokenBucket
from server.assistant.polling.durations import Learning
from server.assistant.polling.pacing import Adaptive, Backoff, Exponential, Pacing
from server.assistant.polling.poller import Poll, Poller, Watch
from tests.benchmarks.oracle import Lognormal, Oracle
from tests.benchmarks.table import line
from tests.fakes.clock import VirtualClock

MEDIANS = (3.0, 10.0, 60.0)
SIGMA = 0.6
ROUND_TRIP_MEDIAN, ROUND_TRIP_SIGMA = 0.08, 0.3
LOOK_COST_SECONDS = 0.1
# Runs from which an adaptive poller learns before it is judged.
LEARNT = 50
SEED = 11
HEADINGS = ("", "polls", "lag, s", "p95", "cost, s", "ratio", "bar", "")
NOTES = f"""\
Simulated: lognormal runs, sigma {SIGMA}; round trips of {ROUND_TRIP_MEDIAN:g} s. adaptive: after {LEARNT} runs.
lag: from the end of a run to when it is known. cost: {LOOK_COST_SECONDS:g} s a poll, and the lag.
ratio: to the cost of the oracle, which knows how long runs take, though not how long this one will."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`bar`: at most so many times the oracle's cost."""

    name: str
    pacing: Pacing
    jitter: float = 0.0
    bar: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of many runs: polls of each, seconds from its end to when that was known, and what both come to, in seconds."""

    polls: float
    lag: float
    lag_p95: float

    @property
    def cost(self) -> float:
        return self.polls * LOOK_COST_SECONDS + self.lag


def policies(runs: Lognormal) -> list[Policy]:
    """The oracle is the last."""
    fixed = Backoff(1.0, 1.0, 1.0, 1.0)
    doubled = Backoff(1.0, 2.0, 30.0, 30.0)
    # 0.8 s, x1.5, at most 10 s, lengthened by 0 to 10 %: that is 1.05 times as much, and up to 4.8 % more or less.
    seed = Backoff(0.84, 1.5, 10.5, 10.5)
    return [
        Policy("ours", Exponential(Backoff()), jitter=0.1, bar=1.45),
        Policy("ours, adaptive", Adaptive(Backoff(), Learning()), jitter=0.1, bar=1.1),
        Policy("fixed 1 s", Exponential(fixed)),
        Policy("1*2^n, cap 30 s", Exponential(doubled)),
        Policy("0.8*1.5^n, cap 10 s", Exponential(seed), jitter=0.05 / 1.05),
        Policy("oracle", Oracle(runs, LOOK_COST_SECONDS, ROUND_TRIP_MEDIAN)),
    ]


class Simulation:
    """A poller and a provider whose runs take as long as they are told to."""

    def __init__(self, policy: Policy, seed: int = SEED, *, ending: str = "completed") -> None:
        self._clock = VirtualClock()
        self._random = Random(seed)
        self._ending = ending
        self._polls = 0
        bucket = TokenBucket(math.inf, self._clock)
        self._poller = Poller(
            policy.pacing, bucket, self._clock, self._random, jitter=policy.jitter, report=self._counted
        )

    def run(self, seconds: float) -> tuple[int, float]:
        """How many polls a run took that took so long, and seconds from its end to when that was known."""
        ends_at = self._clock.time() + seconds
        known_at = self._clock.run(self._poller.wait(lambda: self._look(ends_at), kind="a"))
        return self._polls, known_at - ends_at

    def run_all(self, durations: Sequence[float]) -> Outcome:
        polls, lags = zip(*(self.run(seconds) for seconds in durations), strict=True)
        return Outcome(fmean(polls), fmean(lags), quantiles(lags, n=20)[-1])

    async def _look(self, ends_at: float) -> Poll[float]:
        there, back = (self._random.lognormvariate(math.log(ROUND_TRIP_MEDIAN / 2), ROUND_TRIP_SIGMA) for _ in "ab")
        await self._clock.sleep(there)
        status = self._ending if self._clock.time() >= ends_at else "in_progress"
        await self._clock.sleep(back)
        return Poll(status, self._clock.time())

    def _counted(self, watch: Watch) -> None:
        self._polls = watch.polls


def drawn(median: float, number: int, seed: int = SEED) -> list[float]:
    """Durations, by chance alone."""
    random = Random(seed)
    return [random.lognormvariate(math.log(median), SIGMA) for _ in range(number)]


def spread(median: float, number: int, seed: int = SEED) -> list[float]:
    """Durations of which none is rarer or more common than it should be, in no order: they say more than drawn ones."""
    random, normal = Random(seed), NormalDist(math.log(median), SIGMA)
    found = [math.exp(normal.inv_cdf((place + 1 - random.random()) / (number + 1))) for place in range(number)]
    random.shuffle(found)
    return found


def judged(policy: Policy, median: float, number: int, seed: int = SEED) -> Outcome:
    """The same runs for every policy; those that it may learn from come first, and are not counted."""
    simulation = Simulation(policy, seed)
    simulation.run_all(drawn(median, LEARNT, seed))
    return simulation.run_all(spread(median, number, seed))


def table(number: int) -> str:
    """So many runs of each policy, for each of the medians."""
    cells = [HEADINGS, *(line for median in MEDIANS for line in lines_of(median, number))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(line(row, widths) for row in cells)


def lines_of(median: float, number: int) -> Iterator[tuple[str, ...]]:
    contenders = policies(Lognormal(median, SIGMA))
    outcomes = [judged(policy, median, number) for policy in contenders]
    for policy, outcome in zip(contenders, outcomes, strict=True):
        yield cells_of(f"runs of {median:g} s, {policy.name}", policy.bar, outcome, outcome.cost / outcomes[-1].cost)


def cells_of(title: str, bar: float | None, outcome: Outcome, ratio: float) -> tuple[str, ...]:
    told = ("", "") if bar is None else (f"<= {bar}", "ok" if ratio <= bar else "MISSED")
    figures = (f"{outcome.polls:.1f}", f"{outcome.lag:.2f}", f"{outcome.lag_p95:.2f}", f"{outcome.cost:.2f}")
    return (title, *figures, f"{ratio:.2f}", *told)
