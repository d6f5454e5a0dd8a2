"""What several processes cost, and a store that is full: CPU time of the servers, and time on the clock.

Not against other programs: against ourselves, with one process instead of two, and with a store that is nearly empty.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from infra.cluster.emulator import emulator
from tests.benchmarks.calls import calls
from tests.benchmarks.doors import introduce
from tests.benchmarks.machine import Cores
from tests.benchmarks.programs import Program, Stage
from tests.benchmarks.rows import Row, row, table
from tests.benchmarks.stores import DynamoStore, Store, postgres
from tests.benchmarks.talker import Talker, talkers
from tests.benchmarks.turns import one_after_another
from tests.benchmarks.yard import Size, Yard
from tests.ministack import deployed
from tests.ports import quiet_ports

LENGTH = 20
# So that the few entries fill what the model is shown, too.
WINDOW = {"CONTEXT_TOKENS": 512, "MAX_OUTPUT_TOKENS": 16}
FEW_ENTRIES, FEW_ROWS = 10, 10
DELIVERY_SECONDS = 10.0
PORTS = range(18_100, 18_300)

NOTES = """\
two processes: twice the turns per CPU second of both together, on the same database, to those of one process beside a
stranger on another database: what two do whose cores are all theirs, to what one does; each with as many people, whose
only socket is where their turns run. With a socket on each: everybody has another one, beside two processes on the
other process, so that what is said there crosses over; the one process holds both.
entries: of the conversation, the model being shown the same; without what is done by the clock. rows: of sockets,
people and conversations, of others who are connected elsewhere. DynamoDB: its stand-in on this machine; the CPU time is
that of our process alone.
calls: alone, and of two processes of a cluster together; without those that are made by the clock when nothing is
said."""


# --- one process and two ----------------------------------------------------------------------------------------------


async def cpu_of_turns(programs: Sequence[Program], size: Size, others: Sequence[Program] = ()) -> float:
    """Microseconds of a turn, of all processes together; everybody speaks at once, time and again. `others`: where the
    people of each have a second socket.
    """
    async with AsyncExitStack() as stack:
        opened, seconds = [], []
        for place, program in enumerate(programs):
            tokens = program.tokens(program.newcomers(size.people))
            opened.append((program, await stack.enter_async_context(program.sockets(tokens))))
            if others:
                seconds += await stack.enter_async_context(others[place].sockets(tokens))
        before = sum(one.process.cpu_seconds() for one in programs)
        await asyncio.gather(
            *(one_after_another(one, [talker] * size.turns) for one, theirs in opened for talker in theirs)
        )
        await heard_out(seconds, size.turns)
        spent = sum(one.process.cpu_seconds() for one in programs) - before
    return spent / (len(programs) * size.people * size.turns) * 1e6


async def heard_out(listeners: Sequence[Talker], replies: int) -> None:
    """Until everybody has heard so many."""
    async with asyncio.timeout(DELIVERY_SECONDS):
        while any(one.finals < replies for one in listeners):
            await asyncio.sleep(0.001)


async def one_and_two(yard: Yard, size: Size) -> list[Row]:
    """One has a stranger beside it that does the same on a database of its own: two processes that take turns on a core
    are slower than one, whatever they share.
    """
    near, far = [], []
    with yard.another() as elsewhere:
        async with yard.servers(1) as one, elsewhere.servers(1) as stranger, yard.servers(2) as two:
            apart, crossed = [*one, *stranger], two[::-1]
            apart[1].people = two[1].people = 1_000_000
            await cpu_of_turns(apart, size)
            await cpu_of_turns(two, size)
            for _ in range(size.rounds):
                alone, shared = await cpu_of_turns(apart, size), await cpu_of_turns(two, size)
                near.append((1e6 / alone, 2e6 / shared))
                alone, shared = await cpu_of_turns(apart, size, apart), await cpu_of_turns(two, size, crossed)
                far.append((1e6 / alone, 2e6 / shared))
    return [
        row("turns per CPU second: one process, two", near, least=1.9),
        row("  everybody with a socket on each", far),
    ]


# --- a full store -----------------------------------------------------------------------------------------------------


async def few_and_many_entries(yard: Yard, size: Size) -> list[Row]:
    """The same people's turns, in conversations that were short and are long."""
    cpu, clock = [], []
    async with yard.servers(1, **WINDOW) as (server,):
        crowds = []
        for entries in (FEW_ENTRIES, size.many_entries):
            people = await introduce(server, size.people // 8)
            await asyncio.to_thread(yard.store.converse, entries)
            crowds.append(people)
        idle = await idle_share(server, size)
        for _ in range(size.rounds):
            few, many = [await turns_of(server, people, size.turns, idle) for people in crowds]
            cpu.append((few[0], many[0]))
            clock.append((few[1], many[1]))
    return [
        row(f"{yard.store.title}: turn with {FEW_ENTRIES} entries, {size.many_entries:,}: CPU µs", cpu, most=1.1),
        row("  on the clock, ms", clock),
    ]


async def idle_share(server: Program, size: Size) -> float:
    """Of a core, while nothing is said: what is done by the clock is no turn's, however long a store takes for it."""
    before, began = server.process.cpu_seconds(), perf_counter()
    await asyncio.sleep(size.idle_seconds)
    return (server.process.cpu_seconds() - before) / (perf_counter() - began)


async def turns_of(server: Program, people: range, turns: int, idle: float) -> tuple[float, float]:
    """Microseconds of CPU, and milliseconds, of a turn; one after another."""
    async with talkers(server.process.port, server.speech, server.tokens(people)) as opened:
        before = server.process.cpu_seconds()
        took = [await asked(server, talker) for talker in opened * turns]
        spent = server.process.cpu_seconds() - before - idle * sum(took)
    return spent / len(took) * 1e6, median(took) * 1e3


async def asked(server: Program, talker: Talker) -> float:
    began = perf_counter()
    talker.ask()
    await talker.until(server.speech.final)
    return perf_counter() - began


async def few_and_many_rows(yard: Yard, size: Size) -> list[Row]:
    """On two stores, in turn."""
    cpu, clock = [], []
    with yard.another() as full:
        async with yard.servers(1) as (few,), full.servers(1) as (many,):
            await asyncio.to_thread(yard.store.crowd, FEW_ROWS)
            number = await asyncio.to_thread(full.store.crowd, size.many_rows)
            crowds = [(one, await introduce(one, size.connects)) for one in (few, many)]
            for _ in range(size.rounds):
                one, other = [await connects_of(server, people) for server, people in crowds]
                cpu.append((one[0], other[0]))
                clock.append((one[1], other[1]))
            assert (yard.store.crowded(), full.store.crowded()) == (FEW_ROWS, number)
    return [
        row(f"{yard.store.title}: connect with {FEW_ROWS} rows, {number:,}: CPU µs", cpu, most=1.1),
        row("  on the clock, ms", clock),
    ]


async def connects_of(server: Program, people: range) -> tuple[float, float]:
    """Microseconds of CPU, and milliseconds, of a connect until it is greeted; one after another."""
    took = []
    before = server.process.cpu_seconds()
    for token in server.tokens(people):
        began = perf_counter()
        async with talkers(server.process.port, server.speech, [token]):
            took.append(perf_counter() - began)
    return (server.process.cpu_seconds() - before) / len(people) * 1e6, median(took) * 1e3


# --- all of it --------------------------------------------------------------------------------------------------------


async def measured(where: Cores, folder: Path, size: Size) -> list[Row]:
    ports, found = iter(quiet_ports(100)), list[Row]()

    async def measure(measurement: Any, store: Store) -> None:
        inside = folder / f"{store.title}-{measurement.__name__}"
        inside.mkdir()
        stage = Stage(where, inside)
        async with stage.upstream() as upstream:
            upstream.answers(length=LENGTH)
            rows = await measurement(Yard(stage, upstream, store, ports), size)
        print(table(rows), file=sys.stderr, flush=True)
        found.extend(rows)

    for measurement in (one_and_two, few_and_many_entries, few_and_many_rows):
        with postgres() as store:
            await measure(measurement, store)
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory())
        owner = stack.enter_context(emulator(Path(state)))
        for measurement in (few_and_many_entries, few_and_many_rows, calls):
            cloud = await asyncio.to_thread(deployed, owner)
            await measure(measurement, DynamoStore(cloud, owner.url))
    return found
