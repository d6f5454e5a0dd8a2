"""One other process: frames to its sockets, and what is asked of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx2
import structlog

from server.backends.peers.line import AWAY_SECONDS, Line
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

    A call that fails is lost: nobody knows what of it arrived. From then on what is for it waits, until it answers a
    knock, which tells it which turns to look at and which sockets missed something: one that is being started has
    sockets before it was ever called. Questions to one that is silent fail at once, so nobody waits for a dead one;
    questions that fail end questions for a while, and nothing else: it may only have been busy.
    """

    def __init__(
        self,
        url: str,
        http: httpx2.AsyncClient,
        gone: Callable[[Place], None],
        metrics: Metrics,
        *,
        window: float,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._url = url
        self._http = http
        self._gone = gone
        self._window = window
        self._patience = patience
        self._outbox = Outbox(metrics)
        self._pushes = Line(url, metrics, alone=AWAY_SECONDS)
        self._questions = Line(url, metrics)
        self._few = asyncio.Semaphore(ASKED_AT_ONCE)
        self._stirred = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._silent_since: float | None = None

    def put(self, parcel: Parcel) -> None:
        self._stirred.set()
        self._outbox.put(parcel)
        if self._silent_since is None:
            self._idle.clear()

    async def run(self) -> None:
        """Until nothing has come for long."""
        while await self._has_work():
            some = self._outbox.take() if self._silent_since is None else self._outbox.take_signs()
            try:
                with self._pushes.calling():
                    await self._post(some)
                self._silent_since = None
            except ServerError as error:
                self._outbox.lose(some)
                self._fall_silent(error)
            if self._silent_since is not None or not self._outbox:
                self._idle.set()
            else:
                self._idle.clear()
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
            if self._questions.rests() or self._silent_since is not None:
                raise Unavailable("This process does not answer just now.")
            with self._questions.calling():
                yield
        finally:
            self._few.release()

    async def _has_work(self) -> bool:
        """Once there is some, or it is time to knock; False if none came for long."""
        if self._silent_since is not None:
            await asyncio.sleep(self._pushes.rests())
            return True
        try:
            async with asyncio.timeout(None if self._outbox.has_work() else IDLE_SECONDS):
                while not self._outbox.has_work():
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            return self._outbox.has_work()
        return True

    async def _post(self, parcels: Sequence[Parcel]) -> bool:
        """Whether sockets are gone."""
        answer = await self._http.post(self._url + PUSHES, content=encode(parcels))
        answer.raise_for_status()
        gone = read_gone(answer.content)
        for person, connection_id in gone.connections:
            self._gone(Place(person, connection_id, self._url))
        return bool(gone.connections)

    def _fall_silent(self, error: ServerError) -> None:
        if self._silent_since is None:
            logger.warning("peer_failed", node=self._url, error=error.message)
            self._silent_since = time.monotonic()
        elif time.monotonic() > self._silent_since + self._patience:
            self._outbox.give_up()
            self._silent_since = None
