"""The whole server on AWS's services: table, queue and user pool, with the rights of the cluster's role."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import websockets

from infra.cluster.emulator import Emulator
from tests.fakes.faulty_dynamodb import Fault, faulty_dynamodb
from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.ministack import Cloud
from tests.ports import quiet_port
from tests.scenario.client import Client, client
from tests.scenario.process import ServerProcess, Start, module_process, run_command, run_module

RUN_AWS = ("infra.cluster.run",)


@pytest.fixture
def settings(cloud: Cloud) -> dict[str, str]:
    """Table and queue, empty; the people are at home."""
    cloud.empty_table()
    cloud.client("sqs").purge_queue(QueueUrl=cloud.settings["QUEUE_URL"])
    return {**cloud.table_settings(), "QUEUE_URL": cloud.settings["QUEUE_URL"], "AWS_REGION": "eu-west-1"}


NODE = {"NODE_URL": "http://127.0.0.1:1", "CLUSTER_SECRET": "s" * 32, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}


async def test_where_the_queue_stays_in_trouble_the_start_waits_and_then_says_so(
    cloud: Cloud, settings: dict[str, str], tmp_path: Path
) -> None:
    async with faulty_dynamodb(cloud.emulator.url) as proxy:
        proxy.mood = lambda operation: Fault.BROKEN if operation == "GetQueueAttributes" else None
        here = {**settings, **NODE, "AWS_ENDPOINT_URL": proxy.url, "START_SECONDS": "5"}
        code, _, errors = await run_command("serve", data_dir=tmp_path, **here)
    waited, last = errors.splitlines()[0], errors.splitlines()[-1]
    assert (code, last.partition(" (")[0]) == (2, "the queue does not answer")
    assert json.loads(waited)["error"] == last
    assert "Traceback" not in errors


@pytest.mark.parametrize("operation", ["GetQueueAttributes", "GetItem", "Query"])
async def test_where_a_place_is_in_trouble_for_a_moment_the_start_waits(
    cloud: Cloud, settings: dict[str, str], start: Start, operation: str
) -> None:
    async with faulty_dynamodb(cloud.emulator.url) as proxy:
        proxy.spoil(operation, *[Fault.BROKEN] * 6)
        async with start(**{**settings, **NODE, "AWS_ENDPOINT_URL": proxy.url}) as server:
            assert "start_waits" in server.printed()


async def test_questions_are_answered_in_order(start: Start, provider: FakeOpenAI, settings: dict[str, str]) -> None:
    async with start(**settings) as server, client(server) as anna:
        for number in range(5):
            await anna.say(f"question {number}")
        replies = [await anna.until("assistantResponse") for _ in range(5)]
    assert [reply["offset"] for reply in replies] == sorted(reply["offset"] for reply in replies)
    assert [reply["message"] for reply in replies] == [f"You said: question {number}" for number in range(5)]


async def test_a_cancel_is_heard_at_once(start: Start, provider: FakeOpenAI, settings: dict[str, str]) -> None:
    provider.script(Answer(length=100, interval=0.1))
    async with start(**settings) as server, client(server) as anna:
        await anna.say("hi")
        await anna.until("assistantDelta")
        began = time.monotonic()
        await anna.send("cancel")
        assert (await anna.until("assistantResponse"))["finishReason"] == "cancelled"
        assert time.monotonic() - began < 5


async def test_a_turn_whose_server_was_killed_goes_on_when_its_lease_is_over(
    start: Start, provider: FakeOpenAI, settings: dict[str, str]
) -> None:
    provider.script(Answer(length=100, interval=1), Answer(("whole",)))
    settings = {**settings, "LEASE_SECONDS": "2"}
    async with start(**settings) as server, client(server) as anna:
        await anna.say("hi", messageId="m1")
        await anna.until("assistantDelta")
        await server.kill()
    async with start(**settings) as server, client(server) as anna:
        await anna.send("resume", conversationId=anna.conversation_id, after=0)
        assert (await anna.until("assistantResponse", messageId="m1"))["message"] == "whole"


async def test_a_queue_that_cannot_be_used_is_said_before_anyone_comes(
    cloud: Cloud, settings: dict[str, str], tmp_path: Path
) -> None:
    wrong = {**settings, "QUEUE_URL": settings["QUEUE_URL"].replace("Queue", "Other")}
    code, _, errors = await run_command("serve", data_dir=tmp_path, **wrong)
    assert code == 2
    assert "QUEUE_URL" in errors
    assert "Traceback" not in errors


@pytest.fixture
def run_aws(ministack: Emulator, provider: FakeOpenAI, tmp_path: Path) -> AbstractAsyncContextManager[ServerProcess]:
    (tmp_path / "aws").mkdir()
    # Nobody else comes to listen there once it is over.
    (tmp_path / "aws" / "port").write_text(str(quiet_port()))
    return module_process(RUN_AWS, tmp_path, OPENAI_BASE_URL=provider.base_url, OPENAI_API_KEY="sk-test-canary")


def printed_url(server: ServerProcess) -> str:
    [line] = [line for line in server.printed().splitlines() if "wscat -c" in line]
    return line.split("'")[1]


@asynccontextmanager
async def talking(url: str) -> AsyncIterator[Client]:
    async with websockets.connect(url) as opened:
        yield Client(opened, json.loads(await opened.recv()))


async def test_one_command_runs_it_all_and_says_how_to_talk_to_it(
    run_aws: AbstractAsyncContextManager[ServerProcess], provider: FakeOpenAI, tmp_path: Path
) -> None:
    async with run_aws as server:
        async with talking(printed_url(server)) as demo:
            await demo.ask("hi")
        code, token, _ = await run_module("infra.cluster.people", "--user", "anna", data_dir=tmp_path)
        assert code == 0
        async with talking(server.socket(f"?Auth={token.strip()}")) as anna:
            assert anna.connected["userId"] != demo.connected["userId"]
            await anna.ask("hi, too")
        assert "DynamoDB table switchboard-" in server.printed()
        server.process.send_signal(signal.SIGINT)
        assert await server.stop() == 0
    assert "Traceback" not in server.printed()
    assert not (tmp_path / "aws" / "server.env").exists()
    assert not listens(int((tmp_path / "aws" / "port").read_text()))


async def test_what_was_said_is_there_after_a_restart(
    ministack: Emulator, provider: FakeOpenAI, tmp_path: Path
) -> None:
    settings = {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-test-canary"}
    async with module_process(RUN_AWS, tmp_path, **settings) as server:
        async with talking(printed_url(server)) as demo:
            await demo.ask("hi")
        await server.stop()
    async with module_process(RUN_AWS, tmp_path, **settings) as server, talking(printed_url(server)) as again:
        assert (again.conversation_id, again.connected["offset"]) == (demo.conversation_id, 2)


async def test_its_aws_ends_with_it_even_when_it_is_killed(
    run_aws: AbstractAsyncContextManager[ServerProcess], tmp_path: Path
) -> None:
    async with run_aws as server:
        port = int((tmp_path / "aws" / "port").read_text())
        assert listens(port)
        await server.kill()
        deadline = time.monotonic() + 10
        while listens(port) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert not listens(port)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
