"""The rounds: what is measured, of which programs, in which order."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.benchmarks.doors import accepts, cpu_of_a_handshake, introduce, memory_of_an_idle_socket
from tests.benchmarks.ledger import Ledger
from tests.benchmarks.programs import Program, Stage, Upstream
from tests.benchmarks.turns import cpu_of_a_late_turn, cpu_of_a_turn, first_words, first_words_of
from tests.benchmarks.webhooks import acknowledgements, settings_for
from tests.fakes.twilio_server import twilio_server

TURNERS = ("ours", "naive", "bare")
DOORS = ("ours", "naive", "idle")
SHORT, LONG = 20, 200
HELD_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything. `*_turns`: of each lane, of 20 and of 200 tokens. `interval`: seconds between tokens.

    `earlier`: turns that a conversation had before its `late_turns` are measured. `webhooks`: of each person, no more
    than one may post in a minute. `polled_runs`: of each policy.
    """

    rounds: int = 5
    interval: float = 0.02
    lanes: int = 32
    paced_turns: tuple[int, int] = (5, 1)
    burst_turns: tuple[int, int] = (8, 3)
    earlier: int = 20
    late_turns: int = 3
    first_words: int = 30
    idle_rounds: int = 3
    idle_sockets: int = 500
    handshakes: int = 300
    accepting_people: int = 64
    accepts: int = 40
    answered_accepts: int = 6
    webhooks: int = 10
    polled_runs: int = 2_000


QUICK = Scale(
    rounds=2,
    lanes=24,
    paced_turns=(4, 1),
    burst_turns=(8, 2),
    late_turns=2,
    idle_rounds=1,
    handshakes=200,
    accepts=20,
    polled_runs=1_000,
)


class Bench:
    def __init__(self, stage: Stage, upstream: Upstream, scale: Scale, ledger: Ledger) -> None:
        self.upstream = upstream
        self.scale = scale
        self._stage = stage
        self._ledger = ledger

    @asynccontextmanager
    async def programs(self, *names: str, **more: object) -> AsyncIterator[list[Program]]:
        """New ones, until the block ends. `more`: settings of ours."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self._stage.program(name, self.upstream, **more)) for name in names]

    def rounds(self, programs: Sequence[Program]) -> Iterator[Program]:
        """Each program once a round, another one first each time."""
        for number in range(self.scale.rounds):
            first = number % len(programs)
            yield from (*programs[first:], *programs[:first])

    def note(self, metric: str, program: Program, value: float) -> None:
        self._ledger.note(metric, program.name, value)
        print(f"  {program.name:6} {metric:22} {value:10,.1f}", file=sys.stderr, flush=True)

    async def warm_up(self, programs: Sequence[Program]) -> None:
        self.upstream.answers(length=SHORT)
        for program in programs:
            await cpu_of_a_turn(program, self.scale.lanes, 2)


async def paced(bench: Bench) -> None:
    await turns(bench, "paced", bench.scale.paced_turns, bench.scale.interval)


async def burst(bench: Bench) -> None:
    await turns(bench, "burst", bench.scale.burst_turns, 0)


async def turns(bench: Bench, mode: str, numbers: tuple[int, int], interval: float) -> None:
    async with bench.programs(*TURNERS) as programs:
        await bench.warm_up(programs)
        for program in bench.rounds(programs):
            short = await turn(bench, program, mode, SHORT, numbers[0], interval)
            long = await turn(bench, program, mode, LONG, numbers[1], interval)
            bench.note(f"token_{mode}", program, (long - short) / (LONG - SHORT))


async def turn(bench: Bench, program: Program, mode: str, length: int, number: int, interval: float) -> float:
    bench.upstream.answers(length=length, interval=interval)
    micros = await cpu_of_a_turn(program, bench.scale.lanes, number, SHORT * interval)
    bench.note(f"turn_{length}_{mode}", program, micros)
    return micros


async def late(bench: Bench) -> None:
    async with bench.programs(*TURNERS) as programs:
        await bench.warm_up(programs)
        for program in bench.rounds(programs):
            scale = bench.scale
            micros = await cpu_of_a_late_turn(program, scale.lanes // 2, scale.earlier, scale.late_turns)
            bench.note("turn_20_late", program, micros)


async def first(bench: Bench) -> None:
    async with bench.programs(*TURNERS) as programs:
        await bench.warm_up(programs)
        # The pause sends the first words off before there are others.
        bench.upstream.answers(length=2, interval=0.005)
        for program in bench.rounds(programs):
            own = await first_words_of(bench.upstream, bench.scale.first_words)
            bench.note("first_words", program, await first_words(program, bench.scale.first_words) - own)


async def idle(bench: Bench) -> None:
    for _ in range(min(bench.scale.rounds, bench.scale.idle_rounds)):
        for name in DOORS:
            async with bench.programs(name) as (program,):
                bench.note("idle_memory", program, await memory_of_an_idle_socket(program, bench.scale.idle_sockets))


async def handshakes(bench: Bench) -> None:
    async with bench.programs(*DOORS) as programs:
        people = {program.name: await introduce(program, bench.scale.handshakes) for program in programs}
        for program in bench.rounds(programs):
            micros = await cpu_of_a_handshake(program, people[program.name])
            bench.note("handshake", program, micros)
            bench.note("handshakes", program, 1e6 / micros)


async def accepting(bench: Bench) -> None:
    """Once with a provider that does not come to its first word, once with one that answers at once."""
    for metric, messages, delay in (
        ("accepts", bench.scale.accepts, HELD_SECONDS),
        ("accepts_answered", bench.scale.answered_accepts, 0.0),
    ):
        async with bench.programs("ours") as programs:
            await bench.warm_up(programs)
            bench.upstream.answers(length=1, first_delay=delay)
            for program in bench.rounds(programs):
                rate = await accepts(program, bench.scale.accepting_people, messages, answered=not delay)
                bench.note(metric, program, rate.per_second)
                bench.note(f"{metric}_cpu", program, rate.per_cpu_second)


async def webhooks(bench: Bench) -> None:
    """As the accepts of sockets are: first alone, then while turns are run and their replies are sent."""
    for metric, delay in (("webhooks", HELD_SECONDS), ("webhooks_answered", 0.0)):
        await posting(bench, metric, delay, limited=False)
        await posting(bench, f"{metric}_limited", delay, limited=True)


async def posting(bench: Bench, metric: str, delay: float, *, limited: bool) -> None:
    scale = bench.scale
    async with twilio_server() as twilio, bench.programs("ours", **settings_for(twilio, limited=limited)) as programs:
        await bench.warm_up(programs)
        bench.upstream.answers(length=1, first_delay=delay)
        for program in bench.rounds(programs):
            answered_by = None if delay else twilio
            taken = await acknowledgements(program, scale.accepting_people, scale.webhooks, answered_by=answered_by)
            bench.note(metric, program, taken.rate.per_second)
            bench.note(f"{metric}_cpu", program, taken.rate.per_cpu_second)
            bench.note(f"{metric}_p99", program, taken.p99)


MEASUREMENTS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "paced": paced,
    "burst": burst,
    "late": late,
    "first": first,
    "idle": idle,
    "handshakes": handshakes,
    "accepts": accepting,
    "webhooks": webhooks,
}
