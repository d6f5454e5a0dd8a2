"""What is measured of sockets that open, wait, and are spoken into."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter

from tests.benchmarks.programs import Program
from tests.benchmarks.talker import Talker, talkers

OPEN_BEFORE = 20
FEW = 8
SETTLE_SECONDS = 0.25
SETTLE_MOST = 20


async def introduce(program: Program, number: int) -> range:
    """Newcomers, whom the program has seen once: a few at a time, so that hardly any memory was taken for them."""
    people = program.newcomers(number)
    for first in range(0, number, FEW):
        async with talkers(program.process.port, program.speech, program.tokens(people[first : first + FEW])):
            pass
    return people


async def cpu_of_a_handshake(program: Program, people: range) -> float:
    """Microseconds, until the socket is open and greeted. Everybody comes with a fresh token."""
    tokens = program.tokens(people)
    before = program.process.cpu_seconds()
    async with talkers(program.process.port, program.speech, tokens):
        return (program.process.cpu_seconds() - before) / len(people) * 1e6


async def memory_of_an_idle_socket(program: Program, sockets: int) -> float:
    """Resident kilobytes (1024). The program must be new: memory that it had before and let go of would not show."""
    people = await introduce(program, sockets)
    async with program.talkers(OPEN_BEFORE):
        before = await settled_bytes(program)
        async with talkers(program.process.port, program.speech, program.tokens(people)):
            return (await settled_bytes(program) - before) / sockets / 1024


async def settled_bytes(program: Program) -> int:
    """Resident, once it no longer changes."""
    size = program.process.resident_bytes()
    for _ in range(SETTLE_MOST):
        await asyncio.sleep(SETTLE_SECONDS)
        before, size = size, program.process.resident_bytes()
        if size == before:
            break
    return size


@dataclass(frozen=True, slots=True)
class Rate:
    per_second: float
    per_cpu_second: float


async def accepts(program: Program, people: int, each: int, *, answered: bool) -> Rate:
    """How many messages are made durable and acknowledged when everybody sends all of theirs at once.

    `answered`: the provider answers, and the last reply is waited for, unmeasured; else the replies are let go.
    """
    async with program.talkers(people) as opened:
        began, before = perf_counter(), program.process.cpu_seconds()
        for talker in opened:
            talker.ask(each)
        await asyncio.gather(*(talker.until(program.speech.accepted, each) for talker in opened))
        seconds, cpu = perf_counter() - began, program.process.cpu_seconds() - before
        if answered:
            await asyncio.gather(*(last_reply(talker, program.speech.final, each) for talker in opened))
    return Rate(people * each / seconds, people * each / cpu)


async def last_reply(talker: Talker, final: bytes, number: int) -> None:
    if talker.finals < number:
        await talker.until(final, number - talker.finals)
