"""Which sockets a process pushes to, here and elsewhere."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from server.backends.memory import MemoryStore
from server.delivery.cluster import DEAD_SECONDS, REMEMBERED_SECONDS, SPREAD_STEP_SECONDS, Cluster
from server.delivery.hub import Hub
from server.errors import ConnectionGone, Unavailable
from server.metrics import Metrics
from server.model import Frame, InboundMessage, Place, Snapshot
from tests.unit.wires import FakeWire, connection

HERE, THERE = "http://here:1", "http://there:1"
SPREAD_SECONDS = 0.5
SO_FAR = Snapshot("c", 1, "m1", "so far")


class FakeNodes:
    """Implements the port Nodes, and keeps what it is told."""

    def __init__(self) -> None:
        self.pushed: list[tuple[Place, bytes, int]] = []
        self.looked: list[tuple[str, str]] = []
        self.handed: list[tuple[Place, bytes]] = []
        self.dead = False

    def push(self, place: Place, frame: Frame, attempt: int) -> None:
        self.pushed.append((place, frame.data, attempt))

    async def hand(self, place: Place, frame: Frame) -> None:
        if self.dead:
            raise Unavailable("dead")
        self.handed.append((place, frame.data))

    async def replies(self, node: str, person: str) -> list[Snapshot]:
        if self.dead:
            raise Unavailable("dead")
        return [SO_FAR]

    def look(self, node: str, conversation_id: str) -> None:
        self.looked.append((node, conversation_id))


class Mumbling(MemoryStore):
    """While it `mumbles`, it does what it is told, and nobody hears so."""

    mumbles = False

    async def beat(self, node: str, seconds: float) -> bool:
        was_known = await super().beat(node, seconds)
        if self.mumbles:
            raise Unavailable("mumble")
        return was_known


class Scene:
    def __init__(self) -> None:
        self.now = 0.0
        self.hub = Hub(Metrics())
        self.store = Mumbling(lease_seconds=30, most_waiting=9)
        self.nodes = FakeNodes()
        self.cluster = Cluster(
            HERE,
            self.hub,
            self.store,
            self.store,
            self.nodes,
            lambda after_ms: Frame(b"%d" % after_ms),
            clock=lambda: self.now,
            spread_seconds=SPREAD_SECONDS,
        )
        self.far = Place("anna", "far", THERE)

    async def begin(self) -> FakeWire:
        """One socket here, one there."""
        await self.cluster.begin()
        await self.store.beat(THERE, 60)
        await self.store.register(self.far, time.time() + 60)
        one, wire = connection()
        one.resume()
        self.hub.add(one)
        await self.cluster.join(one, one.who)
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


async def test_between_words_where_sockets_are_is_remembered_for_a_while() -> None:
    scene = Scene()
    await scene.begin()
    await scene.send(b"begin")
    await scene.store.unregister(scene.far)
    await scene.send(b"words", fresh=False)
    scene.now += REMEMBERED_SECONDS
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


async def test_a_socket_is_found_whoever_holds_it() -> None:
    scene = Scene()
    wire = await scene.begin()
    for connection_id in ("k", "far"):
        await scene.cluster.hand(connection_id, Frame(b"x"))
    assert wire.frames == ["x"]
    assert scene.nodes.handed == [(scene.far, b"x")]
    scene.nodes.dead = True
    with pytest.raises(Unavailable):
        await scene.cluster.hand("far", Frame(b"x"))


async def test_a_socket_that_left_without_a_word_is_gone_and_forgotten() -> None:
    scene = Scene()
    await scene.begin()
    await scene.store.register(Place("anna", "left", HERE), time.time() + 60)
    for connection_id in ("left", "unknown"):
        with pytest.raises(ConnectionGone):
            await scene.cluster.hand(connection_id, Frame(b"x"))
    assert await scene.store.place("left") is None


async def test_sockets_of_a_process_that_does_not_answer_are_out_of_reach() -> None:
    scene = Scene()
    await scene.begin()
    assert list(await scene.cluster.within_reach("anna")) == list(await scene.cluster.of("anna")) != ["k"]
    scene.nodes.dead = True
    assert list(await scene.cluster.within_reach("anna")) == ["k"]


async def test_a_registry_that_does_not_answer_stops_nobody() -> None:
    scene = Scene()
    wire = await scene.begin()
    await scene.send(b"one")

    async def down(person: str) -> list[Place]:
        raise Unavailable("down")

    scene.store.places = down  # type: ignore[method-assign]
    await scene.send(b"two")
    scene.cluster.forget("anna")
    await scene.send(b"three")
    assert wire.frames == ["one", "two", "three"]
    assert [data for _, data, _ in scene.nodes.pushed] == [b"one", b"two", b"three"]


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


async def test_a_process_that_slept_and_did_not_hear_that_it_had_been_given_up_finds_out_by_itself() -> None:
    scene = Scene()
    wire = await scene.begin()
    scene.now += DEAD_SECONDS - 1
    await scene.cluster.beat()
    assert wire.closed is None
    scene.now += DEAD_SECONDS + 1
    await scene.store.beat(HERE, 0)
    scene.store.mumbles = True
    with pytest.raises(Unavailable):
        await scene.cluster.beat()
    scene.store.mumbles = False
    await scene.cluster.beat()
    assert wire.closed == (1012, "frames were lost; resume")


async def test_it_sends_them_away_one_after_another_and_says_when_to_come_back() -> None:
    scene = Scene()
    await scene.begin()
    await scene.store.beat(HERE, 0)
    sockets = [connection(f"k{number}") for number in range(100)]
    for one, _ in sockets:
        one.resume()
        scene.hub.add(one)
    wires = [wire for _, wire in sockets]
    left = []
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        leaving = tasks.create_task(scene.cluster.beat())
        while not leaving.done():
            left.append(sum(wire.closed is not None for wire in wires))
            await asyncio.sleep(SPREAD_SECONDS / 10)
    assert left[0] == 0
    assert max(now - before for before, now in pairwise([*left, 100])) < 60
    assert {wire.closed for wire in wires} == {(1012, "frames were lost; resume")}
    told = [int(frame) for wire in wires for frame in wire.frames]
    assert len(told) == 100
    early = [began + after / 1000 - wire.closed_at for after, wire in zip(told, wires, strict=True)]
    assert max(early) <= SPREAD_STEP_SECONDS
    assert 0 <= min(told) < 150 < 350 < max(told) <= 500
