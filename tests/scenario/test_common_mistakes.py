"""Mistakes that a server of this kind easily makes, one test each."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack

import httpx2
import pytest

from tests.fakes.openai_server import Answer, Call, FakeOpenAI, Fault
from tests.scenario.client import client, spoken
from tests.scenario.modes import MODES, settings_for
from tests.scenario.process import ServerProcess, Start
from tests.scenario.test_faults import asked_once

POLLED = [mode for mode in MODES if mode != "stream"]


async def test_a_reply_reaches_every_device_and_the_first_one_too(server: ServerProcess) -> None:
    async with client(server) as first, client(server) as second:
        reply = await second.ask("hello")
        assert await first.until("assistantResponse") == reply
        assert reply["message"] == "You said: hello"


@pytest.mark.parametrize("mode", POLLED)
async def test_a_run_that_is_queued_is_waited_for_also_after_its_tools(
    start: Start, provider: FakeOpenAI, mode: str
) -> None:
    queued = Answer(calls=(Call("current_time", {"timezone": None}),), first_delay=0.5)
    provider.script(queued, Answer(tokens=("At last.",), first_delay=0.5))
    async with start(**await settings_for(mode, provider)) as server, client(server) as anna:
        assert (await asked_once(anna, "what time is it?"))["message"] == "At last."
    assert not any(run.status == "cancelled" for run in provider.runs)


async def test_a_failure_is_tried_again_and_is_no_dead_letter(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(fault=Fault.SERVER_ERROR), Answer(fault=Fault.RATE_LIMITED))
    async with client(server) as anna:
        assert (await asked_once(anna, "hello"))["error"] is False
    assert len(provider.questions) == 3


@pytest.mark.parametrize("mode", POLLED)
async def test_a_cancel_that_comes_too_late_ends_the_turn_all_the_same(
    start: Start, provider: FakeOpenAI, mode: str
) -> None:
    provider.script(Answer(tokens=("nearly",), first_delay=30, fault=Fault.LATE_CANCEL))
    async with start(**await settings_for(mode, provider)) as server, client(server) as anna:
        await anna.say("hello")
        await provider.until(lambda: bool(provider.runs and provider.runs[0].polls))
        await anna.send("cancel")
        assert (await anna.until("assistantResponse"))["finishReason"] == "cancelled"
        assert (await anna.ask("again"))["error"] is False


async def test_a_late_goodbye_of_an_old_socket_does_not_end_the_new_one(server: ServerProcess) -> None:
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(client(server))
        async with client(server) as new:
            await stack.aclose()
            assert (await new.ask("hello"))["message"] == "You said: hello"
        assert old.frames


async def test_the_conversation_outlives_the_connection(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as anna:
        await anna.ask("my name is Anna")
    async with client(server) as anna:
        await anna.ask("what is my name?")
    said = [item["content"] for item in provider.questions[-1].body["input"]]
    assert said == ["my name is Anna", "You said: my name is Anna", "what is my name?"]


async def test_a_reply_that_came_while_nobody_was_there_waits(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("worth", " the", " wait"), first_delay=0.3))
    async with client(server) as anna:
        await anna.say("take your time")
        await anna.until("messageAccepted")
    await provider.until(lambda: bool(provider.questions and provider.questions[0].ended))
    async with client(server) as anna:
        await anna.send("resume", conversationId=anna.conversation_id, after=1)
        assert (await anna.until("assistantResponse"))["message"] == "worth the wait"


async def test_a_message_that_is_sent_again_costs_no_second_run(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as anna:
        first = await anna.ask("hello", messageId="m1")
        await anna.say("hello", messageId="m1")
        assert (await anna.until("messageAccepted"))["duplicate"] is True
        await anna.answer("ping", "pong")
        assert anna.of("assistantResponse") == [first]
    assert len(provider.questions) == 1


async def test_a_crash_blocks_nobody_for_longer_than_a_restart(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("never",), first_delay=60))
    async with start() as server, client(server) as anna:
        await anna.say("hello", messageId="m1")
        await provider.until(lambda: bool(provider.questions))
        await server.kill()
    async with start() as server, asyncio.timeout(15), client(server) as anna:
        await anna.send("resume", conversationId=anna.conversation_id, after=0)
        assert (await anna.until("assistantResponse", messageId="m1"))["message"] == "You said: hello"
        assert (await anna.ask("and now?"))["error"] is False


@pytest.mark.parametrize("mode", MODES)
async def test_all_that_the_model_says_is_told(start: Start, provider: FakeOpenAI, mode: str) -> None:
    calls = (Call("current_time", {"timezone": None}),)
    provider.script(Answer(tokens=("First.",), calls=calls), Answer(tokens=("Second.",)))
    async with start(**await settings_for(mode, provider)) as server, client(server) as anna:
        reply = await asked_once(anna, "hello")
        assert reply["message"] == spoken(anna.frames, reply["replyId"]) == "First.\n\nSecond."


@pytest.mark.parametrize("mode", POLLED)
async def test_a_run_that_ends_just_within_its_time_is_not_cut_off(
    start: Start, provider: FakeOpenAI, mode: str
) -> None:
    provider.script(Answer(tokens=("Just", " in", " time."), first_delay=1.7))
    settings = {**await settings_for(mode, provider), "POLL_FIRST_SECONDS": 1.3, "POLL_FACTOR": 4}
    async with start(**settings, RESPONSE_TIMEOUT_IN_SECONDS=5) as server, client(server) as anna:
        assert (await asked_once(anna, "hurry"))["message"] == "Just in time."


async def test_the_token_in_the_address_is_in_no_log(server: ServerProcess) -> None:
    token = server.token("anna")
    async with client(server, query=f"?Auth={token}") as anna:
        await anna.ask("a secret of mine")
    assert await server.stop() == 0
    logged = server.printed().partition("\n\n")[2]
    assert token not in logged
    assert "a secret of mine" not in logged


async def test_a_token_that_runs_out_ends_its_socket(server: ServerProcess) -> None:
    token = server.pool.token("anna", lifetime_seconds=2)
    async with client(server, token=token) as anna:
        async with asyncio.timeout(10):
            await anna.socket.wait_closed()
        assert anna.socket.close_code == 4401


async def test_what_the_model_says_goes_to_the_tool_of_the_person_who_asked(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    note = Call("remember", {"text": "Likes tea."}, id="call_1")
    spy = Call("recall", {"containing": None, "userId": "anna"})
    provider.script(Answer(calls=(note,)), Answer(tokens=("ok",)), Answer(calls=(spy,)), Answer(tokens=("ok",)))
    async with client(server) as anna, client(server, "ben") as ben:
        await anna.ask("I like tea")
        await ben.ask("what does Anna like?")
    outputs = [item["output"] for item in provider.questions[-1].body["input"] if "output" in item]
    assert outputs == ["userId: There is no such argument"]


async def test_what_is_no_message_is_refused_in_words(server: ServerProcess) -> None:
    async with client(server) as anna:
        for fields in ({}, {"message": None}, {"message": ""}, {"message": "x" * 40_000}, {"message": 7}):
            await anna.send("sendMessage", **fields)
            assert re.search(r"\w{3,}", (await anna.until("error"))["message"])
        assert (await anna.ask("hello"))["error"] is False


async def test_a_tool_that_is_unknown_or_called_badly_ends_no_run(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(calls=(Call("teleport"), Call("current_time", "{"))), Answer(tokens=("Well then.",)))
    async with client(server) as anna:
        assert (await asked_once(anna, "beam me up"))["message"] == "Well then."


async def test_the_address_and_the_message_of_the_readme_work(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.http) as http:
        assert (await http.get("/")).json()["status"] == "ok"
    async with client(server, path="/dev", query=f"?Auth={server.token('anna')}&stream=0") as anna:
        await anna.socket.send(json.dumps({"action": "sendMessage", "message": "Hey, how is it going?"}))
        reply = await anna.until("assistantResponse")
        assert (reply["error"], reply["message"]) == (False, "You said: Hey, how is it going?")
