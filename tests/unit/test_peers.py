"""Frames to another process: together, in order, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from server.backends.peers import Peers, open_peers
from server.backends.peers.parcels import Gone, Look, Push, encode, read_parcels
from server.backends.peers.peers import CALL_SECONDS
from server.errors import Unavailable
from server.model import Frame, Place, Snapshot

SECRET = "s" * 32


class Node:
    """Another process. It answers what the test says; `calls` are the heads and bodies that came."""

    def __init__(self) -> None:
        self.answer: bytes | None = encode(Gone([]))
        self.calls: list[tuple[str, bytes]] = []
        self.connections = 0
        self.url = ""
        self.free = asyncio.Event()
        self.free.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line.split(":")[1]) for line in head.splitlines() if "ength:" in line), 0)
                self.calls.append((head, await reader.readexactly(length)))
                await self.free.wait()
                if self.answer is None:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(self.answer), self.answer))
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
async def peers(forget: Callable[[Place], Awaitable[None]] = ignore) -> AsyncIterator[Peers]:
    async with open_peers(SECRET, forget, window=0.02) as opened:
        yield opened


async def test_what_gathers_goes_together_in_order_over_one_connection(node: Node) -> None:
    node.free.clear()
    async with peers() as ours:
        ours.push(node.place(), Frame(b"0"), 1)
        await node.until(lambda: len(node.calls) == 1)
        for number in range(1, 100):
            ours.push(node.place(), Frame(str(number).encode()), 1)
        ours.look(node.url, "c_1")
        node.free.set()
    assert node.pushed() == [["0"], [*map(str, range(1, 100)), "c_1"]]
    assert node.connections == 1
    assert all(f"authorization: Bearer {SECRET}" in head for head, _ in node.calls)


async def test_a_frame_arrives_as_it_was(node: Node) -> None:
    sent = Frame(b"words", "c", 3, 1, delta=True, at=2, end=7, rich=lambda: b"<p>")
    async with peers() as ours:
        ours.push(node.place(), sent, 4)
    [parcel] = read_parcels(node.calls[0][1])
    assert isinstance(parcel, Push)
    got = parcel.frame()
    assert (parcel.connection_id, parcel.person, parcel.attempt) == ("k", "anna", 4)
    assert (got.data, got.conversation_id, got.offset, got.turn, got.delta) == (b"words", "c", 3, 1, True)
    assert (got.at, got.end, got.rich and got.rich()) == (2, 7, b"<p>")


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_dead_process_is_called_once_for_many_frames_and_waited_for_by_nobody(node: Node, hangs: bool) -> None:
    node.answer = None
    if hangs:
        node.free.clear()
    async with peers() as ours:
        ours.push(node.place(), Frame(b"lost"), 1)
        await node.until(lambda: bool(node.calls))
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + CALL_SECONDS + 0.5:
            ours.push(node.place(), Frame(b"lost"), 1)
            await asyncio.sleep(0.002)
        with pytest.raises(Unavailable):
            await ours.replies(node.url, "anna")
        assert len(node.calls) == 1
    node.free.set()


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


def test_what_is_no_parcel_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_parcels(b"junk")
    assert read_parcels(encode([Look("c")])) == [Look("c")]
