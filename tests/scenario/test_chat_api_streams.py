"""Answers as they are spoken, to those who read and those who do not; and across processes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import httpx2
import pytest

from tests.databases import SERVERS, scratch_database
from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.ministack import Cloud
from tests.scenario.chat_api import Event, chat, told
from tests.scenario.pair import Nodes
from tests.scenario.process import ServerProcess, Start

WORDS = tuple(f" word{number}" for number in range(30))
LONG = Answer(tokens=WORDS, interval=0.03)
# Time enough to leave and come back, on a busy machine too.
SLOW = Answer(tokens=WORDS, interval=0.2)
BOUND = 65_536


@pytest.fixture(params=["postgres", "mysql", "aws"])
def nodes(request: pytest.FixtureRequest, start: Start) -> Iterator[Nodes]:
    if request.param == "aws":
        cloud: Cloud = request.getfixturevalue("cloud")
        cloud.empty_table()
        yield Nodes(start, {**cloud.table_settings(), "QUEUE_URL": cloud.settings["QUEUE_URL"]})
        return
    with scratch_database(SERVERS[request.param]) as url:
        yield Nodes(start, {"DATABASE_URL": url.replace("+pymysql", "").replace("+psycopg", "")})


async def asked(provider: FakeOpenAI, number: int) -> None:
    """Sooner than a sweep would find what nobody was told of."""
    await provider.until(lambda: len(provider.questions) >= number, 3)


async def test_the_words_come_as_they_are_said(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(LONG)
    async with chat(server) as anna:
        async with anna.stream("tell me", idempotency_key="k1") as events:
            seen = [event async for event in events]
        names = [name for name, _ in seen]
        assert (names[0], names[-1], set(names[1:-1])) == ("accepted", "done", {"delta"})
        assert len(names) > 5
        answer = seen[-1][1]
        assert seen[0][1] == {"conversation_id": answer["conversation_id"]}
        assert told(seen) == answer["message"][-1]["message"] == "".join(WORDS)
        # The same again is the same answer, streamed or not.
        async with anna.stream("tell me", idempotency_key="k1") as events:
            again = [event async for event in events]
        assert (again[-1], told(again)) == (seen[-1], told(seen))
        assert (await anna.post("tell me", idempotency_key="k1")).json() == answer
    assert len(provider.questions) == 1


async def test_who_joins_in_the_middle_is_shown_the_beginning(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(SLOW)
    async with chat(server) as anna:
        async with anna.stream("tell me", idempotency_key="k1") as events:
            async for name, _ in events:
                if name == "delta":
                    break
        async with anna.stream("tell me", idempotency_key="k1") as events:
            seen = [event async for event in events]
        assert "restart" not in [name for name, _ in seen]
        assert len([name for name, _ in seen if name == "delta"]) > 3
        assert told(seen) == seen[-1][1]["message"][-1]["message"] == "".join(WORDS)
    assert len(provider.questions) == 1
    assert not provider.questions[0].client_left


async def test_an_answer_that_is_begun_anew_says_so(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(("lost", " words"), interval=0.05, fault=Fault.RESET, at=2), LONG)
    async with chat(server) as anna, anna.stream("tell me") as events:
        seen = [event async for event in events]
    assert "restart" in [name for name, _ in seen]
    assert told(seen) == seen[-1][1]["message"][-1]["message"] == "".join(WORDS)


async def test_what_goes_wrong_is_an_event_or_a_status(start: Start, provider: FakeOpenAI) -> None:
    async with start(HTTP_CHAT_STREAM_SECONDS=1, PING_SECONDS=0.2) as server, chat(server) as anna:
        for body, status in (({}, 422), ({"message": ""}, 400), ({"message": "x", "conversation_id": "c"}, 404)):
            head = anna.headers | {"accept": "text/event-stream"}
            answered = await anna.http.post("/api/chat", json=body, headers=head)
            assert (answered.status_code, "error" in answered.json()) == (status, True)
        provider.script(Answer(first_delay=2), Answer(fault=Fault.UNAUTHORIZED))
        async with anna.stream("late", idempotency_key="k1") as events:
            seen = [event async for event in events]
        assert seen[-1][0] == "error"
        assert seen[-1][1]["error"]["code"] == "timeout"
        # Silence is broken all the while.
        assert 2 <= len([name for name, _ in seen if not name]) <= 6
        async with anna.stream("wrong") as events:
            assert [event async for event in events][-1][0] == "error"
        assert (await anna.post("late", idempotency_key="k1")).status_code == 200


async def test_a_client_that_leaves_ends_no_turn(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(SLOW)
    async with chat(server) as anna:
        async with anna.stream("tell me", idempotency_key="k1") as events:
            assert (await anext(events))[0] == "accepted"
        async with asyncio.timeout(5):
            while (await anna.http.get("/")).json()["connections"]:
                await asyncio.sleep(0.02)
        await asked(provider, 1)
        assert provider.questions[0].ended is None
        answered = await anna.post("tell me", idempotency_key="k1")
        assert answered.json()["message"][-1]["message"] == "".join(WORDS)
    assert not provider.questions[0].client_left


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_who_leaves_at_once_has_said_it_all_the_same(
    server: ServerProcess, provider: FakeOpenAI, accept: str
) -> None:
    async with chat(server) as anna:
        await anna.say("warm up")
        for number in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            body = b'{"message": "number %d"}' % number
            head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nIdempotency-Key: k{number}\r\n"
            head += f"Authorization: Bearer {server.token()}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await asyncio.sleep(number / 1000)
            writer.transport.abort()
            await asked(provider, number + 2)
            assert (await anna.post(f"number {number}", idempotency_key=f"k{number}")).status_code == 200
    assert len(provider.questions) == 11


async def test_a_reader_that_does_not_read_is_let_go_of(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("x" * 5_000,) * 800, interval=0.004), Answer(("fine",)))
    settings = {"CONNECTION_BUFFER_BYTES": BOUND, "PING_SECONDS": 1, "PONG_SECONDS": 1}
    async with start(**settings) as server, chat(server) as anna:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
        body = b'{"message": "tell me"}'
        head = (
            "POST /api/chat HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {server.token()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await provider.until(lambda: len(provider.questions) == 1)
        assert (await anna.post("and I?")).json()["message"][-1]["message"] == "fine"
        async with asyncio.timeout(20):
            while (await anna.http.get("/")).json()["connections"]:
                await asyncio.sleep(0.1)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(100_000_000)
        writer.close()
        await provider.until(lambda: provider.questions[0].ended is not None, 20)
        assert not provider.questions[0].client_left
        assert "Traceback" not in server.printed()


async def test_a_turn_of_another_process_is_waited_for_and_heard(nodes: Nodes, provider: FakeOpenAI) -> None:
    provider.script(LONG, LONG, SLOW)
    async with nodes.both(HTTP_CHAT_PUBLIC="true") as (here, there), chat(here) as anna, chat(here, "") as nobody:
        assert (await anna.say("hello"))[-1] == f"bot: {''.join(WORDS)}"
        assert (await nobody.say("hello"))[-1] == f"bot: {''.join(WORDS)}"
        seen: list[Event] = []
        async with anna.stream("and live?", anna.conversation_id, idempotency_key="k1") as events:
            async for event in events:
                seen.append(event)
                if len([name for name, _ in seen if name == "delta"]) == 3:
                    break
        # A retry may come to any process, in the middle of the reply.
        async with chat(there) as elsewhere:
            other = asyncio.create_task(elsewhere.post("and live?", anna.conversation_id, idempotency_key="k1"))
            async with anna.stream("and live?", anna.conversation_id, idempotency_key="k1") as events:
                seen = [event async for event in events]
            assert (await other).json() == seen[-1][1]
        assert told(seen) == "".join(WORDS)
        assert len([name for name, _ in seen if name == "delta"]) > 3
    assert len(provider.questions) == 3


async def test_a_turn_whose_process_dies_is_still_waited_for(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=WORDS, interval=0.2))
    with scratch_database(SERVERS["mysql"]) as url:
        nodes = Nodes(start, {"DATABASE_URL": url.replace("+pymysql", ""), "LEASE_SECONDS": 2})
        async with nodes.begin(0) as here, chat(here) as anna:
            # What is accepted here may be run by either: the one that has it dies.
            async with nodes.begin(1) as there, chat(there) as ben:
                waiting = asyncio.create_task(ben.post("hello", idempotency_key="k1"))
                await provider.until(lambda: len(provider.questions) == 1)
                await there.kill()
                with pytest.raises(httpx2.TransportError):
                    await waiting
            answered = await anna.post("hello", idempotency_key="k1")
            assert answered.json()["message"][-1]["message"] == "You said: hello"
    assert len(provider.questions) == 2
