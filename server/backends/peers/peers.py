"""Frames to the sockets of other processes, and what is asked of these."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeAlias
from urllib.parse import quote

import httpx2
import msgspec
import structlog

from server.backends.peers.parcels import (
    PUSHES,
    REPLIES,
    Look,
    Parcel,
    encode,
    push,
    read_gone,
    read_snapshots,
)
from server.errors import ServerError, Unavailable
from server.model import Frame, Place, Snapshot

logger = structlog.get_logger()

CALL_SECONDS = 2.0
ALONE_SECONDS = 3.0
IDLE_SECONDS = 60.0
FAREWELL_SECONDS = 2.0
MOST_WAITING = 20_000
MOST_AT_ONCE = 2_000
# Shorter than a server keeps a silent connection open: no call finds it just closed.
KEPT_SECONDS = 3.0

Forget: TypeAlias = Callable[[Place], Awaitable[None]]


class Peer:
    """One other process. What is for it gathers while the last call lasts and for `window` seconds after it.

    After a call that failed it is left alone for a while, and what is for it meanwhile is lost: the sockets there
    notice what they missed. So a dead one costs one time-out at a time, and nobody waits for it.
    """

    def __init__(self, url: str, http: httpx2.AsyncClient, forget: Forget, *, window: float) -> None:
        self._url = url
        self._http = http
        self._forget = forget
        self._window = window
        self._waiting: list[Parcel] = []
        self._stirred = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._alone_until = float("-inf")

    def put(self, parcel: Parcel) -> None:
        if self._is_left_alone() or len(self._waiting) >= MOST_WAITING:
            return
        self._waiting.append(parcel)
        self._idle.clear()
        self._stirred.set()

    async def run(self) -> None:
        """Until nothing has come for long."""
        while await self._has_work():
            some, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                await self._post(some)
            except ServerError as error:
                logger.warning("peer_failed", node=self._url, lost=len(some) + len(self._waiting), error=error.message)
                self._waiting.clear()
            if not self._waiting:
                self._idle.set()
            await asyncio.sleep(self._window)

    async def finish(self) -> None:
        """All that waits is on its way, or lost."""
        await self._idle.wait()

    async def replies(self, person: str) -> Sequence[Snapshot]:
        if self._is_left_alone():
            raise Unavailable("This process does not answer just now.")
        with self._calling():
            answer = await self._http.get(f"{self._url}{REPLIES}/{quote(person, safe='')}")
            answer.raise_for_status()
            return read_snapshots(answer.content)

    async def _has_work(self) -> bool:
        try:
            async with asyncio.timeout(None if self._waiting else IDLE_SECONDS):
                while not self._waiting:
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            return bool(self._waiting)
        return True

    async def _post(self, parcels: Sequence[Parcel]) -> None:
        with self._calling():
            answer = await self._http.post(self._url + PUSHES, content=encode(parcels))
            answer.raise_for_status()
            gone = read_gone(answer.content)
        for person, connection_id in gone.connections:
            try:
                await self._forget(Place(person, connection_id, self._url))
            except ServerError as error:
                logger.info("forget_failed", code=error.code)

    def _is_left_alone(self) -> bool:
        return time.monotonic() < self._alone_until

    @contextmanager
    def _calling(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.HTTPError, msgspec.MsgspecError) as error:
            self._alone_until = time.monotonic() + ALONE_SECONDS
            raise Unavailable(f"{self._url} does not answer ({type(error).__name__})") from error


class Peers:
    """Implements the port Nodes."""

    def __init__(self, http: httpx2.AsyncClient, tasks: asyncio.TaskGroup, forget: Forget, *, window: float) -> None:
        self._http = http
        self._tasks = tasks
        self._forget = forget
        self._window = window
        self._peers: dict[str, Peer] = {}
        self._running: set[asyncio.Task[None]] = set()

    def push(self, place: Place, frame: Frame, attempt: int) -> None:
        self._peer(place.node).put(push(place, frame, attempt))

    async def replies(self, node: str, person: str) -> Sequence[Snapshot]:
        return await self._peer(node).replies(person)

    def look(self, node: str, conversation_id: str) -> None:
        self._peer(node).put(Look(conversation_id))

    async def close(self) -> None:
        """What waits is still sent, within a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await asyncio.gather(*(peer.finish() for peer in self._peers.values()))
        for task in self._running:
            task.cancel()

    def _peer(self, node: str) -> Peer:
        peer = self._peers.get(node)
        if peer is None:
            peer = self._peers[node] = Peer(node, self._http, self._forget, window=self._window)
            task = self._tasks.create_task(self._run(node, peer))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return peer

    async def _run(self, node: str, peer: Peer) -> None:
        try:
            await peer.run()
        finally:
            del self._peers[node]


@asynccontextmanager
async def open_peers(secret: str, forget: Forget, *, window: float) -> AsyncIterator[Peers]:
    """Open until the block ends. `forget` is told of places whose socket is no more."""
    limits = httpx2.Limits(keepalive_expiry=KEPT_SECONDS)
    headers = {"authorization": f"Bearer {secret}"}
    # No proxy of the environment is between processes of one cluster.
    client = httpx2.AsyncClient(headers=headers, timeout=CALL_SECONDS, limits=limits, trust_env=False)
    async with client as http, asyncio.TaskGroup() as tasks:
        peers = Peers(http, tasks, forget, window=window)
        try:
            yield peers
        finally:
            await peers.close()
