"""Bells in, turns out: leases a conversation that has work, and runs its turns one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog

from server.bulkhead import bulkhead
from server.errors import LeaseLost, ServerError
from server.model import Lease
from server.ports import Bell, Leases, Log, Ring
from server.turns.runner import Runner

logger = structlog.get_logger()

SWEEP_SECONDS = 5.0
SWEEP_MOST = 1_000
GRACE_SECONDS = 0.2
HAND_BACK_SECONDS = 2.0
LOOKERS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """Work that the sweep found. It needs no bell, and one that is out of order cannot keep it from us."""

    conversation_id: str

    async def done(self) -> None:
        """Nobody lent it."""


class Worker:
    """Runs until cancelled; then it hands back what it holds. `turns`: conversations worked on at the same time."""

    def __init__(
        self,
        log: Log,
        leases: Leases,
        bell: Bell,
        runner: Runner,
        *,
        owner: str,
        turns: int,
        lease_seconds: float,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._log = log
        self._leases = leases
        self._bell = bell
        self._runner = runner
        self._owner = owner
        self._slots = asyncio.Semaphore(turns)
        self._renew_seconds = lease_seconds / 3
        self._sweep_seconds = sweep_seconds
        self._working: dict[str, asyncio.Task[None]] = {}
        self._rung_again: set[str] = set()
        self._held: dict[str, Lease] = {}
        self._finding: list[asyncio.Task[None]] = []
        self._to_look_at: set[str] = set()
        self._looking: asyncio.Queue[str] = asyncio.Queue()
        self._draining = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew())
            for _ in range(LOOKERS):
                tasks.create_task(self._look_on())
            self._finding = [tasks.create_task(self._sweep(tasks)), tasks.create_task(self._listen(tasks))]

    async def look(self, conversation_id: str) -> None:
        """Whether the turn that is run here, if one is, was cancelled."""
        if conversation_id in self._working:
            self._rung_again.add(conversation_id)
        lease = self._held.get(conversation_id)
        if lease is not None:
            await self._renew_one(lease)

    def look_soon(self, conversation_id: str) -> None:
        """The same, without a wait."""
        if conversation_id in self._working and conversation_id not in self._to_look_at:
            self._to_look_at.add(conversation_id)
            self._looking.put_nowait(conversation_id)

    async def drain(self, seconds: float) -> None:
        """Begin nothing new, and wait for the turns under way, but not for longer than that."""
        self._draining = True
        for task in self._finding:
            task.cancel()
        if self._working:
            await asyncio.wait(list(self._working.values()), timeout=seconds)

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        async with aclosing(self._bell.rings()) as rings:
            async for ring in rings:
                if not await self._begin(ring, tasks):
                    self._rung_again.add(ring.conversation_id)
                    tasks.create_task(self._look_up(ring))

    async def _begin(self, ring: Ring, tasks: asyncio.TaskGroup) -> bool:
        """False where the conversation is being worked on already, perhaps since we wait for a slot."""
        if ring.conversation_id in self._working:
            return False
        await self._slots.acquire()
        if ring.conversation_id in self._working:
            self._slots.release()
            return False
        self._working[ring.conversation_id] = tasks.create_task(self._work(ring))
        return True

    async def _work(self, ring: Ring) -> None:
        conversation_id = ring.conversation_id
        try:
            # The lease runs out, and the sweep finds the conversation again.
            with bulkhead("turn_interrupted", conversation=conversation_id):
                await self._turns_of(conversation_id)
        finally:
            self._slots.release()
            del self._working[conversation_id]
            # A bell that is slow must not keep the process from its end: what it is not told, it finds out by itself.
            with bulkhead("ring_failed", conversation=conversation_id):
                async with asyncio.timeout(HAND_BACK_SECONDS):
                    await self._let_go(ring)

    async def _let_go(self, ring: Ring) -> None:
        await ring.done()
        if ring.conversation_id in self._rung_again:
            self._rung_again.discard(ring.conversation_id)
            # Where that fails, the sweep finds it.
            await self._bell.ring(ring.conversation_id)

    async def _turns_of(self, conversation_id: str) -> None:
        lease = await self._unbroken(self._leases.take(conversation_id, self._owner))
        while lease is not None:
            if self._draining:
                await self._hand_back(lease)
                return
            lease = await self._turn(lease)

    async def _turn(self, lease: Lease) -> Lease | None:
        self._held[lease.conversation_id] = lease
        try:
            return await self._unbroken(self._run(lease), lease)
        finally:
            del self._held[lease.conversation_id]

    async def _run(self, lease: Lease) -> Lease | None:
        if lease.conversation_id in self._rung_again:
            lease = await self._leases.renew(lease)
        return await self._runner.run(lease)

    async def _unbroken(self, step: Coroutine[Any, Any, Lease | None], lease: Lease | None = None) -> Lease | None:
        """What comes of a step that ends with another lease, or with none. Cancelled, a run ends at once; but what the
        store is being told takes effect there anyhow: that is waited for, and the lease that comes of it handed back.
        """
        task = asyncio.create_task(step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if lease is None or self._runner.is_ending(lease.conversation_id):
                await asyncio.wait([task], timeout=HAND_BACK_SECONDS)
            task.cancel()
            await asyncio.wait([task])
            came_to_its_end = not task.cancelled() and task.exception() is None
            if (left := task.result() if came_to_its_end else lease) is not None:
                await self._hand_back(left)
            raise

    async def _hand_back(self, lease: Lease) -> None:
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS):
                await self._leases.hand_back(lease)
            self._rung_again.add(lease.conversation_id)
        except (ServerError, TimeoutError):
            logger.info("hand_back_failed", conversation=lease.conversation_id)

    async def _sweep(self, tasks: asyncio.TaskGroup) -> None:
        """Find work whose ring was lost, and leases that ran out."""
        while True:
            with bulkhead("sweep_failed"):
                for conversation_id in await self._left_lying():
                    await self._begin(Found(conversation_id), tasks)
            await asyncio.sleep(self._sweep_seconds)

    async def _left_lying(self) -> Sequence[str]:
        """Not what another process accepted this very moment: it begins that at once, and has the sockets too."""
        found = await self._log.waiting(SWEEP_MOST)
        if not found:
            return ()
        await asyncio.sleep(GRACE_SECONDS)
        still = set(await self._log.waiting(SWEEP_MOST))
        return [conversation_id for conversation_id in found if conversation_id in still]

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renew_seconds)
            # One after another, the last of many would be too late where a store takes its time.
            await asyncio.gather(*(self._renew_one(lease) for lease in list(self._held.values())))

    async def _look_on(self) -> None:
        while True:
            conversation_id = await self._looking.get()
            self._to_look_at.discard(conversation_id)
            await self.look(conversation_id)

    async def _look_up(self, ring: Ring) -> None:
        """A ring for a conversation that is being worked on may mean that its turn was cancelled."""
        await self.look(ring.conversation_id)
        await ring.done()

    async def _renew_one(self, lease: Lease) -> None:
        with bulkhead("renew_failed", conversation=lease.conversation_id):
            try:
                if (await self._leases.renew(lease)).cancelled and self._holds(lease):
                    self._runner.cancel(lease.conversation_id)
            except LeaseLost:
                # A reply that is being stored finds out by itself, or has just ended the lease.
                if self._holds(lease) and not self._runner.is_ending(lease.conversation_id):
                    self._working[lease.conversation_id].cancel()

    def _holds(self, lease: Lease) -> bool:
        """Still, after a wait."""
        held = self._held.get(lease.conversation_id)
        return held is not None and (held.attempt, held.question) == (lease.attempt, lease.question)
