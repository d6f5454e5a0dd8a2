"""The server dies again and again under load, and nobody is the wiser."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.backends.dynamodb import open_dynamodb
from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.ministack import Cloud
from tests.scenario.client import client
from tests.scenario.process import START_SECONDS, ServerProcess, Start
from tests.scenario.storm import DATABASE, KILLS, MISCARRIED, STOPS, Storm, begun, killed, questions, weather


@pytest.mark.slow
@pytest.mark.timeout(180 + 10 * KILLS)
async def test_kills_under_load_lose_double_and_reorder_nothing(storm: Storm) -> None:
    async def rage() -> None:
        for _ in range(KILLS):
            if storm.random.random() < MISCARRIED:
                await storm.miscarry()
            await storm.rage(1, ServerProcess.kill)

    logs = await weather(storm, rage, least=5 * KILLS)
    assert len(questions(logs)) >= 5 * KILLS
    assert storm.busy >= KILLS / 4


@pytest.mark.slow
@pytest.mark.timeout(180 + 10 * KILLS)
async def test_kills_under_load_do_no_more_harm_where_a_table_keeps_everything(
    storm: Storm, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.empty_table()
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    # A lease is not void when the next server starts: it has to run out.
    storm.settings = {**cloud.table_settings(), "LEASE_SECONDS": 1}
    storm.opened = lambda _folder: open_dynamodb(cloud.settings["TABLE_NAME"], lease_seconds=1, most_waiting=100)
    logs = await weather(storm, lambda: storm.rage(KILLS, ServerProcess.kill), least=3 * KILLS)
    assert len(questions(logs)) >= 3 * KILLS
    assert storm.busy


@pytest.mark.slow
@pytest.mark.timeout(120 + 15 * STOPS)
async def test_restarts_under_load_lose_nothing_and_end_in_time(storm: Storm) -> None:
    async def stop(server: ServerProcess) -> None:
        assert await server.stop() == 0

    logs = await weather(storm, lambda: storm.rage(STOPS, stop), least=5 * STOPS)
    assert len(questions(logs)) >= 5 * STOPS
    assert storm.busy
    assert storm.slowest_end < 30


@pytest.mark.parametrize("milliseconds", [0, 5, 20])
async def test_a_server_killed_while_it_makes_its_database_starts_the_next_time(
    start: Start, provider: FakeOpenAI, tmp_path: Path, milliseconds: int
) -> None:
    process = await begun(provider, tmp_path)
    async with asyncio.timeout(START_SECONDS):
        while not (tmp_path / DATABASE).exists():
            await asyncio.sleep(0.001)
    await asyncio.sleep(milliseconds / 1000)
    await killed(process)
    async with start() as server, client(server) as anna:
        assert (await anna.ask("hello"))["message"] == "You said: hello"


async def test_a_turn_whose_server_was_killed_goes_on_at_once_in_the_next_one(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(Answer(tokens=("never", " the", " end") * 100, interval=0.02))
    async with start() as server, client(server) as anna:
        await anna.say("still there?", messageId="m1")
        await anna.until("assistantDelta")
        await server.kill()
    async with start() as server:
        async with asyncio.timeout(10):
            # Nobody need come back for it.
            await provider.until(lambda: len(provider.questions) == 2)
            async with client(server) as anna:
                await anna.answer("resume", "resumed", conversationId=anna.conversation_id, after=0)
                reply = await anna.until("assistantResponse")
        assert (reply["messageId"], reply["message"]) == ("m1", "You said: still there?")
    killed, again = provider.questions
    assert killed.body["input"] == again.body["input"]
