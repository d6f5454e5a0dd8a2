"""Ends of a socket that a healthy server does not have: faults of ours, and readers that do not read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import structlog
import uvicorn
import websockets

from server.backends.memory import MemoryStore
from server.channels import websocket
from server.delivery.connection import Connection
from server.delivery.hub import Hub
from server.entrypoints import host, session
from server.errors import ConnectionGone, NotFound, Unavailable
from server.model import Conversation, Delta, Draft, Frame, InboundMessage, Lease, Page, Principal, RunStarted, Snapshot
from server.settings import read_settings
from server.wiring.server import Server, open_server
from tests.fakes.openai_server import openai_server


class BrokenInbox:
    async def accept(self, message: InboundMessage) -> None:
        raise ZeroDivisionError(message.text)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """The application on a port, and the address of its socket."""
    port = socket.create_server(("127.0.0.1", 0))
    program = uvicorn.Server(host.config(server))
    running = asyncio.create_task(program._serve([port]))
    try:
        assert server.pool is not None
        yield f"ws://127.0.0.1:{port.getsockname()[1]}/ws?Auth={server.pool.token('anna')}"
    finally:
        program.should_exit = True
        await running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with openai_server() as fake:
        settings = read_settings(data_dir=tmp_path, backend="memory", openai_base_url=fake.base_url)
        async with open_server(settings) as opened:
            yield opened


async def test_a_fault_of_ours_closes_with_1011_and_an_id_that_is_in_the_log(server: Server) -> None:
    broken = replace(server, inbox=BrokenInbox())  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as lines:
        async with serving(broken) as url, websockets.connect(url) as client:
            await client.recv()
            await client.send('{"action":"sendMessage","message":"text-canary"}')
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    [line] = [line for line in lines if line["event"] == "session_crashed"]
    assert line["request_id"] in closed.value.rcvd.reason
    assert len(server.hub) == 0


async def test_a_frame_above_the_limit_closes_with_1009(server: Server) -> None:
    async with serving(server) as url, websockets.connect(url) as client:
        await client.recv()
        await client.send("x" * (128 * 1024 + 1))
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_a_socket_that_is_told_of_a_loss_is_shown_what_the_log_has_more(server: Server) -> None:
    async with serving(server) as url, websockets.connect(url) as client:
        connected = json.loads(await client.recv())
        conversation_id, person = connected["conversationId"], connected["userId"]
        # Another process accepted it, and could not reach this one.
        await server.log.accept(InboundMessage(person, conversation_id, "m1", "hi"))
        server.hub.catch_up(connected["connectionId"], conversation_id)
        server.hub.catch_up("k_gone", conversation_id)
        accepted = json.loads(await client.recv())
        assert (accepted["messageType"], accepted["messageId"], accepted["offset"]) == ("messageAccepted", "m1", 1)
        server.hub.catch_up(connected["connectionId"], conversation_id)
        await client.send('{"action":"ping"}')
        while (frame := json.loads(await client.recv()))["messageType"] != "pong":
            assert frame["messageType"] != "messageAccepted"


async def test_what_is_lost_of_a_conversation_that_was_only_written_to_is_shown_too(server: Server) -> None:
    store, anna = cast(MemoryStore, server.log), await person(server)
    older = await store.create(anna, "websocket", "a")
    await store.create(anna, "websocket", "a")
    among = replace(server, cluster=NextTurnBegins(store))  # type: ignore[arg-type]
    async with serving(among) as url, websockets.connect(url) as client:
        connected = json.loads(await client.recv())
        assert connected["conversationId"] != older.id
        await client.send(json.dumps({"action": "sendMessage", "conversationId": older.id, "message": "hi"}))
        while json.loads(await client.recv())["messageType"] != "assistantResponse":
            pass
        # Another process accepted it, and could not reach this one.
        await store.accept(InboundMessage(anna, older.id, "m2", "and?"))
        server.hub.catch_up(connected["connectionId"], older.id)
        shown = json.loads(await client.recv())
        assert (shown["messageType"], shown["messageId"]) == ("messageAccepted", "m2")


async def test_after_a_backup_was_put_back_nobody_goes_on_behind_what_is_gone(server: Server) -> None:
    store, anna = cast(MemoryStore, server.log), await person(server)
    conversation = await store.create(anna, "websocket", "a")
    for message_id in ("m1", "m2"):
        await store.accept(InboundMessage(anna, conversation.id, message_id, "hi"))
    restored = replace(server, settings=server.settings.model_copy(update={"restored": "2026-11-30"}))
    for serving_it, epoch, begins in ((server, conversation.epoch, 2), (restored, conversation.epoch, 1)):
        async with serving(serving_it) as url, websockets.connect(url) as client:
            told = json.loads(await client.recv())["epoch"]
            resume = {"action": "resume", "conversationId": conversation.id, "after": 1, "epoch": epoch}
            await client.send(json.dumps(resume))
            resumed, first = [json.loads(await client.recv()) for _ in range(2)]
            assert (resumed["epoch"], resumed["recovered"], first["offset"]) == (told, told == epoch, begins)


async def test_a_long_log_may_take_longer_than_any_action(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ACTION_SECONDS", 1)
    store, anna = cast(MemoryStore, server.log), await person(server)
    conversation = await store.create(anna, "websocket", "a")
    for number in range(200):
        await store.accept(InboundMessage(anna, conversation.id, f"m{number}", "hi"))
        lease = await store.take(conversation.id, "elsewhere")
        assert lease is not None
        await store.answer(lease, Draft("x" * 200_000, "stop"))
    async with (
        serving(server) as url,
        websockets.connect(url, compression=None, max_size=None, max_queue=None) as client,
    ):
        await client.recv()
        await client.send(json.dumps({"action": "resume", "conversationId": conversation.id, "after": 0}))
        for _ in range(6):
            client.transport.pause_reading()
            await asyncio.sleep(0.4)
            client.transport.resume_reading()
            await asyncio.sleep(0.01)
        await client.send('{"action":"ping"}')
        shown = [json.loads(await client.recv())["messageType"] for _ in range(402)]
    assert shown == ["resumed", *["messageAccepted", "assistantResponse"] * 200, "pong"]


class Away:
    """Conversations that cannot be looked up for a while, from now on."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.current = store.current
        self.is_back = False

    async def find(self, person: str, conversation_id: str) -> Conversation:
        if not self.is_back:
            raise Unavailable("no store")
        return await self.store.find(person, conversation_id)


