"""A bell that many processes hear. Who hears a ring has it on loan, and renews the loan while the work lasts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from operator import methodcaller
from typing import Any

import structlog

from server.backends.sqs.queue import Message, Queue, open_queue
from server.errors import Unavailable

logger = structlog.get_logger()

HOLD_SECONDS = 45
# Shorter than SQS allows: who stops listening waits for it.
WAIT_SECONDS = 5
RECEIVERS = 2
MOST_LATER = 10_000
MOST_DELAYS = 2
MOST_UNHEARD = 1_000
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class SqsRing:
    """Several messages where a conversation was rung for several times; none where it was rung for here."""

    conversation_id: str
    receipts: tuple[str, ...] = ()
    bell: SqsBell = field(kw_only=True, repr=False)

    async def done(self) -> None:
        await self.bell.end(self)


class SqsBell:
    """Rings that many processes hear; each is heard by one of them."""

    def __init__(self, queue: Queue, tasks: asyncio.TaskGroup, *, hold_seconds: int, wait_seconds: int) -> None:
        self._queue = queue
        self._tasks = tasks
        self._hold_seconds = hold_seconds
        self._wait_seconds = wait_seconds
        self._heard: asyncio.Queue[SqsRing] = asyncio.Queue()
        self._held: set[SqsRing] = set()
        self._later: dict[str, list[asyncio.TimerHandle]] = {}
        self._keeping = tasks.create_task(self._keep())
        self._receivers: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        if delay > 0:
            self._ring_later(conversation_id, delay)
        elif self._holds(conversation_id) and self._heard.qsize() < MOST_UNHEARD and not self._over.is_set():
            # The queue keeps it from everyone, us too, until the loan ends; and a ring may mean: stop.
            self._heard.put_nowait(SqsRing(conversation_id, bell=self))
        else:
            await self._queue.send(conversation_id)

    async def rings(self) -> AsyncGenerator[SqsRing]:
        self._over = over = asyncio.Event()
        for _ in range(RECEIVERS):
            receiver = self._tasks.create_task(self._receive(over))
            self._receivers.add(receiver)
            receiver.add_done_callback(self._receivers.discard)
        try:
            while True:
                ring = await self._heard.get()
                self._heard.task_done()
                yield ring
        finally:
            over.set()
            await self._pass_on(self._unheard())

    async def end(self, ring: SqsRing) -> None:
        self._held.discard(ring)
        await asyncio.gather(*(self._try(self._queue.delete(receipt), ring) for receipt in ring.receipts))

    @property
    def delayed(self) -> int:
        """Conversations with rings that are not due yet."""
        return len(self._later)

    async def close(self) -> None:
        """What is on loan still is given back."""
        for timer in chain.from_iterable(self._later.values()):
            timer.cancel()
        self._over.set()
        await self._pass_on(self._unheard())
        if self._receivers:
            await asyncio.wait(self._receivers)
        self._keeping.cancel()
        await self._give_back(list(self._held))

    def _holds(self, conversation_id: str) -> bool:
        return any(ring.conversation_id == conversation_id for ring in self._held)

    def _ring_later(self, conversation_id: str, delay: float) -> None:
        """A FIFO queue knows no delay of one message. What does not fit, or dies with us, the sweep makes good.

        Of several rings the first counts, and the last: it is for what was put off since the first.
        """
        if conversation_id not in self._later and len(self._later) >= MOST_LATER:
            return
        timers = self._later.setdefault(conversation_id, [])
        timers.append(asyncio.get_running_loop().call_later(delay, self._ring_now, conversation_id))
        timers.sort(key=methodcaller("when"))
        if len(timers) > MOST_DELAYS:
            timers.pop(1).cancel()

    def _ring_now(self, conversation_id: str) -> None:
        timers = self._later[conversation_id]
        timers.pop(0)
        if not timers:
            del self._later[conversation_id]
        self._tasks.create_task(self._try(self.ring(conversation_id), SqsRing(conversation_id, bell=self)))

    async def _try(self, asking: Coroutine[Any, Any, None], ring: SqsRing) -> None:
        """What fails is heard once too often, or found by the sweep."""
        try:
            await asking
        except Unavailable as error:
            logger.warning("bell_failed", conversation=ring.conversation_id, error=error.message)

    async def _receive(self, over: asyncio.Event) -> None:
        """No more than can be heard: what waits here is kept from other processes."""
        pause = FIRST_PAUSE_SECONDS
        while not over.is_set():
            try:
                messages = await self._queue.receive(self._wait_seconds, self._hold_seconds)
            except Unavailable as error:
                logger.warning("bell_unheard", error=error.message, pause=pause)
                await waited(over, pause * random.uniform(0.5, 1))  # noqa: S311
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = FIRST_PAUSE_SECONDS
            rings = list(self._rings_of(messages))
            if over.is_set():
                await self._give_back(rings)
                return
            await self._offer(rings)

    async def _offer(self, rings: Iterable[SqsRing]) -> None:
        """Until all that waits here is heard, or passed on."""
        for ring in rings:
            self._held.add(ring)
            self._heard.put_nowait(ring)
        await self._heard.join()

    def _rings_of(self, messages: Iterable[Message]) -> Iterator[SqsRing]:
        receipts: dict[str, list[str]] = {}
        for message in messages:
            receipts.setdefault(message.conversation_id, []).append(message.receipt)
        for conversation_id, of_it in receipts.items():
            yield SqsRing(conversation_id, tuple(of_it), bell=self)

    async def _keep(self) -> None:
        """The heartbeat: three chances before a loan runs out."""
        while True:
            await asyncio.sleep(self._hold_seconds / 3)
            await self._hold(self._held, self._hold_seconds)

    async def _hold(self, rings: Iterable[SqsRing], seconds: int) -> None:
        await asyncio.gather(
            *(self._try(self._queue.hold(receipt, seconds), ring) for ring in rings for receipt in ring.receipts)
        )

    def _unheard(self) -> list[SqsRing]:
        found = []
        while not self._heard.empty():
            found.append(self._heard.get_nowait())
            self._heard.task_done()
        return found

    async def _pass_on(self, rings: Sequence[SqsRing]) -> None:
        """At once, and once for each conversation: a process that ends has no time."""
        await self._give_back(rings)
        ours = {ring.conversation_id: ring for ring in rings if not ring.receipts}
        await asyncio.gather(*(self._try(self._queue.send(name), ring) for name, ring in ours.items()))

    async def _give_back(self, rings: Sequence[SqsRing]) -> None:
        self._held.difference_update(rings)
        await self._hold(rings, 0)


async def waited(over: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()


@asynccontextmanager
async def open_sqs_bell(
    queue_url: str,
    *,
    region: str = "",
    endpoint_url: str = "",
    hold_seconds: int = HOLD_SECONDS,
    wait_seconds: int = WAIT_SECONDS,
) -> AsyncIterator[SqsBell]:
    """Raises `ConfigError` where there is no such FIFO queue for us. At the end, what is on loan is given back."""
    async with open_queue(queue_url, region, endpoint_url) as queue:
        await queue.check()
        async with asyncio.TaskGroup() as tasks:
            bell = SqsBell(queue, tasks, hold_seconds=hold_seconds, wait_seconds=wait_seconds)
            try:
                yield bell
            finally:
                await bell.close()
