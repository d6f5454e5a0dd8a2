"""What is measured of turns: the CPU time of one, and how long its first words take."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import median
from time import perf_counter

from tests.benchmarks.bare import provider_at
from tests.benchmarks.programs import Program, Upstream
from tests.benchmarks.talker import PATIENCE, Talker

GOLDEN = 0.618034


async def cpu_of_a_turn(program: Program, lanes: int, turns: int, spread_seconds: float = 0) -> float:
    """Microseconds of a conversation's first turn.

    In each lane `turns` people, one after another, say something on sockets that are open. The lanes begin spread over
    so many seconds.
    """
    async with program.talkers(lanes * turns) as opened:
        before = program.process.cpu_seconds()
        async with asyncio.TaskGroup() as tasks:
            for lane in range(lanes):
                # Even, and yet in no step with the pace of the tokens.
                delay = lane * GOLDEN % 1 * spread_seconds
                tasks.create_task(one_after_another(program, opened[lane::lanes], delay))
        return (program.process.cpu_seconds() - before) / len(opened) * 1e6


async def cpu_of_a_late_turn(program: Program, lanes: int, earlier: int, turns: int) -> float:
    """Microseconds of a turn in a conversation that had so many before."""
    async with program.talkers(lanes) as opened:
        await asyncio.gather(*(one_after_another(program, [talker] * earlier) for talker in opened))
        before = program.process.cpu_seconds()
        await asyncio.gather(*(one_after_another(program, [talker] * turns) for talker in opened))
        return (program.process.cpu_seconds() - before) / (lanes * turns) * 1e6


async def one_after_another(program: Program, talkers: Sequence[Talker], delay: float = 0) -> None:
    await asyncio.sleep(delay)
    for talker in talkers:
        talker.ask()
        await talker.until(program.speech.final)


async def first_words(program: Program, turns: int) -> float:
    """Milliseconds from a question to the first of its reply, on a quiet server; the median of the turns."""
    seen: list[float] = []
    async with program.talkers(turns) as opened:
        for talker in opened:
            asked = perf_counter()
            talker.ask()
            await talker.until(program.speech.final)
            assert talker.first_delta is not None
            seen.append(talker.first_delta - asked)
    return median(seen) * 1000


async def first_words_of(upstream: Upstream, turns: int) -> float:
    """The same, asked of the provider itself."""
    connection = await provider_at(upstream.base_url).connect()
    seen: list[float] = []
    for _ in range(turns):
        answer = Answer()
        asked = perf_counter()
        connection.ask("Tell me something, please.", answer)
        seen.append(await asyncio.wait_for(answer.first, PATIENCE) - asked)
    connection.close()
    return median(seen) * 1000


class Answer:
    """When its first words came; known once it has ended."""

    def __init__(self) -> None:
        self._came: float | None = None
        self.first: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def words(self, _text: str) -> None:
        self._came = self._came or perf_counter()

    def end(self) -> None:
        self.first.set_result(self._came or perf_counter())
