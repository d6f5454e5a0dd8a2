"""Polling that learns from the last runs of the same assistant version, and what it costs beside other schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from random import Random
from statistics import fmean
from statistics import median as median_of
from time import process_time

import pytest

from server.assistant.polling.durations import Durations, Learning
from server.assistant.polling.hazard import LookTimes
from server.assistant.polling.pacing import Adaptive, Backoff, Pace
from tests.benchmarks.oracle import Lognormal
from tests.benchmarks.polls import LEARNT, MEDIANS, SIGMA, Policy, Simulation, drawn, judged, policies, spread

EXPONENTIAL = Backoff().interval


def taught(*seconds: float, learning: Learning | None = None, gap: float = 1.0) -> Adaptive:
    pacing = Adaptive(Backoff(), learning or Learning())
    for one in seconds:
        pacing.learn("a", one, gap)
    return pacing


def is_exponential(pace: Pace) -> bool:
    return all(pace(age, age) == EXPONENTIAL(age, age) for age in (0.0, 1.0, 5.0, 20.0, 200.0))


def contender(name: str, median: float) -> Policy:
    return next(policy for policy in policies(Lognormal(median, SIGMA)) if policy.name == name)


def cost(runs: Sequence[tuple[int, float]]) -> float:
    return fmean(polls * 0.1 + lag for polls, lag in runs)


@pytest.mark.parametrize("median", MEDIANS)
@pytest.mark.parametrize("seed", [1, 2])
def test_ours_costs_at_most_so_many_times_what_the_oracle_does(median: float, seed: int) -> None:
    ours, oracle = (judged(contender(name, median), median, 2_000, seed) for name in ("ours", "oracle"))
    assert ours.cost <= 1.45 * oracle.cost


@pytest.mark.parametrize("median", MEDIANS)
def test_after_fifty_runs_adaptive_costs_next_to_what_the_oracle_does(median: float) -> None:
    """Of many assistants, each the runs that follow its first fifty."""
    oracle, found = judged(contender("oracle", median), median, 2_000), list[tuple[int, float]]()
    runs = spread(median, 40 * 40)
    for seed in range(40):
        simulation = Simulation(contender("ours, adaptive", median), seed)
        simulation.run_all(drawn(median, LEARNT, seed))
        found += [simulation.run(seconds) for seconds in runs[seed::40]]
    assert cost(found) <= 1.1 * oracle.cost


@pytest.mark.parametrize(("before", "after"), [(3.0, 18.0), (18.0, 3.0), (10.0, 60.0), (60.0, 10.0)])
def test_after_a_sudden_change_it_is_exponential_and_then_learns_anew(before: float, after: float) -> None:
    oracle = judged(contender("oracle", after), after, 2_000)
    misled, late, fell_back_after = list[tuple[int, float]](), list[tuple[int, float]](), list[int]()
    for seed in range(20):
        policy = contender("ours, adaptive", after)
        simulation, runs = Simulation(policy, seed), iter(drawn(after, 60, 1_000 + seed))
        simulation.run_all(drawn(before, LEARNT, seed))
        first = len(misled)
        while not is_exponential(policy.pacing.begin("a")):
            misled.append(simulation.run(next(runs)))
        fell_back_after.append(len(misled) - first)
        simulation.run_all(list(islice(runs, 15)))
        late += map(simulation.run, runs)
    assert median_of(fell_back_after) <= 5
    assert max(fell_back_after) <= 12
    assert cost(misled) <= 4 * oracle.cost
    assert cost(late) <= 1.15 * oracle.cost


def test_nothing_changes_for_an_assistant_that_does_not() -> None:
    """By chance it is taken for another one less than once in a thousand runs."""
    memory = Durations(Learning())
    random, forgot = Random(3), 0
    for number in range(3_000):
        memory.add("a", random.lognormvariate(1, SIGMA))
        forgot += number >= 10 and memory.look_times("a") is None
    # Each time costs five runs until there are enough again.
    assert forgot <= 3 * 5


def test_with_too_few_durations_it_is_exponential() -> None:
    assert is_exponential(taught(*[10.0] * 9).begin("a"))
    assert not is_exponential(taught(*[10.0] * 10).begin("a"))


def test_versions_learn_apart() -> None:
    assert is_exponential(taught(*[10.0] * 20).begin("b"))


def test_the_first_look_comes_when_the_first_runs_end() -> None:
    pace = taught(*drawn(10.0, 50)).begin("a")
    assert 2 < pace(0, 0) < 7


def test_a_run_that_outlasts_all_others_is_paced_exponentially() -> None:
    assert taught(*drawn(1.0, 50)).begin("a")(300.0, 300.0) == 10


def test_intervals_have_a_floor_and_a_ceiling() -> None:
    assert taught(*[600.0] * 20).begin("a")(0, 0) == 15
    narrow = taught(*[5.0] * 20, learning=Learning(look_cost_seconds=0.001)).begin("a")
    assert narrow(5.0, 5.0) == 0.2


def test_a_run_that_was_found_late_teaches_nothing() -> None:
    assert is_exponential(taught(*[60.0] * 20, gap=16.0).begin("a"))


@pytest.mark.parametrize(("status", "learns"), [("completed", True), ("failed", True), ("cancelled", False)])
def test_runs_that_were_cut_short_teach_nothing(status: str, learns: bool) -> None:
    policy = contender("ours, adaptive", 3.0)
    simulation = Simulation(policy, ending=status)
    simulation.run_all([5.0] * 20)
    assert is_exponential(policy.pacing.begin("a")) is not learns


def test_only_the_last_fifty_count() -> None:
    seconds = [3.0, 4.0, 5.0, 6.0, 7.0] * 12 + [4.5, 5.5] * 25
    assert taught(*seconds).begin("a")(0, 0) == taught(*seconds[-50:]).begin("a")(0, 0)


def test_only_the_kinds_used_last_are_remembered() -> None:
    memory = Durations(Learning(kinds=3, fewest=2))
    for kind in "abcd":
        for seconds in (1.0, 2.0):
            memory.add(kind, seconds)
        memory.look_times("a")
    assert len(memory) == 3
    assert memory.look_times("b") is None
    assert memory.look_times("a") is not None


@pytest.mark.parametrize(
    "seconds", [[0.0] * 50, [1e12] * 50, [0.01] * 45 + [1e9] * 5, [1e9] * 45 + [0.0] * 5, [1.0, 100.0] * 25, [5.0, 5.0]]
)
def test_any_durations_make_a_schedule(seconds: list[float]) -> None:
    times, age, intervals = LookTimes(seconds, 0.1), 0.0, list[float]()
    while (interval := times.after(age)) is not None and len(intervals) < 1_000:
        intervals.append(interval)
        age += interval
    assert all(interval > 0 for interval in intervals)


def test_an_interval_costs_next_to_nothing() -> None:
    """Least CPU time of several: the machine is never quiet. The first interval of a run may need a new table."""
    seconds = drawn(10.0, 50)
    times = LookTimes(seconds, 0.1)
    assert min(microseconds(lambda: LookTimes(seconds, 0.1)) for _ in range(20)) < 1_000
    assert min(microseconds(lambda: times.after(7.3)) for _ in range(20)) < 100


def microseconds(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return (process_time() - began) * 1e6
