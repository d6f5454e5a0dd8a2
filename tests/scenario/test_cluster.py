"""Two processes, one of which may run no turns: nobody can tell which one he talks to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import httpx2
import pytest

from server.auth.local_pool import LocalUserPool
from server.backends.sql import open_sql
from tests.databases import SERVERS, scratch_database
from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.ministack import Cloud
from tests.scenario.checker import check
from tests.scenario.client import Client, client, spoken
from tests.scenario.history import Kept, read_logs
from tests.scenario.load import Crowd, Pace, crowd
from tests.scenario.pair import SECRET, Nodes
from tests.scenario.process import ServerProcess, Start, run_command
from tests.scenario.storm import SEED, paced, questions

WORDS = tuple(f" word{number}" for number in range(60))
LONG = Answer(tokens=WORDS, interval=0.03)


@pytest.fixture
def database() -> Iterator[str]:
    with scratch_database(SERVERS["postgres"]) as url:
        yield url.replace("+psycopg", "")


@pytest.fixture(params=["postgres", "aws"])
def nodes(request: pytest.FixtureRequest, start: Start) -> Nodes:
    if request.param == "postgres":
        return Nodes(start, {"DATABASE_URL": request.getfixturevalue("database")})
    cloud: Cloud = request.getfixturevalue("cloud")
    cloud.empty_table()
    return Nodes(start, {**cloud.table_settings(), "QUEUE_URL": cloud.settings["QUEUE_URL"]})


async def until_words(anna: Client, count: int) -> None:
    while len(anna.of("assistantDelta")) < count:
        await anna.frame()


async def test_a_socket_here_sees_a_turn_there_as_a_socket_there_does(nodes: Nodes, provider: FakeOpenAI) -> None:
    provider.script(LONG)
    async with nodes.both() as (here, there), client(here) as phone, client(there) as laptop:
        reply = await phone.ask("hello", messageId="m1")
        assert await laptop.until("assistantResponse") == reply
        for anna in (phone, laptop):
            assert spoken(anna.frames, reply["replyId"]) == reply["message"]
            assert [frame["offset"] for frame in anna.frames if "offset" in frame] == [0, 1, 2]
        assert len(phone.of("assistantDelta")) > 5
        again = await laptop.ask("and now?")
        assert (await phone.until("assistantResponse", messageId=again["messageId"])) == again
    assert len(provider.questions) == 2


@pytest.mark.parametrize("words", [1, 5, 20])
async def test_a_reply_is_resumed_elsewhere_in_the_middle(nodes: Nodes, provider: FakeOpenAI, words: int) -> None:
    provider.script(LONG)
    async with nodes.both() as (here, there):
        async with client(there) as anna:
            await anna.say("hello")
            await until_words(anna, words)
            anna.socket.transport.abort()
        async with client(here) as anna:
            await anna.answer("resume", "resumed", conversationId=anna.conversation_id, after=0)
            reply = await anna.until("assistantResponse")
        said = ""
        for frame in anna.frames:
            match frame["messageType"]:
                case "assistantSnapshot":
                    said = frame["text"]
                case "assistantDelta":
                    assert frame["at"] == len(said)
                    said += frame["text"]
        assert said == reply["message"] == "".join(WORDS)
        assert anna.of("assistantSnapshot")
        assert len(anna.of("assistantDelta")) > 1


@pytest.mark.parametrize("end", [ServerProcess.kill, ServerProcess.stop])
async def test_a_turn_goes_on_elsewhere_when_its_process_ends(
    start: Start, provider: FakeOpenAI, database: str, end: Callable[[ServerProcess], Awaitable[int | None]]
) -> None:
    provider.script(LONG)
    nodes = Nodes(start, {"DATABASE_URL": database, "LEASE_SECONDS": 2, "DRAIN_SECONDS": 0})
    async with nodes.both(("serve",)) as (here, there), client(here) as phone:
        async with client(there) as laptop:
            await laptop.say("hello", messageId="m1")
            await until_words(laptop, 3)
            await end(there)
        reply = await phone.until("assistantResponse")
        assert (reply["messageId"], reply["message"]) == ("m1", "You said: hello")
        assert spoken(phone.frames, reply["replyId"]) == reply["message"]
    assert len(provider.questions) == 2


async def test_a_cancel_reaches_the_process_that_speaks(nodes: Nodes, provider: FakeOpenAI) -> None:
    provider.script(LONG, Answer(tokens=WORDS, interval=0.1))
    async with nodes.both() as (here, _), client(here) as anna:
        await anna.say("hello")
        await until_words(anna, 3)
        began = time.time()
        await anna.send("cancel")
        reply = await anna.until("assistantResponse")
        assert (reply["finishReason"], spoken(anna.frames, reply["replyId"])) == ("cancelled", reply["message"])
        await anna.say("again")
        await provider.until(lambda: len(provider.questions) == 2)
        await anna.say("no, this", whenBusy="interrupt")
        assert (await anna.until("assistantResponse"))["finishReason"] == "cancelled"
        assert (await anna.until("assistantResponse"))["message"] == "You said: no, this"
    ended = provider.questions[0].ended
    assert ended is not None
    print(f"the run ended {(ended - began) * 1000:.0f} ms after the cancel was sent")
    assert ended - began < 1


async def test_pushes_need_the_secret(start: Start, provider: FakeOpenAI, database: str) -> None:
    nodes = Nodes(start, {"DATABASE_URL": database})
    async with nodes.begin(0) as server, client(server) as anna, httpx2.AsyncClient(base_url=server.http) as http:
        mine = f"/@connections/{anna.connected['connectionId']}"
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": SECRET}):
            for method, path in (("POST", mine), ("POST", "/@connections"), ("GET", "/@replies/anna")):
                assert (await http.request(method, path, headers=headers, content=b"{}")).status_code in {401, 403}
        trusted = {"Authorization": f"Bearer {SECRET}"}
        assert (await http.post("/@connections/k_gone", headers=trusted, content=b"{}")).status_code == 410
        assert (await http.post("/@connections", headers=trusted, content=b"junk")).status_code == 400
        pushed = await http.post(mine, headers=trusted, content=b'{"messageType":"pushed"}')
        assert (pushed.status_code, await anna.frame()) == (200, {"messageType": "pushed"})


async def test_a_server_alone_takes_no_pushes(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.http) as http:
        assert (await http.post("/@connections", content=b"")).status_code == 404


async def test_a_worker_takes_no_sockets_and_runs_turns(start: Start, provider: FakeOpenAI, database: str) -> None:
    nodes = Nodes(start, {"DATABASE_URL": database})
    async with nodes.both(second=("worker",)) as (here, there), client(here) as anna:
        assert (await anna.ask("hello"))["message"] == "You said: hello"
        async with httpx2.AsyncClient(base_url=there.http) as http:
            assert (await http.get("/readyz")).status_code == 200
        with pytest.raises(Exception, match="404"):
            async with client(there):
                pass
        assert await there.stop() == 0


async def test_one_process_among_many_needs_the_others(start: Start, database: str, tmp_path: object) -> None:
    async with start() as server:
        for command in (("worker",), ("serve", "--no-turns")):
            code, _, said = await run_command(*command, data_dir=server.data_dir, DATABASE_URL=database)
            assert (code, "NODE_URL and CLUSTER_SECRET" in said) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_two_processes_that_die_in_turn_lose_double_and_reorder_nothing(
    start: Start, provider: FakeOpenAI, database: str
) -> None:
    print(f"SEED={SEED}")
    nodes = Nodes(start, {"DATABASE_URL": database, "LEASE_SECONDS": 2})
    provider.script(normal=paced)
    async with nodes.begin(0) as first:
        pool = LocalUserPool.open(first.data_dir)
        url, other = nodes.urls()
        async with crowd(url, pool.token, people=5, seed=SEED, pace=Pace(), others=[other]) as load:
            unsettled, output = await rage(nodes, first, load)
    logs = await kept(database, load)
    harms = check(load.sockets, logs)
    print(f"{len(questions(logs))} messages, {len(load.sockets)} sockets")
    assert harms == [], "\n".join(map(str, harms[:20]))
    assert unsettled == []
    assert [line for line in output if '"level":"error"' in line] == []
    assert len(questions(logs)) > 50


async def rage(nodes: Nodes, first: ServerProcess, load: Crowd) -> tuple[list[str], list[str]]:
    """The second dies twice, then the first, then all is answered by both."""
    output: list[str] = []
    for _ in range(2):
        async with nodes.begin(1) as second:
            await asyncio.sleep(2)
            await second.kill()
        output += second.output
    async with nodes.begin(1) as second:
        await asyncio.sleep(1)
        await first.kill()
        output += first.output
        async with nodes.begin(0) as first_again:
            await asyncio.sleep(2)
            unsettled = await load.settle(60)
            assert [await one.stop() for one in (first_again, second)] == [0, 0]
    return unsettled, output + second.output + first_again.output


async def kept(database: str, load: Crowd) -> list[Kept]:
    async with open_sql(database, sole=False, lease_seconds=30, most_waiting=100) as store:
        return await read_logs(store, load.people)
