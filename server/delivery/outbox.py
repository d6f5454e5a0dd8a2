"""Replies out to phones: takes what is unsent, and has it sent, one reply of a conversation after another."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog

from server.bulkhead import bulkhead
from server.delivery.courier import DOUBT_SECONDS, Courier
from server.errors import ServerError
from server.model import Outgoing
from server.ports import Outbox

logger = structlog.get_logger()

# Providers take about one message a second from a number; more at once would only wait there.
AT_ONCE = 16
SWEEP_SECONDS = 5.0
SWEEP_MOST = 1_000
MOST_HINTS = 10_000
HAND_BACK_SECONDS = 3.0


class Dispatcher:
    """Runs until cancelled; then it lets go of what it holds. `at_once`: conversations that are sent to."""

    def __init__(
        self,
        outbox: Outbox,
        courier: Courier,
        *,
        owner: str,
        at_once: int = AT_ONCE,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._outbox = outbox
        self._courier = courier
        self._owner = owner
        self._slots = asyncio.Semaphore(at_once)
        self._sweep_seconds = sweep_seconds
        self._hints: asyncio.Queue[str] = asyncio.Queue(MOST_HINTS)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._hinted_again: set[str] = set()
        self._finding: list[asyncio.Task[None]] = []
        self._draining = False

    def look(self, conversation_id: str) -> None:
        """A reply was filed there. What a full queue leaves out, the sweep finds."""
        if conversation_id in self._sending:
            self._hinted_again.add(conversation_id)
            return
        with suppress(asyncio.QueueFull):
            self._hints.put_nowait(conversation_id)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._finding = [tasks.create_task(self._sweep(tasks)), tasks.create_task(self._listen(tasks))]

    async def drain(self, seconds: float) -> None:
        """Take nothing new, and wait for the replies under way, but not for longer than that."""
        self._draining = True
        for task in self._finding:
            task.cancel()
        if self._sending:
            await asyncio.wait(list(self._sending.values()), timeout=seconds)

    async def _listen(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._begin(await self._hints.get(), tasks)

    async def _sweep(self, tasks: asyncio.TaskGroup) -> None:
        """Find what was postponed, what a dead sender held, and what nobody told us of."""
        while True:
            with bulkhead("outbox_sweep_failed"):
                for conversation_id in await self._outbox.unsent(SWEEP_MOST):
                    await self._begin(conversation_id, tasks)
            await asyncio.sleep(self._sweep_seconds)

    async def _begin(self, conversation_id: str, tasks: asyncio.TaskGroup) -> None:
        await self._slots.acquire()
        if conversation_id in self._sending or self._draining:
            self._slots.release()
            return
        self._sending[conversation_id] = tasks.create_task(self._work(conversation_id))

    async def _work(self, conversation_id: str) -> None:
        try:
            # The loan runs out, and the sweep finds the conversation again.
            with bulkhead("sending_interrupted", conversation=conversation_id):
                await self._replies_of(conversation_id)
        finally:
            self._slots.release()
            del self._sending[conversation_id]
            if conversation_id in self._hinted_again:
                self._hinted_again.discard(conversation_id)
                self.look(conversation_id)

    async def _replies_of(self, conversation_id: str) -> None:
        outgoing = await self._unbroken(self._outbox.take_outgoing(conversation_id, self._owner))
        while outgoing is not None:
            if self._draining:
                await self._let_go(outgoing, 0)
                return
            outgoing = await self._send(outgoing)

    async def _send(self, outgoing: Outgoing) -> Outgoing | None:
        """The next, if this one is over and there is one."""
        try:
            delay = await self._courier.deliver(outgoing)
        except asyncio.CancelledError:
            await self._let_go(outgoing, DOUBT_SECONDS)
            raise
        if delay is None:
            return await self._unbroken(self._outbox.sent(outgoing))
        return await self._unbroken(self._outbox.postpone(outgoing, delay))

    async def _unbroken(self, step: Coroutine[Any, Any, Outgoing | None]) -> Outgoing | None:
        """Cancelled, what the store is being told takes effect there anyhow: that is waited for, and what it lends is
        let go of.
        """
        task = asyncio.create_task(step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=HAND_BACK_SECONDS)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None and (lent := task.result()) is not None:
                await self._let_go(lent, 0)
            raise

    async def _let_go(self, outgoing: Outgoing, seconds: float) -> None:
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS):
                await self._outbox.postpone(outgoing, seconds)
        except (ServerError, TimeoutError):
            logger.info("hand_back_failed", conversation=outgoing.conversation_id)
