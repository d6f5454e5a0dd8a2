"""One other process: frames to its sockets, and what is asked of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx2
import structlog

from server.backends.peers.line import Line
from server.backends.peers.outbox import Outbox
from server.backends.peers.parcels import PUSHES, REPLIES, Parcel, Push, encode, read_gone, read_snapshots
from server.errors import ConnectionGone, ServerError, Unavailable
from server.metrics import Metrics
from server.model import Place, Snapshot

logger = structlog.get_logger()

CALL_SECONDS = 2.0
# Questions at the same time: more would only wait over there.
ASKED_AT_ONCE = 8
# Long enough for a process to be taken for dead: then its sockets are no more, or sent away.
PATIENCE_SECONDS = 60.0
IDLE_SECONDS = 60.0


class Peer:
    """What is for it gathers while the last call lasts and for `window` seconds after it.

    After a call that failed it is left alone for a while, and what is for it meanwhile is lost; so nobody waits for a
    dead one. One that comes to life is told first which turns to look at, and which sockets missed something. Questions
    that fail end questions for a while, and nothing else: it may only have been busy.
    """

    def __init__(
        self,
        url: str,
        http: httpx2.AsyncClient,
        gone: Callable[[Place], None],
        metrics: Metrics,
        *,
        window: float,
    ) -> None:
        self._url = url
        self._http = http
        self._gone = gone
        self._window = window
        self._outbox = Outbox(metrics)
        self._pushes = Line(url, metrics)
        self._questions = Line(url, metrics)
        self._few = asyncio.Semaphore(ASKED_AT_ONCE)
        self._stirred = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failing_since: float | None = None

    def put(self, parcel: Parcel) -> None:
        self._stirred.set()
        if self._pushes.rests():
            self._outbox.lose([parcel])
        else:
            self._outbox.put(parcel)
            self._idle.clear()

    async def run(self) -> None:
        """Until nothing has come for long."""
        while await self._has_work():
            some = self._outbox.take()
            try:
                with self._pushes.calling():
                    await self._post(some)
                self._failing_since = None
            except ServerError as error:
                logger.warning("peer_failed", node=self._url, lost=len(some) + len(self._outbox), error=error.message)
                self._outbox.lose(some)
                self._outbox.lose_all()
                self._lose_patience()
            if not self._outbox or self._pushes.rests():
                self._idle.set()
            await asyncio.sleep(self._window)

    async def finish(self) -> None:
        """All that waits is on its way, or lost."""
        await self._idle.wait()

    async def replies(self, person: str) -> Sequence[Snapshot]:
        async with self._asking():
            answer = await self._http.get(f"{self._url}{REPLIES}/{quote(person, safe='')}")
            answer.raise_for_status()
            return read_snapshots(answer.content)

    async def hand(self, parcel: Push) -> None:
        """Past all that waits. Raises `ConnectionGone`; `Unavailable` where nobody knows whether it arrived."""
        async with self._asking():
            is_gone = await self._post([parcel])
        if is_gone:
            raise ConnectionGone(f"connection {parcel.connection_id} is closed")

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._few.acquire()
        except TimeoutError:
            raise Unavailable("This process is asked too much just now.") from None
        try:
            if self._questions.rests() or self._pushes.rests():
                raise Unavailable("This process does not answer just now.")
            with self._questions.calling():
                yield
        finally:
            self._few.release()

    async def _has_work(self) -> bool:
        """Once there is some, and it is not left alone; False if none came for long."""
        try:
            async with asyncio.timeout(None if self._outbox.has_work() else IDLE_SECONDS):
                while not self._outbox.has_work():
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            return self._outbox.has_work()
        await asyncio.sleep(self._pushes.rests())
        return True

    async def _post(self, parcels: Sequence[Parcel]) -> bool:
        """Whether sockets are gone."""
        answer = await self._http.post(self._url + PUSHES, content=encode(parcels))
        answer.raise_for_status()
        gone = read_gone(answer.content)
        for person, connection_id in gone.connections:
            self._gone(Place(person, connection_id, self._url))
        return bool(gone.connections)

    def _lose_patience(self) -> None:
        self._failing_since = self._failing_since or time.monotonic()
        if time.monotonic() > self._failing_since + PATIENCE_SECONDS:
            self._outbox.give_up()
