"""The debate endpoint, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from tests.databases import SERVERS, scratch_database
from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.ministack import Cloud
from tests.scenario.chat_api import chat, code_of, shown
from tests.scenario.client import client
from tests.scenario.process import ServerProcess, Start

STORES = ("sqlite", "mysql", "postgres", "dynamodb")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """The settings of each store."""
    match request.param:
        case "sqlite":
            yield {}
        case "dynamodb":
            cloud: Cloud = request.getfixturevalue("cloud")
            cloud.empty_table()
            yield cloud.table_settings()
        case name:
            with scratch_database(SERVERS[name]) as url:
                yield {"DATABASE_URL": url.replace("+pymysql", "").replace("+psycopg", "")}


def side_of(body: Mapping[str, Any]) -> Answer:
    """A debater who sees what it said, and keeps to it."""
    said = [item["content"] for item in body["input"]]
    argument = len(said) // 2 + 1
    side = "cats are better" if argument == 1 or "cats are better" in said[1] else "lost the thread"
    return Answer((f"Argument {argument}: {side}.",))


async def test_a_debate_as_the_seed_tells_it(start: Start, provider: FakeOpenAI, store: Mapping[str, str]) -> None:
    provider.script(normal=side_of)
    async with start(**store) as server, chat(server) as anna:
        first = await anna.post("Dogs or cats?")
        assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
        assert first.json() == {
            "conversation_id": first.json()["conversation_id"],
            "message": [
                {"role": "user", "message": "Dogs or cats?"},
                {"role": "bot", "message": "Argument 1: cats are better."},
            ],
        }
        anna.conversation_id = first.json()["conversation_id"]
        for number in range(2, 8):
            said = await anna.say(f"No, for reason {number}.")
            assert len(said) == min(2 * number, 5)
            assert said[-2:] == [f"user: No, for reason {number}.", f"bot: Argument {number}: cats are better."]
        assert said == [
            "bot: Argument 5: cats are better.",
            "user: No, for reason 6.",
            "bot: Argument 6: cats are better.",
            "user: No, for reason 7.",
            "bot: Argument 7: cats are better.",
        ]
        assert anna.conversation_id == first.json()["conversation_id"]
    history = [item["content"] for item in provider.questions[-1].body["input"]]
    assert history[:4] == ["Dogs or cats?", "Argument 1: cats are better.", "No, for reason 2.", history[3]]
    assert len(history) == 13
    assert all("You are Kopi." in question.body["instructions"] for question in provider.questions)
    assert all(question.body["max_output_tokens"] == 1024 for question in provider.questions)


async def test_a_debate_that_is_too_long_for_the_model_keeps_its_topic_and_its_side(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(normal=side_of)
    async with start(CONTEXT_TOKENS=2_400) as server, chat(server) as anna:
        await anna.say("Dogs or cats?")
        for number in range(24):
            said = await anna.say(f"No, for reason {number}, and for many more. " + "Woof! " * 30)
        assert said[-1].endswith(": cats are better.")
    history = [item["content"] for item in provider.questions[-1].body["input"]]
    assert history[:2] == ["Dogs or cats?", "Argument 1: cats are better."]
    assert "for reason 22," in history[-3]
    assert len(history) < 30


async def test_twenty_posts_at_once_are_answered_in_one_order(
    start: Start, provider: FakeOpenAI, store: Mapping[str, str]
) -> None:
    async with start(**store) as server, chat(server) as anna:
        await anna.say("begin")
        posts = [anna.post(f"number {number}", anna.conversation_id) for number in range(20)]
        answered = await asyncio.gather(*posts)
        assert [one.status_code for one in answered] == [200] * 20
        for number, one in enumerate(answered):
            assert shown(one.json())[-2:] == [f"user: number {number}", f"bot: You said: number {number}"]
        asked = [question.body["input"][-1]["content"] for question in provider.questions[1:]]
        assert sorted(asked) == sorted(f"number {number}" for number in range(20))
        assert all(
            question.body["input"][-3]["content"] == before.body["input"][-1]["content"]
            for before, question in pairwise(provider.questions)
        )
        tails = {shown(one.json())[-2]: shown(one.json()) for one in answered}
        for before, after in pairwise(asked):
            assert tails[f"user: {after}"][-4:-2] == tails[f"user: {before}"][-2:]


async def test_a_retry_makes_no_second_turn_and_no_second_conversation(
    start: Start, provider: FakeOpenAI, store: Mapping[str, str]
) -> None:
    key = "3f2b6a0c-1d8e-4b57-9a64-0c2f1e7d9b11"
    async with (
        start(**store, HTTP_CHAT_PUBLIC="true") as server,
        chat(server, "anna") as anna,
        chat(server, "") as nobody,
    ):
        for person in (anna, nobody):
            together = await asyncio.gather(*(person.post("hello", idempotency_key=key) for _ in range(5)))
            again = await person.post("hello", idempotency_key=f'"{key}"')
            assert {(one.status_code, one.text) for one in (*together, again)} == {(200, again.text)}
            assert again.headers["idempotency-key"] == key
            other = await person.post("something else", idempotency_key=key)
            assert code_of(other) == (409, "id_conflict")
            await person.post("next", again.json()["conversation_id"])
            assert (await person.post("hello", idempotency_key=key)).text == again.text
        async with client(server) as socket:
            known = await socket.answer("listConversations", "conversations")
        assert len([one for one in known["conversations"] if one["assistant"] == "debate"]) == 1
    assert len(provider.questions) == 4


async def test_a_conversation_of_nobody_is_reached_by_its_id_alone(
    start: Start, provider: FakeOpenAI, store: Mapping[str, str]
) -> None:
    async with (
        start(**store, HTTP_CHAT_PUBLIC="true") as server,
        chat(server, "") as nobody,
        chat(server, "") as other,
        chat(server) as anna,
    ):
        await nobody.say("one")
        assert await nobody.say("two") == ["user: one", "bot: You said: one", "user: two", "bot: You said: two"]
        await anna.say("mine")
        whole = nobody.conversation_id or ""
        stored, _, secret = whole.partition(".")
        assert len(secret) == 32
        forged = [stored, f"{stored}.", f"{stored}.{'0' * 32}", f"{stored}.{secret[:-1]}", secret, f".{secret}"]
        for guess in (*forged, anna.conversation_id or "", "c_" + "0" * 24, "a\0b", "../etc", "é"):
            assert code_of(await other.post("hi", guess)) == (404, "unknown_conversation")
        for guess in (whole, stored):
            assert code_of(await anna.post("hi", guess)) == (404, "unknown_conversation")
        assert (await other.post("three", whole)).status_code == 200
        again = await other.post("one")
        assert again.json()["conversation_id"] != whole
        assert secret not in server.printed()


async def test_a_turn_killed_in_the_middle_is_answered_once_to_its_retry(
    start: Start, provider: FakeOpenAI, store: Mapping[str, str]
) -> None:
    settings = {**store, "LEASE_SECONDS": "2", "HTTP_CHAT_PUBLIC": "true"}
    key = {"idempotency_key": "0b6c1a52-6f38-4f0e-8d4c-7a1f52b90c33"}
    for user in ("", "anna"):
        async with start(**settings) as server, chat(server, user) as person:
            provider.reset()
            provider.script(Answer(tokens=("never", " the", " end") * 100, interval=0.05))
            lost = asyncio.create_task(person.post("still there?", **key))
            await provider.until(lambda: len(provider.questions) == 1)
            await server.kill()
            with pytest.raises(httpx2.TransportError):
                await lost
        async with start(**settings) as server, chat(server, user) as person:
            assert await person.say("still there?", **key) == ["user: still there?", "bot: You said: still there?"]
            assert await person.say("more") == [
                "user: still there?",
                "bot: You said: still there?",
                "user: more",
                "bot: You said: more",
            ]


async def test_a_socket_of_the_person_sees_it_live(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as socket, chat(server) as anna:
        await anna.say("from here")
        reply = await socket.until("assistantResponse")
        assert (reply["conversationId"], reply["message"]) == (anna.conversation_id, "You said: from here")
