"""The port Bell."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TypeAlias

import pytest

from server.backends.memory import MemoryBell
from server.backends.sqs import open_sqs_bell
from server.ports import Bell, Ring
from tests.ministack import Cloud

HOLD_SECONDS = 4
WAIT_SECONDS = 1
QUIET_SECONDS = 0.5
HEARD_SECONDS = 10
OpenBell: TypeAlias = Callable[[], AbstractAsyncContextManager[Bell]]


@pytest.fixture(params=["memory", "sqs"])
def open_bell(request: pytest.FixtureRequest) -> OpenBell:
    """Opens the bell as a process does; what another of them left behind is not in it."""
    return memory_bells() if request.param == "memory" else request.getfixturevalue("sqs_bells")


def memory_bells() -> OpenBell:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Bell]:
        yield MemoryBell()

    return opened


@pytest.fixture
def sqs_bells(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenBell]:
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    yield lambda: open_sqs_bell(cloud.settings["QUEUE_URL"], hold_seconds=HOLD_SECONDS, wait_seconds=WAIT_SECONDS)
    cloud.client("sqs").purge_queue(QueueUrl=cloud.settings["QUEUE_URL"])


@pytest.fixture
async def bell(open_bell: OpenBell) -> AsyncIterator[Bell]:
    async with open_bell() as opened:
        yield opened


@pytest.fixture
async def rings(bell: Bell) -> AsyncIterator[AsyncGenerator[Ring]]:
    async with aclosing(bell.rings()) as heard:
        yield heard


def conversation() -> str:
    return f"c_{uuid.uuid4().hex}"


async def hear(rings: AsyncGenerator[Ring]) -> Ring:
    async with asyncio.timeout(HEARD_SECONDS):
        return await anext(rings)


async def all_heard(rings: AsyncGenerator[Ring], seconds: float) -> list[str]:
    """Every ring of that time, each dealt with at once."""
    heard = []
    try:
        async with asyncio.timeout(seconds):
            async for ring in rings:
                heard.append(ring.conversation_id)
                await ring.done()
    except TimeoutError:
        pass
    return heard


async def test_a_ring_is_heard(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    await bell.ring("c_1")
    ring = await hear(rings)
    assert ring.conversation_id == "c_1"
    await ring.done()


async def test_a_ring_wakes_who_listens_already(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    hearing = asyncio.create_task(hear(rings))
    await asyncio.sleep(QUIET_SECONDS)
    began = time.monotonic()
    await bell.ring("c_1")
    await (await hearing).done()
    assert time.monotonic() - began < 2


async def test_what_is_done_is_not_heard_again(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    await bell.ring("c_1")
    await (await hear(rings)).done()
    assert await all_heard(rings, HOLD_SECONDS + 1) == []


async def test_each_of_many_conversations_is_heard(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    rung = {conversation() for _ in range(60)}
    await asyncio.gather(*(bell.ring(each) for each in rung))
    heard = [await hear(rings) for _ in rung]
    assert {ring.conversation_id for ring in heard} == rung
    await asyncio.gather(*(ring.done() for ring in heard))


async def test_one_that_is_worked_on_keeps_no_other_waiting(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    await bell.ring("c_1")
    held = await hear(rings)
    for number in range(2, 30):
        await bell.ring(f"c_{number}")
    heard = [await hear(rings) for _ in range(2, 30)]
    assert held.conversation_id not in {ring.conversation_id for ring in heard}
    await asyncio.gather(*(ring.done() for ring in (held, *heard)))


async def test_doubled_rings_are_heard_and_then_over(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    for _ in range(25):
        await bell.ring("c_1")
    heard = await all_heard(rings, HOLD_SECONDS + 1)
    assert 1 <= len(heard) <= 25
    assert set(heard) == {"c_1"}
    assert await all_heard(rings, QUIET_SECONDS) == []


async def test_a_ring_during_the_work_is_heard_during_it(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    await bell.ring("c_1")
    working = await hear(rings)
    await bell.ring("c_1")
    again = await hear(rings)
    assert again.conversation_id == "c_1"
    await again.done()
    await working.done()
    assert await all_heard(rings, QUIET_SECONDS) == []


async def test_a_ring_after_the_work_is_heard(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    for _ in range(5):
        await bell.ring("c_1")
        await (await hear(rings)).done()


async def test_work_may_last_longer_than_a_loan(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    await bell.ring("c_1")
    working = await hear(rings)
    assert await all_heard(rings, HOLD_SECONDS * 2) == []
    await working.done()
    assert await all_heard(rings, HOLD_SECONDS) == []


async def test_a_delayed_ring_comes_when_it_is_due(bell: Bell, rings: AsyncGenerator[Ring]) -> None:
    began = time.monotonic()
    await bell.ring("c_later", delay=0.4)
    await bell.ring("c_now")
    heard = [await hear(rings), await hear(rings)]
    assert [ring.conversation_id for ring in heard] == ["c_now", "c_later"]
    assert time.monotonic() - began >= 0.4
    await asyncio.gather(*(ring.done() for ring in heard))


async def test_one_who_stops_listening_leaves_the_rest_to_the_next(bell: Bell) -> None:
    for number in range(5):
        await bell.ring(f"c_{number}")
    async with aclosing(bell.rings()) as rings:
        await (first := await hear(rings)).done()
    async with aclosing(bell.rings()) as rings:
        heard = [await hear(rings) for _ in range(4)]
    assert {ring.conversation_id for ring in (first, *heard)} == {f"c_{number}" for number in range(5)}
    await asyncio.gather(*(ring.done() for ring in heard))


# What only a bell of many processes promises.


@asynccontextmanager
async def two(open_bell: OpenBell) -> AsyncIterator[tuple[Bell, Bell]]:
    async with open_bell() as one, open_bell() as other:
        yield one, other


async def test_no_two_processes_are_lent_the_same_conversation(sqs_bells: OpenBell) -> None:
    async with two(sqs_bells) as (one, other), aclosing(one.rings()) as here, aclosing(other.rings()) as there:
        await one.ring("c_1")
        working = await hear(here)
        await other.ring("c_1")
        assert await all_heard(there, HOLD_SECONDS * 2) == []
        await working.done()
        assert await all_heard(there, HOLD_SECONDS) + await all_heard(here, QUIET_SECONDS) == ["c_1"]


async def test_many_processes_share_the_work(sqs_bells: OpenBell) -> None:
    rung = {conversation() for _ in range(40)}
    async with two(sqs_bells) as (one, other), aclosing(one.rings()) as here, aclosing(other.rings()) as there:
        await asyncio.gather(*(one.ring(each) for each in rung))
        heard = await asyncio.gather(all_heard(here, HOLD_SECONDS + 1), all_heard(there, HOLD_SECONDS + 1))
    assert sorted([*heard[0], *heard[1]]) == sorted(rung)


async def test_what_a_closed_bell_had_on_loan_is_heard_at_once_elsewhere(sqs_bells: OpenBell) -> None:
    async with sqs_bells() as one:
        async with aclosing(one.rings()) as here:
            await one.ring("c_1")
            await hear(here)
        async with sqs_bells() as other, aclosing(other.rings()) as there:
            await other.ring("c_2")
            await (await hear(there)).done()
    async with sqs_bells() as other, aclosing(other.rings()) as there:
        began = time.monotonic()
        ring = await hear(there)
        assert time.monotonic() - began < HOLD_SECONDS / 2
        await ring.done()
    assert ring.conversation_id == "c_1"


DYING = """
import asyncio, os, signal, sys
from server.backends.sqs import open_sqs_bell

async def main():
    async with open_sqs_bell(sys.argv[1], hold_seconds=int(sys.argv[2]), wait_seconds=1) as bell:
        async for ring in bell.rings():
            print(ring.conversation_id, flush=True)
            await asyncio.sleep(float(sys.argv[3]))
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_a_killed_process_had_on_loan_is_heard_when_the_loan_is_over(
    sqs_bells: OpenBell, cloud: Cloud
) -> None:
    async with sqs_bells() as bell:
        await bell.ring("c_1")
        command = [sys.executable, "-c", DYING, cloud.settings["QUEUE_URL"], str(HOLD_SECONDS), str(HOLD_SECONDS * 1.5)]
        died = await asyncio.to_thread(
            subprocess.run, command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False
        )
        assert died.stdout == "c_1\n", died.stderr
        began = time.monotonic()
        async with aclosing(bell.rings()) as rings:
            ring = await hear(rings)
            assert time.monotonic() - began <= HOLD_SECONDS + WAIT_SECONDS + 1
        assert ring.conversation_id == "c_1"
        await ring.done()
