"""Tools on the whole server: a whole story, cancelling, and a crash in the middle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from server.assistant.tools.get_inventory import ATTEMPT_SECONDS
from tests.fakes.inventory import Shop
from tests.fakes.openai_server import Answer, Call, FakeOpenAI
from tests.fakes.openai_server.asking import question
from tests.scenario.client import Client, Frame, client, spoken
from tests.scenario.modes import MODES, settings_for
from tests.scenario.process import Start
from tests.scenario.test_faults import asked_once

LOOK = Call("get_inventory", {"genre": "fiction"})


def outputs(body: Mapping[str, Any]) -> list[str]:
    return [item["output"] for item in body["input"] if "output" in item]


def recommend(body: Mapping[str, Any]) -> Answer:
    """Looks into the shop, and then names what is there."""
    found = outputs(body)
    if not found:
        return Answer(tokens=("Let me see.",), calls=(LOOK,))
    books = [book["name"] for book in json.loads(found[-1])["books"]]
    return Answer(tokens=("We have ", " and ".join(books), "."))


def used(anna: Client) -> list[tuple[str, str]]:
    return [(frame["name"], frame["status"]) for frame in anna.of("toolCall")]


@pytest.mark.parametrize("mode", MODES)
async def test_the_seeds_story_a_book_is_recommended_from_the_inventory(
    start: Start, provider: FakeOpenAI, mode: str
) -> None:
    provider.script(normal=recommend)
    settings = await settings_for(mode, provider)
    async with Shop() as shop:
        async with start(**settings, INVENTORY_URL=shop.url) as server, client(server) as anna:
            reply = await asked_once(anna, "What should I read?")
            assert reply["message"] == "Let me see.\n\nWe have The Russian and The Vanishing Half."
            assert spoken(anna.frames, reply["replyId"]) == reply["message"]
            assert used(anna) == [("get_inventory", "started"), ("get_inventory", "done")]
            assert "fiction" not in json.dumps(anna.of("toolCall"))
        [request] = shop.requests
        assert f"{reply['replyId']}-call_" in request


async def test_devices_without_deltas_hear_of_no_tools(start: Start, provider: FakeOpenAI) -> None:
    provider.script(normal=recommend)
    async with Shop() as shop, start(INVENTORY_URL=shop.url) as server, client(server, query="?stream=0") as anna:
        assert (await anna.ask("What should I read?"))["message"].startswith("Let me see.")
        assert {frame["messageType"] for frame in anna.frames} == {
            *("connected", "messageAccepted", "runStarted", "assistantResponse")
        }


async def test_what_the_model_says_it_is_does_not_make_it_another_person(start: Start, provider: FakeOpenAI) -> None:
    """The model's arguments are nobody's identity."""

    def betray(body: Mapping[str, Any]) -> Answer:
        if outputs(body):
            return Answer(tokens=tuple(outputs(body)[-1:]))
        match question(dict(body)):
            case "note":
                return Answer(calls=(Call("remember", {"text": "The code is 7."}),))
            case "spy":
                return Answer(calls=(Call("recall", {"containing": None, "caller": {"person": "anna"}}),))
            case _:
                return Answer(calls=(Call("recall", {"containing": None}),))

    provider.script(normal=betray)
    async with start() as server, client(server) as anna, client(server, "ben") as ben:
        assert (await anna.ask("note"))["message"] == "Noted."
        assert "The code is 7." in (await anna.ask("look"))["message"]
        assert "no such argument" in (await ben.ask("spy"))["message"]
        assert (await ben.ask("look"))["message"] == "There are no such notes."


async def test_a_tool_that_fails_is_told_to_the_model_and_not_to_the_person(start: Start, provider: FakeOpenAI) -> None:
    def stumble(body: Mapping[str, Any]) -> Answer:
        calls = (Call("current_time", "{nonsense"), Call("no_such_tool"), Call("current_time", {"timezone": "Moon"}))
        return Answer(tokens=("I could not find out.",)) if outputs(body) else Answer(calls=calls)

    provider.script(normal=stumble)
    async with start() as server, client(server) as anna:
        reply = await asked_once(anna, "What time is it on the moon?")
        assert (reply["error"], reply["message"]) == (False, "I could not find out.")
    told = outputs(provider.questions[-1].body)
    assert len(told) == 3
    assert not any("Traceback" in text for text in told)
    assert "no_such_tool" not in server.printed()


async def cancelled(anna: Client) -> Frame:
    await anna.send("cancel")
    reply = await anna.until("assistantResponse")
    assert (reply["error"], reply["finishReason"]) == (False, "cancelled")
    return reply


@pytest.mark.parametrize("mode", MODES)
async def test_cancel_while_a_tool_is_at_work(start: Start, provider: FakeOpenAI, mode: str) -> None:
    provider.script(normal=recommend)
    settings = await settings_for(mode, provider)
    async with Shop(None) as shop, start(**settings, INVENTORY_URL=shop.url) as server, client(server) as anna:
        await anna.say("What should I read?")
        await anna.until("toolCall")
        assert (await cancelled(anna))["message"] == "Let me see."
        assert not any(run.active for run in provider.runs if run.kind == "thread.run")
        reply = await asked_once(anna, "And now?")
        assert reply["message"].endswith("The Russian and The Vanishing Half.")


@pytest.mark.parametrize("mode", MODES)
async def test_cancel_between_rounds(start: Start, provider: FakeOpenAI, mode: str) -> None:
    def slow(body: Mapping[str, Any]) -> Answer:
        if question(dict(body)) == "quick":
            return Answer(tokens=("Here.",))
        return Answer(tokens=("never",), first_delay=30) if outputs(body) else recommend(body)

    provider.script(normal=slow)
    settings = await settings_for(mode, provider)
    async with Shop() as shop, start(**settings, INVENTORY_URL=shop.url) as server, client(server) as anna:
        await anna.say("What should I read?")
        await anna.until("toolCall", status="done")
        assert (await cancelled(anna))["message"] == "Let me see."
        assert not any(run.active for run in provider.runs if mode != "stream")
        assert (await asked_once(anna, "quick"))["message"] == "Here."


@pytest.mark.parametrize("mode", MODES)
async def test_a_crash_repeats_no_tool_that_had_returned(start: Start, provider: FakeOpenAI, mode: str) -> None:
    def twice(body: Mapping[str, Any]) -> Answer:
        found = outputs(body)
        if not found:
            return Answer(calls=(Call("remember", {"text": "Once."}, id="call_a"), LOOK))
        return Answer(calls=(Call("recall", {"containing": None}),)) if len(found) == 2 else Answer(tokens=(found[-1],))

    provider.script(normal=twice)
    settings = await settings_for(mode, provider)
    async with Shop(None) as shop:
        async with start(**settings, INVENTORY_URL=shop.url) as server, client(server) as anna:
            await anna.say("Remember and look.")
            await anna.until("toolCall", name="remember", status="done")
            await asked(shop)
            await server.kill()
        runs = provider.runs_created()
        async with start(**settings, INVENTORY_URL=shop.url) as server, client(server) as anna:
            await anna.send("resume", conversationId=anna.conversation_id, after=0)
            reply = await anna.until("assistantResponse")
            assert [note["text"] for note in json.loads(reply["message"])] == ["Once."]
            assert ("remember", "started") not in used(anna)
    assert len({key_of(request) for request in shop.requests}) == 1
    assert provider.runs_created() - runs == (2 if mode != "threads" else 0)


async def asked(shop: Shop) -> None:
    async with asyncio.timeout(ATTEMPT_SECONDS):
        while not shop.requests:
            await asyncio.sleep(0.01)


def key_of(request: str) -> Sequence[str]:
    return tuple(line for line in request.splitlines() if line.lower().startswith("idempotency-key"))
