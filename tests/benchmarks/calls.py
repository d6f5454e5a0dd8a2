"""How often DynamoDB and SQS are called for a turn."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from tests.benchmarks.programs import Program
from tests.benchmarks.rows import Row
from tests.benchmarks.stores import DynamoStore
from tests.benchmarks.talker import Talker
from tests.benchmarks.turns import one_after_another
from tests.benchmarks.yard import Size, Yard
from tests.fakes.faulty_dynamodb import Proxy, faulty_dynamodb

LENGTH = 20
LONG_LENGTH = 100
LONG_TURNS = 2
# Long polls: how often they come depends on what they find.
BY_THE_CLOCK = {"ReceiveMessage"}
# The sweeps read it, a burst of queries now and then.
SWEPT = "waitingIndex"
# What a turn has done is over by then.
TAIL_SECONDS = 1.0

Open: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[Program, Talker]]]


@dataclass(frozen=True)
class Counts:
    """Of each turn with a short reply, and with a long one."""

    short: Mapping[str, float]
    long: Mapping[str, float]


async def calls(yard: Yard, size: Size) -> list[Row]:
    assert isinstance(yard.store, DynamoStore)
    async with faulty_dynamodb(yard.store.endpoint) as proxy:
        seen = replace(yard, store=replace(yard.store, endpoint=proxy.url))
        one = await counts(seen, size, proxy, lambda: alone(seen))
        two = await counts(seen, size, proxy, lambda: clustered(seen))
    return [
        *rows("calls to DynamoDB and SQS per turn: alone, in a cluster", one.short, two.short),
        *rows(f"  with a reply of {size.long_seconds:.0f} s", one.long, two.long),
    ]


def rows(title: str, one: Mapping[str, float], two: Mapping[str, float]) -> list[Row]:
    each = [Row(f"    {name}", one.get(name, 0), two.get(name, 0)) for name in sorted(one.keys() | two.keys())]
    return [Row(title, sum(one.values()), sum(two.values())), *each]


@asynccontextmanager
async def alone(yard: Yard) -> AsyncIterator[tuple[Program, Talker]]:
    async with yard.alone() as program, program.talkers(1) as (talker,):
        yield program, talker


@asynccontextmanager
async def clustered(yard: Yard) -> AsyncIterator[tuple[Program, Talker]]:
    """The person has a socket on each of two."""
    async with yard.servers(2) as programs, AsyncExitStack() as stack:
        tokens = programs[0].tokens(programs[0].newcomers(1))
        talker, _ = [(await stack.enter_async_context(one.sockets(tokens)))[0] for one in programs]
        yield programs[0], talker


async def counts(yard: Yard, size: Size, proxy: Proxy, opened: Open) -> Counts:
    yard.upstream.answers(length=LENGTH)
    async with opened() as (program, talker):
        await one_after_another(program, [talker] * 3)
        await asyncio.sleep(TAIL_SECONDS)
        idle = await each_second(proxy, asyncio.sleep(size.idle_seconds))
        short = await each_turn(program, talker, size.turns, proxy, idle)
        yard.upstream.answers(length=LONG_LENGTH, interval=size.long_seconds / LONG_LENGTH)
        return Counts(short, await each_turn(program, talker, LONG_TURNS, proxy, idle))


async def each_second(proxy: Proxy, happening: Awaitable[None]) -> Mapping[str, float]:
    counted, lasted = await counted_during(proxy, happening)
    return {name: count / lasted for name, count in counted.items()}


async def each_turn(
    program: Program, talker: Talker, number: int, proxy: Proxy, idle: Mapping[str, float]
) -> Mapping[str, float]:
    """Beyond what would have been asked for if nothing had been said."""
    counted, lasted = await counted_during(proxy, one_after_another(program, [talker] * number))
    beyond = {name: count - idle.get(name, 0) * lasted for name, count in counted.items()}
    return {name: count / number for name, count in beyond.items() if count > 0}


async def counted_during(proxy: Proxy, happening: Awaitable[None]) -> tuple[Mapping[str, int], float]:
    """And for how many seconds."""
    proxy.calls.clear()
    proxy.indexes.clear()
    began = time.monotonic()
    await happening
    await asyncio.sleep(TAIL_SECONDS)
    counted = proxy.calls - Counter({"Query": proxy.indexes[SWEPT]})
    return {name: count for name, count in counted.items() if name not in BY_THE_CLOCK}, time.monotonic() - began