async def test_a_store_that_cannot_say_what_was_lost_costs_no_socket(server: Server) -> None:
    store = cast(MemoryStore, server.log)
    away = Away(store)
    async with serving(replace(server, conversations=away)) as url, websockets.connect(url) as client:  # type: ignore[arg-type]
        connected = json.loads(await client.recv())
        await store.accept(InboundMessage(connected["userId"], connected["conversationId"], "m1", "hi"))
        server.hub.catch_up(connected["connectionId"], connected["conversationId"])
        await client.send('{"action":"ping"}')
        assert json.loads(await client.recv())["messageType"] == "pong"
        away.is_back = True
        server.hub.catch_up(connected["connectionId"], connected["conversationId"])
        assert json.loads(await client.recv())["messageId"] == "m1"


class Slow(MemoryStore):
    """It answers once it is let."""

    def __init__(self) -> None:
        super().__init__(lease_seconds=1, most_waiting=1)
        self.may_answer = asyncio.Event()

    async def current(
        self, person: str, channel: str, assistant: str, *, since: int = 0, ended: str | None = None
    ) -> Conversation:
        await self.may_answer.wait()
        return await super().current(person, channel, assistant, since=since, ended=ended)


async def test_a_socket_is_closed_in_the_middle_of_its_handshake_too(server: Server) -> None:
    store = Slow()
    async with serving(replace(server, conversations=store)) as url:
        connecting = asyncio.create_task(websockets.connect(url).__aenter__())
        while not len(server.hub):
            await asyncio.sleep(0.005)
        [connection] = server.hub
        connection.wire.close(1012, "come back")
        with pytest.raises((websockets.InvalidMessage, websockets.InvalidHandshake, OSError)):
            await connecting
        store.may_answer.set()
        while len(server.hub):
            await asyncio.sleep(0.005)


async def test_a_socket_that_comes_while_the_process_leaves_is_greeted_first(server: Server) -> None:
    store = Slow()
    server = replace(server, conversations=store)
    async with serving(server) as url:
        connecting = asyncio.create_task(websockets.connect(url).__aenter__())
        while not len(server.hub):
            await asyncio.sleep(0.005)
        await server.drain()
        store.may_answer.set()
        async with await connecting as client:
            said = [json.loads(await client.recv())["messageType"] for _ in range(2)]
    assert said == ["connected", "disconnecting"]


