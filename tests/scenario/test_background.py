"""Runs that go on at the provider whether we are there or not."""

from __future__ import annotations

import asyncio
import signal
import time

from tests.databases import SERVERS, scratch_database
from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.scenario.client import client, spoken
from tests.scenario.pair import Nodes
from tests.scenario.process import Start
from tests.scenario.test_faults import asked_once

SETTINGS = {"RUN_MODE": "background", "OPENAI_BACKGROUND": "true", "POLL_FIRST_SECONDS": "0.05"}


async def test_a_reply_comes_whole_and_the_next_one_knows_of_it(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("It", " is", " done."), first_delay=0.1, interval=0.05))
    async with start(**SETTINGS) as server, client(server) as anna:
        reply = await asked_once(anna, "do it")
        assert (reply["message"], reply["finishReason"]) == ("It is done.", "stop")
        assert reply["usage"]["outputTokens"] > 0
        assert spoken(anna.frames, reply["replyId"]) == reply["message"]
        assert len(anna.of("assistantDelta")) == 1
        await anna.ask("and now?")
    first, second = provider.questions
    assert (first.body["background"], first.body["store"]) == (True, True)
    assert [item["content"] for item in second.body["input"]] == ["do it", "It is done.", "and now?"]


async def test_a_killed_server_goes_on_with_the_run_that_it_paid_for(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("worth", " it"), first_delay=2.0))
    async with start(**SETTINGS) as server, client(server) as anna:
        await anna.say("take your time", messageId="m1")
        await anna.until("runStarted")
        await provider.until(lambda: len(provider.requests) > 3)
        await server.kill()
    async with start(**SETTINGS) as server, client(server) as anna:
        await anna.send("resume", conversationId=anna.conversation_id, after=0)
        reply = await anna.until("assistantResponse", messageId="m1")
        assert reply["message"] == "worth it"
    assert provider.runs_created() == 1


async def test_a_stopped_server_leaves_the_run_alone_and_the_next_one_takes_it_up(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(Answer(tokens=("worth", " it"), first_delay=3.0))
    async with start(**SETTINGS, DRAIN_SECONDS=0) as server, client(server) as anna:
        await anna.say("take your time", messageId="m1")
        await provider.until(lambda: len(provider.requests) > 3)
        assert await server.stop() == 0
    async with start(**SETTINGS) as server, client(server) as anna:
        await anna.send("resume", conversationId=anna.conversation_id, after=0)
        assert (await anna.until("assistantResponse", messageId="m1"))["message"] == "worth it"
    assert provider.runs_created() == 1


async def test_a_process_that_slept_past_its_deadline_leaves_the_run_to_the_one_that_took_it_up(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(Answer(tokens=("worth", " it"), first_delay=5.7))
    limits = {"LEASE_SECONDS": 1, "RESPONSE_TIMEOUT_IN_SECONDS": 5}
    with scratch_database(SERVERS["postgres"]) as url:
        nodes = Nodes(start, {**SETTINGS, **limits, "DATABASE_URL": url.replace("+psycopg", "")})
        async with nodes.both(("serve",)) as (one, other), client(one) as anna, client(other) as laptop:
            await anna.say("take your time", messageId="m1")
            began = time.monotonic()
            await provider.until(lambda: bool(provider.runs) and provider.runs[0].polls > 0)
            one.process.send_signal(signal.SIGSTOP)
            polls = provider.runs[0].polls + 1
            await provider.until(lambda: provider.runs[0].polls > polls)
            await asyncio.sleep(began + 5.2 - time.monotonic())
            one.process.send_signal(signal.SIGCONT)
            assert (await laptop.until("assistantResponse", messageId="m1"))["message"] == "worth it"
    assert provider.runs_created() == 1


async def test_a_cancelled_run_is_cancelled_at_the_provider_and_the_next_turn_works(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(Answer(tokens=("never",), first_delay=30))
    async with start(**SETTINGS) as server, client(server) as anna:
        await anna.say("hello")
        await provider.until(lambda: len(provider.requests) > 3)
        await anna.send("cancel")
        reply = await anna.until("assistantResponse")
        assert (reply["error"], reply["message"], reply["finishReason"]) == (False, "", "cancelled")
        assert [run.status for run in provider.runs] == ["cancelled"]
        assert (await anna.ask("again"))["message"] == "You said: again"


async def test_a_run_that_takes_too_long_is_cancelled_at_the_provider(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("never",), first_delay=30))
    async with start(**SETTINGS, RESPONSE_TIMEOUT_IN_SECONDS=1) as server, client(server) as anna:
        reply = await anna.ask("hello")
        assert (reply["code"], reply["retryable"]) == ("expired", True)
        assert [run.status for run in provider.runs] == ["cancelled"]


async def test_polls_that_fail_cost_no_second_run(start: Start, provider: FakeOpenAI) -> None:
    faults = (Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.RESET_BEFORE_HEADERS, Fault.OVERLOADED)
    provider.script(Answer(tokens=("fine",), poll_faults=faults))
    async with start(**SETTINGS) as server, client(server) as anna:
        assert (await asked_once(anna, "hello"))["message"] == "fine"
    assert provider.runs_created() == 1


async def test_a_run_that_failed_is_begun_once_more(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(fault=Fault.FAILED, at=1))
    async with start(**SETTINGS) as server, client(server) as anna:
        assert (await asked_once(anna, "hello"))["message"] == "You said: hello"
    assert provider.runs_created() == 2


async def test_without_background_runs_the_stream_is_collected(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("one", " two", " three"), interval=0.1))
    async with start(RUN_MODE="background") as server, client(server) as anna:
        reply = await asked_once(anna, "count")
        assert reply["message"] == "one two three"
        assert len(anna.of("assistantDelta")) == 1
    [question] = provider.questions
    assert (question.body["stream"], question.body["store"]) == (True, False)


async def test_nothing_but_runs_in_the_background_stays_at_the_provider(start: Start, provider: FakeOpenAI) -> None:
    async with start() as server, client(server) as anna:
        for text in ("one", "two"):
            await anna.ask(text)
    assert [question.body["store"] for question in provider.questions] == [False, False]
    assert not [one for one in provider.requests if one.path not in {"/v1/responses", "/v1/models"}]


async def test_a_person_who_waits_is_not_waited_for_by_others(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("late",), first_delay=30))
    async with start(**SETTINGS) as server, client(server) as anna, client(server, "ben") as ben:
        await anna.say("slow")
        await provider.until(lambda: bool(provider.runs_created()))
        assert (await ben.ask("quick"))["message"] == "You said: quick"
        assert [run.active for run in provider.runs] == [True, False]
        await anna.send("cancel")
        assert (await anna.until("assistantResponse"))["finishReason"] == "cancelled"
