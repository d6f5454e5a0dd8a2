"""Frames to the sockets of other processes, and what is asked of these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import httpx2

from server.backends.peers.parcels import Look, push
from server.backends.peers.peer import CALL_SECONDS, Peer
from server.bulkhead import bulkhead
from server.errors import Unavailable
from server.metrics import Metrics
from server.model import Frame, Place, Snapshot

FAREWELL_SECONDS = 2.0
# Shorter than a server keeps a silent connection open: no call finds it just closed.
KEPT_SECONDS = 3.0

Forget: TypeAlias = Callable[[Place], Awaitable[None]]


class Peers:
    """Implements the port Nodes."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        tasks: asyncio.TaskGroup,
        forget: Forget,
        metrics: Metrics,
        *,
        window: float,
    ) -> None:
        self._http = http
        self._tasks = tasks
        self._forget = forget
        self._metrics = metrics
        self._window = window
        self._peers: dict[str, Peer] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._forgetting: set[Place] = set()
        self._closed = False

    def push(self, place: Place, frame: Frame, attempt: int) -> None:
        if not self._closed:
            self._peer(place.node).put(push(place, frame, attempt))

    async def hand(self, place: Place, frame: Frame) -> None:
        await self._open_peer(place.node).hand(push(place, frame, 0))

    async def replies(self, node: str, person: str) -> Sequence[Snapshot]:
        return await self._open_peer(node).replies(person)

    def look(self, node: str, conversation_id: str) -> None:
        if not self._closed:
            self._peer(node).put(Look(conversation_id))

    async def close(self) -> None:
        """What waits is still sent, within a moment; what sockets ask for while the process ends, no more."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await asyncio.gather(*(peer.finish() for peer in self._peers.values()))
        for task in self._running:
            task.cancel()

    def _open_peer(self, node: str) -> Peer:
        if self._closed:
            raise Unavailable("This process is about to end.")
        return self._peer(node)

    def _peer(self, node: str) -> Peer:
        peer = self._peers.get(node)
        if peer is None:
            peer = self._peers[node] = Peer(node, self._http, self._gone, self._metrics, window=self._window)
            task = self._tasks.create_task(self._run(node, peer))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return peer

    async def _run(self, node: str, peer: Peer) -> None:
        try:
            await peer.run()
        finally:
            del self._peers[node]

    def _gone(self, place: Place) -> None:
        """Beside the pushes: those of others need not wait for it."""
        if place not in self._forgetting:
            self._forgetting.add(place)
            self._tasks.create_task(self._let_go(place))

    async def _let_go(self, place: Place) -> None:
        try:
            # Where that fails, the next push finds it gone again.
            with bulkhead("forget_failed"):
                await self._forget(place)
        finally:
            self._forgetting.discard(place)


@asynccontextmanager
async def open_peers(secret: str, forget: Forget, metrics: Metrics, *, window: float) -> AsyncIterator[Peers]:
    """Open until the block ends. `forget` is told of places whose socket is no more."""
    limits = httpx2.Limits(keepalive_expiry=KEPT_SECONDS)
    headers = {"authorization": f"Bearer {secret}"}
    # No proxy of the environment is between processes of one cluster.
    client = httpx2.AsyncClient(headers=headers, timeout=CALL_SECONDS, limits=limits, trust_env=False)
    async with client as http, asyncio.TaskGroup() as tasks:
        peers = Peers(http, tasks, forget, metrics, window=window)
        try:
            yield peers
        finally:
            await peers.close()