class NextTurnBegins:
    """A cluster in which, as soon as its owner is asked, the turn under way ends and the next one begins."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.lease: Lease | None = None

    async def join(self, connection: Connection, who: Principal) -> None: ...

    async def leave(self, connection: Connection) -> None: ...

    async def of(self, person: str) -> list[str]:
        return []

    async def under_way(self, person: str, conversation_id: str) -> list[Snapshot]:
        if self.lease is None:
            return []
        settled = await self.store.answer(self.lease, Draft("You said: one", "stop"))
        assert settled.next is not None
        question = settled.next.question
        return [Snapshot(conversation_id, question.offset, question.message_id, "You", settled.next.attempt)]


async def test_a_turn_that_ends_while_a_resume_asks_for_the_next_ones_words_is_shown_to_its_end(
    server: Server,
) -> None:
    store = cast(MemoryStore, server.log)
    cluster = NextTurnBegins(store)
    among = replace(server, cluster=cluster)  # type: ignore[arg-type]
    async with serving(among) as url, websockets.connect(url) as client:
        connected = json.loads(await client.recv())
        conversation_id, person = connected["conversationId"], connected["userId"]
        for message_id in ("m1", "m2"):
            accepted = await store.accept(InboundMessage(person, conversation_id, message_id, message_id))
            await server.hub.push(connected["connectionId"], websocket.encode(accepted, str))
        cluster.lease = lease = await store.take(conversation_id, "elsewhere")
        assert lease is not None
        for event in (RunStarted(conversation_id, lease.question, "a"), Delta(conversation_id, 1, 0, "You said:")):
            await server.hub.push(connected["connectionId"], websocket.encode(event, str), lease.attempt)
        await client.send(json.dumps({"action": "resume", "conversationId": conversation_id, "after": 0}))
        shown = []
        while (frame := json.loads(await client.recv()))["messageType"] != "pong":
            shown.append((frame["messageType"], frame.get("text") or frame.get("message")))
            if frame["messageType"] == "resumed":
                await client.send('{"action":"ping"}')
    whole = shown.index(("assistantSnapshot", "You said: one"))
    assert shown[whole + 1 :] == [("assistantResponse", "You said: one"), ("assistantSnapshot", "You")]


class Guestbook(NextTurnBegins):
    """A cluster that notes who leaves."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.left: list[str] = []

    async def leave(self, connection: Connection) -> None:
        self.left.append(connection.id)


async def test_who_leaves_while_the_turns_end_is_not_counted_any_more(server: Server) -> None:
    book = Guestbook(cast(MemoryStore, server.log))
    among = replace(server, cluster=book)  # type: ignore[arg-type]
    async with serving(among) as url, websockets.connect(url) as client, websockets.connect(url) as other:
        gone = json.loads(await client.recv())["connectionId"]
        among.draining.set()
        await client.close()
        while not book.left:
            await asyncio.sleep(0.005)
        await among.drain()
        await other.close()
    assert book.left == [gone]


class AnsweredElsewhere(NextTurnBegins):
    """A cluster in which another process is at the second attempt."""

    async def under_way(self, person: str, conversation_id: str) -> list[Snapshot]:
        return [Snapshot(conversation_id, 1, "m1", "The second says", 2)]


async def test_of_two_attempts_at_a_reply_a_socket_is_shown_the_later(server: Server) -> None:
    store, anna = cast(MemoryStore, server.log), await person(server)
    among = replace(server, cluster=AnsweredElsewhere(store))  # type: ignore[arg-type]
    conversation = await store.current(anna, "websocket", "a")
    await store.accept(InboundMessage(anna, conversation.id, "m1", "hi"))
    lease = await store.take(conversation.id, "elsewhere")
    assert lease is not None
    # This process does not know yet that its attempt is lost.
    started = RunStarted(conversation.id, lease.question, "a")
    for event in (started, Delta(conversation.id, 1, 0, "The first said something longer")):
        await server.router.send(anna, event, 1)
    async with serving(among) as url, websockets.connect(url) as client:
        await client.send(json.dumps({"action": "resume", "conversationId": conversation.id, "after": 1}))
        await client.send('{"action":"ping"}')
        shown = [json.loads(await client.recv()) for _ in range(5)]
    kinds = ["connected", "assistantSnapshot", "resumed", "assistantSnapshot", "pong"]
    assert [frame["messageType"] for frame in shown] == kinds
    assert {frame["text"] for frame in shown if "text" in frame} == {"The second says"}


class DeletedMeanwhile:
    """A log whose conversation another device deletes just before it is read."""

    def __init__(self, store: MemoryStore, person: str) -> None:
        self.store = store
        self.person = person

    async def after(self, conversation_id: str, offset: int, limit: int) -> Page:
        await self.store.delete(self.person, conversation_id)
        return await self.store.after(conversation_id, offset, limit)


