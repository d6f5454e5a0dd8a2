"""This process among others: whose sockets are where, and who is at work on what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import structlog

from server.delivery.connection import Connection
from server.delivery.hub import Hub
from server.errors import ServerError
from server.model import Frame, Place, Snapshot
from server.ports import Nodes, Registry

logger = structlog.get_logger()

BEAT_SECONDS = 5.0
DEAD_SECONDS = 20.0
REMEMBERED_SECONDS = 1.0
MOST_REMEMBERED = 10_000
SERVICE_RESTART = 1012


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry said of a person to the look-up of this number."""

    number: int
    until: float
    addresses: Sequence[str] = ()


class Cluster:
    """Implements the ports Connections and Pusher over all processes. A socket elsewhere has an address that says
    where: `connection id|node|person`.
    """

    def __init__(
        self,
        node: str,
        hub: Hub,
        registry: Registry,
        nodes: Nodes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self._hub = hub
        self._registry = registry
        self._nodes = nodes
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._look_ups = 0
        self._in_turn: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # --- Connections and Pusher ---

    async def of(self, person: str, *, fresh: bool = True) -> Sequence[str]:
        """Answers come in the order of the calls: so no words overtake others on their way through the registry."""
        lock = self._in_turn.get(person)
        if lock is None:
            lock = self._in_turn[person] = asyncio.Lock()
        async with lock:
            elsewhere = await self._elsewhere(person, fresh=fresh)
            return (*await self._hub.of(person), *elsewhere)

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        here, _, there = connection_id.partition("|")
        if not there:
            await self._hub.push(here, frame, attempt)
            return
        node, _, person = there.partition("|")
        self._nodes.push(Place(person, here, node), frame, attempt)

    def forget(self, person: str) -> None:
        """A socket was opened since: what is sent from now on goes there too."""
        self._remember(person, Known(self._look_ups, until=float("-inf")))

    async def _elsewhere(self, person: str, *, fresh: bool) -> Sequence[str]:
        """What the registry does not tell is as it was last time: sockets notice what they miss."""
        known = self._known.get(person)
        if known is not None and not fresh and known.until > self._clock():
            return known.addresses
        try:
            return await self._look_up(person)
        except ServerError as error:
            logger.warning("sockets_unknown", code=error.code)
            return known.addresses if known else ()

    async def _look_up(self, person: str) -> Sequence[str]:
        self._look_ups += 1
        number = self._look_ups
        places = await self._registry.places(person)
        elsewhere = [f"{one.connection_id}|{one.node}|{person}" for one in places if one.node != self.node]
        known = self._known.get(person)
        if known is None or known.number < number:
            self._remember(person, Known(number, self._clock() + REMEMBERED_SECONDS, elsewhere))
        return elsewhere

    def _remember(self, person: str, known: Known) -> None:
        self._known.pop(person, None)
        self._known[person] = known
        if len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]

    # --- sockets of this process ---

    async def join(self, connection: Connection) -> None:
        """Everybody sends it what is its person's, from now on."""
        await self._registry.register(self._place(connection), connection.who.expires_at_seconds)

    async def leave(self, connection: Connection) -> None:
        try:
            await self._registry.unregister(self._place(connection))
        except ServerError as error:
            # Whoever pushes there next is told that it is gone.
            logger.info("unregister_failed", code=error.code)

    def _place(self, connection: Connection) -> Place:
        return Place(connection.who.person, connection.id, self.node)

    # --- turns of other processes ---

    async def under_way(self, person: str, conversation_id: str) -> Sequence[Snapshot]:
        """What was said so far by the process that answers in this conversation, if that is another one."""
        try:
            owner = await self._registry.owner(conversation_id)
            if owner is None or owner == self.node:
                return ()
            return await self._nodes.replies(owner, person)
        except ServerError as error:
            # Without its beginning, the reply is shown when it is whole.
            logger.warning("replies_unknown", conversation=conversation_id, code=error.code)
            return ()

    async def alert(self, conversation_id: str) -> None:
        """Let another process that answers there know at once that it may have to stop; it would find out by itself."""
        try:
            owner = await self._registry.owner(conversation_id)
        except ServerError as error:
            logger.warning("owner_unknown", code=error.code)
            return
        if owner is not None and owner != self.node:
            self._nodes.look(owner, conversation_id)

    # --- life ---

    async def begin(self) -> None:
        await self._registry.beat(self.node, DEAD_SECONDS)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self.beat()
            except ServerError as error:
                logger.warning("beat_failed", code=error.code)

    async def beat(self) -> None:
        if not await self._registry.beat(self.node, DEAD_SECONDS):
            self._given_up()

    async def end(self) -> None:
        try:
            await self._registry.beat(self.node, 0)
        except ServerError as error:
            logger.info("farewell_failed", code=error.code)

    def _given_up(self) -> None:
        """The others took this process for dead, and sent nothing to its sockets: these come back and resume."""
        logger.warning("was_given_up", connections=len(self._hub))
        for connection in self._hub:
            connection.wire.close(SERVICE_RESTART, "frames were lost; resume")
