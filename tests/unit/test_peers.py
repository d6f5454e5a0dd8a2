"""Frames to another process: together, in order, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest
import structlog

from server.backends.peers import Peers, open_peers
from server.backends.peers.line import ALONE_SECONDS, AWAY_SECONDS
from server.backends.peers.outbox import ENOUGH_BYTES, MOST_AT_ONCE, MOST_LOOKS, MOST_WAITING, Outbox
from server.backends.peers.parcels import CALL_BYTES, Gone, Look, Missed, Push, encode, push, read_parcels
from server.backends.peers.peer import ASKED_AT_ONCE, CALL_SECONDS, Peer
from server.errors import ConnectionGone, Unavailable
from server.metrics import Metrics
from server.model import Frame, Place, Snapshot
from tests.ports import quiet_port

SECRET = "s" * 32


class Node:
    """Another process. It answers what the test says; `calls` are the heads and bodies that came."""

    def __init__(self) -> None:
        self.answer: bytes | None = encode(Gone([]))
        self.calls: list[tuple[str, bytes]] = []
        self.connections = 0
        self.url = ""
        self.status = b"200 OK"
        self.free = asyncio.Event()
        self.free.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line.split(":")[1]) for line in asked.splitlines() if "ength:" in line), 0)
                self.calls.append((asked, await reader.readexactly(length)))
                await self.free.wait()
                if self.answer is None:
                    break
                head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n" % (self.status, len(self.answer))
                writer.write(head + self.answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def pushed(self) -> list[list[str]]:
        """The frames of each call."""
        return [
            [one.data.decode() if isinstance(one, Push) else one.conversation_id for one in read_parcels(body)]
            for head, body in self.calls
            if head.startswith("POST")
        ]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)

    def place(self, connection_id: str = "k") -> Place:
        return Place("anna", connection_id, self.url)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


async def ignore(place: Place) -> None:
    """A socket that is gone."""


@asynccontextmanager
async def peers(
    forget: Callable[[Place], Awaitable[None]] = ignore, metrics: Metrics | None = None
) -> AsyncIterator[Peers]:
    async with open_peers(SECRET, forget, metrics or Metrics(), window=0.02) as opened:
        yield opened


def figure(metrics: Metrics, name: str) -> float:
    [line] = [line for line in metrics.text().decode().splitlines() if line.startswith(f"switchboard_{name}_total ")]
    return float(line.split()[1])


async def test_what_gathers_goes_together_in_order_over_one_connection(node: Node) -> None:
    node.free.clear()
    async with peers() as ours:
        ours.push(node.place(), Frame(b"0"), 1)
        await node.until(lambda: len(node.calls) == 1)
        for number in range(1, 100):
            ours.push(node.place(), Frame(str(number).encode()), 1)
        ours.look(node.url, "c_1")
        node.free.set()
    assert node.pushed() == [["0"], ["c_1", *map(str, range(1, 100))]]
    assert node.connections == 1
    assert all(f"authorization: Bearer {SECRET}" in head for head, _ in node.calls)


async def test_a_frame_arrives_as_it_was(node: Node) -> None:
    sent = Frame(b"words", "c", 3, 1, delta=True, at=2, end=7, rich=lambda: b"<p>", through=2)
    async with peers() as ours:
        ours.push(node.place(), sent, 4)
    [parcel] = read_parcels(node.calls[0][1])
    assert isinstance(parcel, Push)
    got = parcel.frame()
    assert (parcel.connection_id, parcel.person, parcel.attempt) == ("k", "anna", 4)
    assert (got.data, got.conversation_id, got.offset, got.turn, got.delta) == (b"words", "c", 3, 1, True)
    assert (got.at, got.end, got.rich and got.rich(), got.through) == (2, 7, b"<p>", 2)


@pytest.mark.parametrize("hangs", [False, True])
async def test_what_is_for_a_dead_process_waits_within_bounds_and_is_waited_for_by_nobody(
    node: Node, hangs: bool
) -> None:
    node.answer = None
    if hangs:
        node.free.clear()
    metrics = Metrics()
    async with peers(metrics=metrics) as ours:
        ours.push(node.place(), Frame(b"lost"), 1)
        await node.until(lambda: bool(node.calls))
        began = asyncio.get_running_loop().time()
        for _ in range(MOST_WAITING + 5):
            ours.push(node.place(), Frame(b"waits"), 1)
        await node.until(lambda: figure(metrics, "peer_failures") >= 2)
        assert asyncio.get_running_loop().time() - began < 2 * CALL_SECONDS + 1
        assert node.pushed() == [["lost"], []]
        asked = len(node.calls)
        with pytest.raises(Unavailable):
            await ours.replies(node.url, "anna")
        assert not any(head.startswith("GET") for head, _ in node.calls[asked:])
        assert figure(metrics, "lost_frames") == 1 + 5
        ends = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - ends < 1
    node.free.set()


async def test_a_process_that_comes_back_is_told_what_it_missed_and_gets_what_waits(node: Node) -> None:
    node.answer = None
    async with peers() as ours:
        ours.push(node.place("k1"), Frame(b"lost in the call", "c", 4), 0)
        await node.until(lambda: len(node.calls) == 1)
        await asyncio.sleep(0.05)
        ours.push(node.place("k2"), Frame(b"waits", "d", 2, 1), 1)
        ours.push(node.place("k3"), Frame(b"words", "c", turn=4, delta=True), 1)
        ours.look(node.url, "c_cancelled")
        node.calls.clear()
        node.answer = encode(Gone([]))
        await node.until(lambda: len(node.calls) == 2)
    told, after, *_ = (read_parcels(body) for head, body in node.calls if head.startswith("POST"))
    assert list(told) == [Look("c_cancelled"), Missed("k1", "c")]
    assert [one.data for one in after if isinstance(one, Push)] == [b"waits", b"words"]


async def test_a_socket_of_a_process_that_was_called_too_early_misses_nothing(node: Node) -> None:
    """Its port is open before it answers."""
    node.free.clear()
    async with peers() as ours:
        ours.push(node.place("old"), Frame(b"lost"), 1)
        await node.until(lambda: len(node.calls) == 2)
        ours.push(node.place("new"), Frame(b"hello"), 1)
        began = asyncio.get_running_loop().time()
        node.free.set()
        await node.until(lambda: len(node.calls) == 3)
        assert asyncio.get_running_loop().time() - began < AWAY_SECONDS
    assert node.pushed() == [["lost"], [], ["hello"]]


async def test_a_process_that_stays_away_is_given_up(node: Node) -> None:
    node.answer = None
    metrics = Metrics()
    async with httpx2.AsyncClient() as http:
        peer = Peer(node.url, http, lambda _place: None, metrics, window=0.02, patience=0.2)
        running = asyncio.create_task(peer.run())
        peer.put(parcel(5))
        await node.until(lambda: figure(metrics, "peer_failures") == 1)
        peer.put(parcel(5))
        await node.until(lambda: figure(metrics, "lost_frames") == 2)
        node.answer = encode(Gone([]))
        peer.put(parcel(3))
        await node.until(lambda: node.pushed()[-1] == ["xxx"])
        running.cancel()
    assert node.pushed() == [["xxxxx"], [], ["xxx"]]


async def test_a_process_that_is_being_restarted_is_called_again_soon() -> None:
    again = Node()
    port = quiet_port()
    again.url = f"http://127.0.0.1:{port}"
    async with peers() as ours:
        ours.push(again.place(), Frame(b"lost", "c", 1), 1)
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        server = await asyncio.start_server(again.serve, "127.0.0.1", port)
        await again.until(lambda: bool(again.calls))
        assert asyncio.get_running_loop().time() - began < ALONE_SECONDS / 2
    server.close()
    assert list(read_parcels(again.calls[0][1])) == [Missed("k", "c")]


async def test_a_secret_that_is_another_is_named(node: Node) -> None:
    node.status = b"403 Forbidden"
    with structlog.testing.capture_logs() as said:
        async with peers() as ours:
            ours.push(node.place(), Frame(b"x"), 1)
            await node.until(lambda: bool(said))
    assert "CLUSTER_SECRET" in said[0]["error"]


async def test_an_address_that_is_none_harms_nobody(node: Node) -> None:
    async with peers() as ours:
        ours.push(Place("anna", "k", "http://10.0.0.1:port"), Frame(b"x"), 1)
        ours.push(node.place(), Frame(b"y"), 1)
        await node.until(lambda: bool(node.calls))
        with pytest.raises(Unavailable):
            await ours.replies("http://10.0.0.1:port", "anna")


def test_what_waits_is_bounded_in_number_and_bytes_and_goes_in_parts() -> None:
    metrics = Metrics()
    box = Outbox(metrics)
    for _ in range(MOST_WAITING + 5):
        box.put(parcel(10))
    assert (len(box), figure(metrics, "lost_frames")) == (MOST_WAITING, 5)
    assert len(box.take()) == MOST_AT_ONCE
    while box.has_work():
        box.take()
    for _ in range(100):
        box.put(parcel(ENOUGH_BYTES))
    assert len(box) < 20
    assert len(encode(box.take())) < CALL_BYTES
    box.put(parcel(CALL_BYTES))
    assert figure(metrics, "lost_frames") > 80


def test_looks_are_kept_once_each_and_not_without_bound() -> None:
    box = Outbox(Metrics())
    for number in range(MOST_LOOKS + 5):
        box.put(Look(f"c_{number}"))
        box.lose([Look(f"c_{number}")])
    assert list(box.take()) == [Look(f"c_{number}") for number in range(5, MOST_LOOKS + 5)]
    assert not box.has_work()


def parcel(size: int) -> Push:
    return push(Place("anna", "k", "n"), Frame(b"x" * size), 1)


async def test_sockets_that_are_gone_are_forgotten(node: Node) -> None:
    forgotten: list[Place] = []

    async def forget(place: Place) -> None:
        forgotten.append(place)

    node.answer = encode(Gone([("anna", "k2")]))
    async with peers(forget) as ours:
        ours.push(node.place("k2"), Frame(b"x"), 1)
        await node.until(lambda: bool(forgotten))
    assert forgotten == [node.place("k2")]


async def test_replies_under_way_are_asked_for(node: Node) -> None:
    snapshot = Snapshot("c", 1, "m1", "so far")
    node.answer = encode([snapshot])
    async with peers() as ours:
        assert list(await ours.replies(node.url, "+49 30/1")) == [snapshot]
    assert node.calls[0][0].startswith("GET /@replies/%2B49%2030%2F1 ")


class Busy(Node):
    """Leaves every question without an answer. `most`: how many there were at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self.at_once = 0

    async def answer_to(self, request: httpx2.Request) -> httpx2.Response:
        self.calls.append((f"{request.method} ", request.content))
        if request.method == "POST":
            return httpx2.Response(200, content=encode(Gone([])))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.05)
        self.at_once -= 1
        raise httpx2.ReadTimeout("busy")