@pytest.mark.parametrize("asked", [True, False])
async def test_a_conversation_that_is_deleted_while_it_is_shown_is_unknown(server: Server, asked: bool) -> None:
    store, anna = cast(MemoryStore, server.log), await person(server)
    among = replace(server, log=DeletedMeanwhile(store, anna))  # type: ignore[arg-type]
    async with serving(among) as url, websockets.connect(url) as client:
        connected = json.loads(await client.recv())
        conversation_id = connected["conversationId"]
        await store.accept(InboundMessage(anna, conversation_id, "m1", "hi"))
        if asked:
            await client.send(json.dumps({"action": "resume", "conversationId": conversation_id, "after": 0}))
            assert json.loads(await client.recv())["messageType"] == "resumed"
            assert json.loads(await client.recv())["code"] == "unknown_conversation"
        else:
            server.hub.catch_up(connected["connectionId"], conversation_id)
        await client.send('{"action":"ping"}')
        assert json.loads(await client.recv()) == {"messageType": "pong"}
    with pytest.raises(NotFound):
        await store.find(anna, conversation_id)


class Forgetful(NextTurnBegins):
    """A cluster that keeps until when it was told of a socket, and then cannot be told any more."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.until: list[int] = []
        self.down = False

    async def join(self, connection: Connection, who: Principal) -> None:
        if self.down:
            raise Unavailable("no registry")
        self.until.append(who.expires_at_seconds)


async def test_a_newer_token_holds_once_the_others_know_of_it(server: Server) -> None:
    assert server.pool is not None
    cluster = Forgetful(cast(MemoryStore, server.log))
    renewals = [
        {"action": "refreshToken", "token": server.pool.token("anna", lifetime_seconds=s)} for s in (10**5, 10**6)
    ]
    async with serving(replace(server, cluster=cluster)) as url, websockets.connect(url) as client:  # type: ignore[arg-type]
        await client.recv()
        [connection] = server.hub
        await client.send(json.dumps(renewals[0]))
        assert json.loads(await client.recv())["messageType"] == "tokenRefreshed"
        cluster.down = True
        await client.send(json.dumps(renewals[1]))
        refused = json.loads(await client.recv())
        assert (refused["messageType"], refused["retryable"]) == ("error", True)
        assert cluster.until[-1] == connection.who.expires_at_seconds
        assert cluster.until[0] < cluster.until[1]


async def test_json_in_a_binary_frame_is_read_too(server: Server) -> None:
    async with serving(server) as url, websockets.connect(url) as client:
        await client.recv()
        await client.send(b'{"action":"ping"}')
        assert json.loads(await client.recv()) == {"messageType": "pong"}


async def test_a_reader_that_does_not_read_is_let_go_and_the_others_feel_nothing(server: Server) -> None:
    frame = Frame(b"x" * 60_000)
    async with serving(server) as url, websockets.connect(url) as good, websockets.connect(url, max_queue=1) as bad:
        await good.recv()
        good_id, bad_id = await server.hub.of(await person(server))
        bad.transport.pause_reading()
        with pytest.raises(ConnectionGone):
            await flood(server.hub, frame, good, good_id, bad_id)
        async with asyncio.timeout(5):
            while len(server.hub) > 1:
                await asyncio.sleep(0.01)
        await good.send('{"action":"ping"}')
        assert "pong" in str(await asyncio.wait_for(good.recv(), 5))
        bad.transport.resume_reading()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(read_on(bad), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4408


async def flood(hub: Hub, frame: Frame, good: websockets.ClientConnection, good_id: str, bad_id: str) -> None:
    """More than any buffer on the way holds; the good one gets each frame at once."""
    for _ in range(1_000):
        await hub.push(good_id, frame)
        assert await good.recv() == frame.data.decode()
        await hub.push(bad_id, frame)


async def read_on(client: websockets.ClientConnection) -> None:
    while await client.recv():
        pass


async def person(server: Server) -> str:
    assert server.pool is not None
    return (await server.verifier.verify(server.pool.token("anna"))).person


async def test_an_entry_of_which_no_frame_came_is_shown_from_the_log(server: Server) -> None:
    async with serving(server) as url, websockets.connect(url) as client:
        conversation_id = json.loads(await client.recv())["conversationId"]
        anna = await person(server)
        for message_id in ("m1", "m2"):
            accepted = await server.log.accept(InboundMessage(anna, conversation_id, message_id, message_id))
        await server.router.send(anna, accepted)
        async with asyncio.timeout(10):
            shown = [json.loads(await client.recv()) for _ in range(2)]
    assert [(frame["messageId"], frame["offset"]) for frame in shown] == [("m1", 1), ("m2", 2)]
