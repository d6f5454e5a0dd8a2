"""Which sockets a process pushes to, here and elsewhere."""

from __future__ import annotations

import time

from server.backends.memory import MemoryStore
from server.delivery.cluster import Cluster
from server.delivery.hub import Hub
from server.errors import Unavailable
from server.metrics import Metrics
from server.model import Frame, InboundMessage, Place, Snapshot
from tests.unit.wires import FakeWire, connection

HERE, THERE = "http://here:1", "http://there:1"
SO_FAR = Snapshot("c", 1, "m1", "so far")


class FakeNodes:
    """Implements the port Nodes, and keeps what it is told."""

    def __init__(self) -> None:
        self.pushed: list[tuple[Place, bytes, int]] = []
        self.looked: list[tuple[str, str]] = []
        self.dead = False

    def push(self, place: Place, frame: Frame, attempt: int) -> None:
        self.pushed.append((place, frame.data, attempt))

    async def replies(self, node: str, person: str) -> list[Snapshot]:
        if self.dead:
            raise Unavailable("dead")
        return [SO_FAR]

    def look(self, node: str, conversation_id: str) -> None:
        self.looked.append((node, conversation_id))


class Scene:
    def __init__(self) -> None:
        self.now = 0.0
        self.hub = Hub(Metrics())
        self.store = MemoryStore(lease_seconds=30, most_waiting=9)
        self.nodes = FakeNodes()
        self.cluster = Cluster(HERE, self.hub, self.store, self.nodes, clock=lambda: self.now)
        self.far = Place("anna", "far", THERE)

    async def begin(self) -> FakeWire:
        """One socket here, one there."""
        await self.cluster.begin()
        await self.store.beat(THERE, 60)
        await self.store.register(self.far, time.time() + 60)
        one, wire = connection()
        one.resume()
        self.hub.add(one)
        await self.cluster.join(one)
        return wire

    async def send(self, data: bytes, *, fresh: bool = True) -> None:
        for address in await self.cluster.of("anna", fresh=fresh):
            await self.cluster.push(address, Frame(data), 3)

    async def leased(self, owner: str) -> str:
        conversation = await self.store.current("anna", "websocket", "a")
        await self.store.accept(InboundMessage("anna", conversation.id, "m1", "hi"))
        await self.store.take(conversation.id, owner)
        return conversation.id


async def test_sockets_here_are_written_to_and_those_elsewhere_sent_to_once_each() -> None:
    scene = Scene()
    wire = await scene.begin()
    await scene.send(b"x")
    assert wire.frames == ["x"]
    assert scene.nodes.pushed == [(scene.far, b"x", 3)]


async def test_between_words_where_sockets_are_is_remembered_for_a_second() -> None:
    scene = Scene()
    await scene.begin()
    await scene.send(b"begin")
    await scene.store.unregister(scene.far)
    await scene.send(b"words", fresh=False)
    scene.now += 1
    await scene.send(b"more words", fresh=False)
    assert [data for _, data, _ in scene.nodes.pushed] == [b"begin", b"words"]


async def test_who_was_shown_a_snapshot_gets_the_next_words() -> None:
    scene = Scene()
    await scene.begin()
    await scene.send(b"begin")
    await scene.store.register(Place("anna", "new", THERE), time.time() + 60)
    scene.cluster.forget("anna")
    await scene.send(b"words", fresh=False)
    assert [place.connection_id for place, data, _ in scene.nodes.pushed if data == b"words"] == ["far", "new"]


async def test_a_registry_that_does_not_answer_stops_nobody() -> None:
    scene = Scene()
    wire = await scene.begin()
    await scene.send(b"one")

    async def down(person: str) -> list[Place]:
        raise Unavailable("down")

    scene.store.places = down  # type: ignore[method-assign]
    await scene.send(b"two")
    assert wire.frames == ["one", "two"]
    assert [data for _, data, _ in scene.nodes.pushed] == [b"one", b"two"]


async def test_the_owner_of_a_turn_is_asked_what_it_said_and_told_of_a_cancel() -> None:
    scene = Scene()
    conversation_id = await scene.leased(THERE)
    assert list(await scene.cluster.under_way("anna", conversation_id)) == [SO_FAR]
    await scene.cluster.alert(conversation_id)
    assert scene.nodes.looked == [(THERE, conversation_id)]
    scene.nodes.dead = True
    assert list(await scene.cluster.under_way("anna", conversation_id)) == []


async def test_nobody_is_asked_about_turns_of_this_process_or_of_none() -> None:
    scene = Scene()
    conversation_id = await scene.leased(HERE)
    for one in (conversation_id, "c_none"):
        assert list(await scene.cluster.under_way("anna", one)) == []
        await scene.cluster.alert(one)
    assert scene.nodes.looked == []


async def test_a_process_that_was_given_up_sends_its_sockets_away() -> None:
    scene = Scene()
    wire = await scene.begin()
    await scene.cluster.beat()
    assert wire.closed is None
    await scene.store.beat(HERE, 0)
    await scene.cluster.beat()
    assert wire.closed == (1012, "frames were lost; resume")
