"""The port Bell."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from itertools import chain
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
# The ring after it must come first, however busy the machine is.
DELAY_SECONDS = 2
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
    cloud.client("sqs").purge_queue(QueueUrl=cloud.settings["QUEUE_URL"])
    yield lambda: open_sqs_bell(cloud.settings["QUEUE_URL"], hold_seconds=HOLD_SECONDS, wait_seconds=WAIT_SECONDS)
    cloud.client("sqs").purge_queue(QueueUrl=cloud.settings["QUEUE_URL"])


@pytest.fixture
async def bell(open_bell: OpenBell) -> AsyncIterator[Bell]:
    async with open_bell() as opened:
        yield opened


class Ear:
    """Listens on, whoever stops waiting for a ring: a generator whose `anext` is cancelled is over."""

    def __init__(self, rings: AsyncGenerator[Ring]) -> None:
        self._rings = rings
        self._coming: asyncio.Task[Ring] | None = None

    async def hear(self, seconds: float = HEARD_SECONDS) -> Ring:
        """The next ring. Raises `TimeoutError`."""
        self._coming = self._coming or asyncio.create_task(self._next())
        async with asyncio.timeout(seconds):
            ring = await asyncio.shield(self._coming)
        self._coming = None
        return ring

    async def hear_all(self, seconds: float) -> list[str]:
        """Every ring of that time, each dealt with at once."""
        heard, until = [], time.monotonic() + seconds
        with suppress(TimeoutError):
            while True:
                ring = await self.hear(until - time.monotonic())
                heard.append(ring.conversation_id)
                await ring.done()
        return heard

    async def close(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])

    async def _next(self) -> Ring:
        return await anext(self._rings)


@asynccontextmanager
async def listening(bell: Bell) -> AsyncIterator[Ear]:
    async with aclosing(bell.rings()) as rings:
        ear = Ear(rings)
        try:
            yield ear
        finally:
            await ear.close()


async def both_hear(one: Ear, other: Ear, seconds: float) -> list[str]:
    return list(chain(*await asyncio.gather(one.hear_all(seconds), other.hear_all(seconds))))


@pytest.fixture
async def ear(bell: Bell) -> AsyncIterator[Ear]:
    async with listening(bell) as heard:
        yield heard


def conversation() -> str:
    return f"c_{uuid.uuid4().hex}"


async def test_a_ring_is_heard(bell: Bell, ear: Ear) -> None:
    await bell.ring("c_1")
    ring = await ear.hear()
    assert ring.conversation_id == "c_1"
    await ring.done()


async def test_a_ring_wakes_who_listens_already(bell: Bell, ear: Ear) -> None:
    hearing = asyncio.create_task(ear.hear())
    await asyncio.sleep(QUIET_SECONDS)
    began = time.monotonic()
    await bell.ring("c_1")
    await (await hearing).done()
    assert time.monotonic() - began < 2


async def test_what_is_done_is_not_heard_again(bell: Bell, ear: Ear) -> None:
    await bell.ring("c_1")
    await (await ear.hear()).done()
    assert await ear.hear_all(HOLD_SECONDS + 1) == []


async def test_each_of_many_conversations_is_heard(bell: Bell, ear: Ear) -> None:
    rung = {conversation() for _ in range(60)}
    await asyncio.gather(*(bell.ring(each) for each in rung))
    heard = [await ear.hear() for _ in rung]
    assert {ring.conversation_id for ring in heard} == rung
    await asyncio.gather(*(ring.done() for ring in heard))


async def test_one_that_is_worked_on_keeps_no_other_waiting(bell: Bell, ear: Ear) -> None:
    await bell.ring("c_1")
    held = await ear.hear()
    for number in range(2, 30):
        await bell.ring(f"c_{number}")
    heard = [await ear.hear() for _ in range(2, 30)]
    assert held.conversation_id not in {ring.conversation_id for ring in heard}
    await asyncio.gather(*(ring.done() for ring in (held, *heard)))


async def test_doubled_rings_are_heard_and_then_over(bell: Bell, ear: Ear) -> None:
    for _ in range(25):
        await bell.ring("c_1")
    heard = await ear.hear_all(HOLD_SECONDS + 1)
    assert 1 <= len(heard) <= 25
    assert set(heard) == {"c_1"}
    assert await ear.hear_all(QUIET_SECONDS) == []


async def test_a_ring_during_the_work_is_heard_during_it(bell: Bell, ear: Ear) -> None:
    await bell.ring("c_1")
    working = await ear.hear()
    await bell.ring("c_1")
    again = await ear.hear()
    assert again.conversation_id == "c_1"
    await again.done()
    await working.done()
    assert await ear.hear_all(QUIET_SECONDS) == []


async def test_a_ring_after_the_work_is_heard(bell: Bell, ear: Ear) -> None:
    for _ in range(5):
        await bell.ring("c_1")
        await (await ear.hear()).done()


async def test_work_may_last_longer_than_a_loan(bell: Bell, ear: Ear) -> None:
    await bell.ring("c_1")
    working = await ear.hear()
    assert await ear.hear_all(HOLD_SECONDS * 2) == []
    await working.done()
    assert await ear.hear_all(HOLD_SECONDS) == []


async def test_a_delayed_ring_comes_when_it_is_due(bell: Bell, ear: Ear) -> None:
    began = time.monotonic()
    await bell.ring("c_later", delay=DELAY_SECONDS)
    await bell.ring("c_now")
    heard = [await ear.hear(), await ear.hear()]
    assert [ring.conversation_id for ring in heard] == ["c_now", "c_later"]
    assert time.monotonic() - began >= DELAY_SECONDS
    await asyncio.gather(*(ring.done() for ring in heard))


async def test_one_who_stops_listening_leaves_the_rest_to_the_next(bell: Bell) -> None:
    for number in range(5):
        await bell.ring(f"c_{number}")
    async with listening(bell) as ear:
        await (first := await ear.hear()).done()
    async with listening(bell) as ear:
        heard = [await ear.hear() for _ in range(4)]
    assert {ring.conversation_id for ring in (first, *heard)} == {f"c_{number}" for number in range(5)}
    await asyncio.gather(*(ring.done() for ring in heard))


# What only a bell of many processes promises.


@asynccontextmanager
async def two(open_bell: OpenBell) -> AsyncIterator[tuple[Bell, Bell]]:
    async with open_bell() as one, open_bell() as other:
        yield one, other


async def test_no_two_processes_are_lent_the_same_conversation(sqs_bells: OpenBell) -> None:
    async with two(sqs_bells) as (one, other), listening(one) as here, listening(other) as there:
        await one.ring("c_1")
        working = await here.hear()
        await other.ring("c_1")
        assert await there.hear_all(HOLD_SECONDS * 2) == []
        await working.done()
        assert await both_hear(here, there, HOLD_SECONDS) == ["c_1"]


async def test_many_processes_share_the_work(sqs_bells: OpenBell) -> None:
    rung = {conversation() for _ in range(40)}
    async with two(sqs_bells) as (one, other), listening(one) as here, listening(other) as there:
        await asyncio.gather(*(one.ring(each) for each in rung))
        heard: list[str] = []
        while len(heard) < len(rung):
            heard += await both_hear(here, there, QUIET_SECONDS)
        heard += await both_hear(here, there, HOLD_SECONDS + 1)
    assert sorted(heard) == sorted(rung)


async def test_what_a_closed_bell_had_on_loan_is_heard_at_once_elsewhere(sqs_bells: OpenBell) -> None:
    async with sqs_bells() as one:
        async with listening(one) as here:
            await one.ring("c_1")
            await here.hear()
        async with sqs_bells() as other, listening(other) as there:
            await other.ring("c_2")
            await (await there.hear()).done()
    async with sqs_bells() as other, listening(other) as there:
        began = time.monotonic()
        ring = await there.hear()
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
        async with listening(bell) as ear:
            ring = await ear.hear()
            assert time.monotonic() - began <= HOLD_SECONDS + WAIT_SECONDS + 4
        assert ring.conversation_id == "c_1"
        await ring.done()