async def test_questions_without_an_answer_keep_no_frame_and_no_cancel_waiting() -> None:
    node = Busy()
    async with (
        httpx2.AsyncClient(transport=httpx2.MockTransport(node.answer_to)) as http,
        asyncio.TaskGroup() as tasks,
    ):
        ours = Peers(http, tasks, ignore, Metrics(), window=0)
        asked = await asyncio.gather(*(ours.replies("n", "anna") for _ in range(100)), return_exceptions=True)
        assert {type(one) for one in asked} == {Unavailable}
        ours.push(Place("anna", "k", "n"), Frame(b"x"), 1)
        ours.look("n", "c_1")
        await node.until(lambda: ["c_1", "x"] in node.pushed())
        await ours.close()
    assert node.most == ASKED_AT_ONCE
    assert len(node.calls) - len(node.pushed()) == ASKED_AT_ONCE


async def test_a_frame_that_is_handed_over_has_arrived_or_its_socket_is_gone_and_forgotten(node: Node) -> None:
    forgotten: list[Place] = []

    async def forget(place: Place) -> None:
        forgotten.append(place)

    async with peers(forget) as ours:
        await ours.hand(node.place(), Frame(b"x"))
        assert node.pushed() == [["x"]]
        node.answer = encode(Gone([("anna", "k")]))
        with pytest.raises(ConnectionGone):
            await ours.hand(node.place(), Frame(b"y"))
        await node.until(lambda: forgotten == [node.place()])
        node.answer = None
        with pytest.raises(Unavailable):
            await ours.hand(node.place(), Frame(b"z"))


def test_what_is_no_parcel_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_parcels(b"junk")
    assert read_parcels(encode([Look("c")])) == [Look("c")]


async def test_what_is_asked_for_while_the_process_ends_is_lost_and_no_fault(node: Node) -> None:
    async with peers() as ours:
        pass
    ours.push(node.place(), Frame(b"late"), 1)
    ours.look(node.url, "c")
    with pytest.raises(Unavailable):
        await ours.replies(node.url, "anna")
    assert node.calls == []


async def test_a_connection_that_is_reset_as_it_is_made_is_a_peer_that_does_not_answer() -> None:
    def reset(_request: httpx2.Request) -> httpx2.Response:
        raise AttributeError("'NoneType' object has no attribute 'getpeername'")

    metrics = Metrics()
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(reset)) as http:
        peer = Peer("http://127.0.0.1:1", http, lambda _place: None, metrics, window=0)
        with pytest.raises(Unavailable):
            await peer.replies("anna")
    assert b"switchboard_peer_failures_total 1.0" in metrics.text()
