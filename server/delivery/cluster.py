"""This process among others: whose sockets are where, and who is at work on what."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from weakref import WeakValueDictionary

import structlog

from server.bulkhead import bulkhead
from server.delivery.connection import Connection
from server.delivery.hub import Hub
from server.errors import ConnectionGone, ServerError
from server.model import Frame, Place, Principal, Snapshot
from server.ports import Members, Nodes, Registry

logger = structlog.get_logger()

BEAT_SECONDS = 5.0
DEAD_SECONDS = 20.0
FAREWELL_SECONDS = 2.0
# Words are for sockets that were shown the beginning of their reply, or a snapshot: then they are known, see `forget`.
REMEMBERED_SECONDS = 10.0
MOST_REMEMBERED = 10_000
SERVICE_RESTART = 1012
# Sockets that are sent away come back spread over this time.
SPREAD_SECONDS = 5.0
SPREAD_STEP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry said of a person to the look-up of this number."""

    number: int
    until: float
    addresses: Sequence[str] = ()


class Cluster:
    """Implements the ports Connections and Pusher over all processes. A socket elsewhere has an address that says
    where: `connection id|node|person`. `disconnecting` tells a client in how many milliseconds to come back.
    """

    def __init__(
        self,
        node: str,
        hub: Hub,
        registry: Registry,
        members: Members,
        nodes: Nodes,
        disconnecting: Callable[[int], Frame],
        clock: Callable[[], float] = time.monotonic,
        *,
        spread_seconds: float = SPREAD_SECONDS,
    ) -> None:
        self.node = node
        self._hub = hub
        self._registry = registry
        self._members = members
        self._nodes = nodes
        self._disconnecting = disconnecting
        self._clock = clock
        self._spread_seconds = spread_seconds
        self._known: dict[str, Known] = {}
        self._look_ups = 0
        self._heard_at = float("-inf")
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

    async def within_reach(self, person: str) -> Sequence[str]:
        """What `of` says, without the sockets of processes that do not answer: of one that was killed, nobody is told
        before its beats have been missing for long.
        """
        addresses = await self.of(person)
        nodes = [*{node_of(one) for one in addresses} - {""}]
        answers = await asyncio.gather(*(self._answers(node, person) for node in nodes))
        silent = {node for node, answer in zip(nodes, answers, strict=True) if not answer}
        return [one for one in addresses if node_of(one) not in silent]

    async def _answers(self, node: str, person: str) -> bool:
        try:
            await self._nodes.replies(node, person)
        except ServerError:
            return False
        return True

    async def hand(self, connection_id: str, frame: Frame) -> None:
        """To that socket, whoever holds it; it has the frame when this returns. Raises `ConnectionGone`, and
        `Unavailable` where nobody can tell.
        """
        if self._hub.holds(connection_id):
            await self._hub.push(connection_id, frame)
            return
        place = await self._registry.place(connection_id)
        if place is None:
            raise ConnectionGone(f"connection {connection_id} is closed")
        if place.node == self.node:
            await self._registry.unregister(place)
            raise ConnectionGone(f"connection {connection_id} is closed")
        await self._nodes.hand(place, frame)

    def forget(self, person: str) -> None:
        """A socket was opened since: what is sent from now on goes there too."""
        known = self._known.get(person)
        self._remember(person, Known(self._look_ups, float("-inf"), known.addresses if known else ()))

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
        elsewhere = [address_of(one) for one in places if one.node != self.node]
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

    async def join(self, connection: Connection, who: Principal) -> None:
        """Everybody sends it what is its person's, from now on until `who` expires. Raises `Unavailable`."""
        await self._registry.register(self._place(connection), who.expires_at_seconds)

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
            owner = await self._members.owner(conversation_id)
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
            owner = await self._members.owner(conversation_id)
        except ServerError as error:
            logger.warning("owner_unknown", code=error.code)
            return
        if owner is not None and owner != self.node:
            self._nodes.look(owner, conversation_id)

    # --- life ---

    async def begin(self) -> None:
        """What a process of this address held before is no more."""
        await self._members.beat(self.node, 0)
        self._heard_at = self._clock()
        await self._members.beat(self.node, DEAD_SECONDS)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with bulkhead("beat_failed"):
                await self.beat()

    async def beat(self) -> None:
        """A process that has not heard for long that it is known was given up, whatever it hears now: a beat in between
        may have made it known again.
        """
        began, heard_at = self._clock(), self._heard_at
        is_known = await self._members.beat(self.node, DEAD_SECONDS)
        self._heard_at = began
        if not is_known or self._clock() - heard_at > DEAD_SECONDS:
            await self._given_up()

    async def end(self) -> None:
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._members.beat(self.node, 0)
        except (ServerError, TimeoutError) as error:
            logger.info("farewell_failed", error=type(error).__name__)

    async def _given_up(self) -> None:
        """The others took this process for dead, and sent nothing to its sockets: these come back and resume, but not
        all at once.
        """
        logger.warning("was_given_up", connections=len(self._hub))
        leaving = sorted(((random.uniform(0, self._spread_seconds), one) for one in self._hub), key=itemgetter(0))  # noqa: S311
        for after, connection in leaving:
            connection.offer(self._disconnecting(int(after * 1000)))
        began = time.monotonic()
        for after, connection in leaving:
            if (early := began + after - time.monotonic()) > SPREAD_STEP_SECONDS:
                await asyncio.sleep(early)
            connection.wire.close(SERVICE_RESTART, "frames were lost; resume")


def address_of(place: Place) -> str:
    return f"{place.connection_id}|{place.node}|{place.person}"


def node_of(address: str) -> str:
    """Empty for a socket here."""
    return address.split("|", 2)[1] if "|" in address else ""
