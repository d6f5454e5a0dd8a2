"""Pictures at the debate endpoint: in its answers, with words and without, and for whom they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.scenario.chat_api import chat, told
from tests.scenario.process import ServerProcess, Start
from tests.scenario.test_images import DRAW, check_shown, paid, paint
from tests.scenario.test_tools import outputs

ARTIST = {"HTTP_CHAT_ASSISTANT_ID": "images"}


def paint_in_silence(body: Mapping[str, Any]) -> Answer:
    return Answer(tokens=()) if outputs(body) else Answer(calls=(DRAW,))


@pytest.fixture
def artist(provider: FakeOpenAI) -> FakeOpenAI:
    provider.script(normal=paint)
    return provider


async def check_drawn(server: ServerProcess, answered: httpx2.Response, words: str) -> None:
    assert answered.status_code == 200, answered.text
    asked, drawn = answered.json()["message"][-2:]
    assert asked == {"role": "user", "message": "Draw a canary."}
    assert (drawn["role"], drawn["message"].startswith(words)) == ("bot", True)
    await check_shown(server, drawn)


async def test_an_answer_carries_its_picture_and_so_do_later_ones(start: Start, artist: FakeOpenAI) -> None:
    async with start(**ARTIST) as server, chat(server) as anna:
        first = await anna.post("Draw a canary.")
        await check_drawn(server, first, "Tool: The picture is made.")
        artist.script(normal=Answer(tokens=("Welcome.",)))
        later = await anna.post("Thank you.", first.json()["conversation_id"])
        drawn, thanks, welcome = later.json()["message"][-3:]
        await check_shown(server, drawn)
        assert (thanks, welcome) == (
            {"role": "user", "message": "Thank you."},
            {"role": "bot", "message": "Welcome."},
        )
    assert paid(artist) == 1


async def test_a_picture_without_a_word_is_an_answer(start: Start, artist: FakeOpenAI) -> None:
    async with start(**ARTIST) as server, chat(server) as anna:
        artist.script(normal=Answer(tokens=("Hello.",)))
        first = await anna.post("Hello.")
        artist.script(normal=paint_in_silence)
        await check_drawn(server, await anna.post("Draw a canary."), "")
        again = await anna.post("Draw a canary.", first.json()["conversation_id"])
        await check_drawn(server, again, "")
        assert [one["message"] for one in again.json()["message"]] == ["Hello.", "Hello.", "Draw a canary.", ""]


async def test_a_picture_without_a_word_is_streamed_as_the_answer(start: Start, artist: FakeOpenAI) -> None:
    artist.script(normal=paint_in_silence)
    async with start(**ARTIST) as server, chat(server) as anna:
        async with anna.stream("Draw a canary.") as events:
            seen = [event async for event in events if event[0]]
        assert ([name for name, _ in seen], told(seen)) == (["accepted", "done"], "")
        await check_shown(server, seen[-1][1]["message"][-1])


async def test_nothing_is_paid_for_people_without_a_token(start: Start, artist: FakeOpenAI) -> None:
    async with start(**ARTIST, HTTP_CHAT_PUBLIC="true") as server, chat(server, "") as nobody:
        for _ in range(2):
            answered = await nobody.post("Draw a canary.")
            [_, drawn] = answered.json()["message"]
            assert "signed in" in drawn["message"]
            assert "images" not in drawn
    assert paid(artist) == 0
