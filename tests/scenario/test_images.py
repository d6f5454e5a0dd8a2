"""Pictures on the whole server: from a wish on a socket to the bytes behind the link, on a database and on AWS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.fakes.openai_server import Answer, Call, FakeOpenAI, Fault, Picture
from tests.ministack import Cloud
from tests.scenario.client import Client, Frame, client
from tests.scenario.process import ServerProcess, Start
from tests.scenario.test_chat import pipe
from tests.scenario.test_tools import outputs

WISH = "a violet canary on a bicycle"
DRAW = Call("generate_image", {"description": WISH})
ARTIST = {"ASSISTANT_ID": "images"}


def paint(body: Mapping[str, Any]) -> Answer:
    """Has it painted, and then says what the tool told."""
    found = outputs(body)
    return Answer(tokens=(f"Tool: {found[-1]}",)) if found else Answer(calls=(DRAW,))


@pytest.fixture
def artist(provider: FakeOpenAI) -> FakeOpenAI:
    provider.script(normal=paint)
    return provider


def paid(provider: FakeOpenAI) -> int:
    return len([one for one in provider.requests if one.path == "/v1/images/generations"])


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest) -> Mapping[str, str]:
    if request.param == "folder":
        return ARTIST
    cloud: Cloud = request.getfixturevalue("cloud")
    cloud.empty_table()
    cloud.empty_bucket()
    return {**cloud.table_settings(), "BUCKET_NAME": cloud.settings["BUCKET_NAME"], **ARTIST}


async def fetch(server: ServerProcess, link: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.http, trust_env=False) as http:
        return await http.get(link)


async def check_shown(server: ServerProcess, frame: Frame) -> None:
    """The one link of the frame is good, for anyone."""
    [link] = frame["images"]
    shown = await fetch(server, link)
    assert shown.status_code == 200, shown.text
    assert shown.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(shown.content)).format == "JPEG"


async def past(anna: Client) -> list[Frame]:
    frame = await anna.answer("history", "history")
    return [entry for entry in frame["messages"] if entry["role"] == "assistant"]


async def test_a_wish_becomes_a_link_to_its_picture(
    start: Start, artist: FakeOpenAI, settings: Mapping[str, str]
) -> None:
    async with start(**settings) as server:
        async with client(server) as anna:
            reply = await anna.ask("Draw a canary.")
            assert (reply["error"], reply["message"].startswith("Tool: The picture is made.")) == (False, True)
            await check_shown(server, reply)
            assert [frame["status"] for frame in anna.of("toolCall")] == ["started", "done"]
        async with client(server) as anna:
            await anna.send("resume", conversationId=reply["conversationId"], after=0)
            await check_shown(server, await anna.until("assistantResponse"))
            [entry] = await past(anna)
            await check_shown(server, entry)
            again = await anna.ask("Draw it again.")
            await check_shown(server, again)
    assert paid(artist) == 1
    assert WISH not in server.printed()


async def test_a_link_of_the_past_has_run_out_and_history_gives_a_new_one(
    start: Start, artist: FakeOpenAI, settings: Mapping[str, str]
) -> None:
    async with start(**settings, IMAGE_URL_SECONDS=2) as server, client(server) as anna:
        [link] = (await anna.ask("Draw a canary."))["images"]
        async with asyncio.timeout(20):
            while (answer := await fetch(server, link)).status_code == 200:
                await asyncio.sleep(0.2)
        assert answer.status_code in {403, 410}
        [entry] = await past(anna)
        await check_shown(server, entry)


async def test_html_shows_the_picture_by_its_link(start: Start, artist: FakeOpenAI) -> None:
    async with start(**ARTIST) as server, client(server, query="?format=html") as anna:
        reply = await anna.ask("Draw a canary.")
        assert f'<img src="{reply["images"][0].replace("&", "&amp;")}"' in reply["html"]


async def test_a_refusal_is_a_sentence_and_no_picture(start: Start, artist: FakeOpenAI) -> None:
    artist.images.script(Picture(fault=Fault.MODERATION_BLOCKED))
    async with start(**ARTIST) as server, client(server) as anna:
        reply = await anna.ask("Draw a canary.")
        assert "rules for pictures" in reply["message"]
        assert "images" not in reply
        assert [frame["status"] for frame in anna.of("toolCall")] == ["started", "failed"]
    assert WISH not in server.printed()


async def test_a_crash_between_the_picture_and_the_reply_is_not_paid_for_twice(
    start: Start, provider: FakeOpenAI
) -> None:
    def slow(body: Mapping[str, Any]) -> Answer:
        return Answer(tokens=("Here.",), first_delay=30) if outputs(body) else paint(body)

    provider.script(normal=slow)
    async with start(**ARTIST) as server, client(server) as anna:
        await anna.say("Draw a canary.")
        await anna.until("toolCall", status="done")
        await server.kill()
    provider.script(normal=paint)
    async with start(**ARTIST) as server, client(server) as anna:
        await anna.send("resume", conversationId=anna.conversation_id, after=0)
        await check_shown(server, await anna.until("assistantResponse"))
    assert paid(provider) == 1


async def test_two_processes_on_one_folder_pay_once(start: Start, artist: FakeOpenAI, tmp_path: Any) -> None:
    artist.images.script(Picture(delay=1.0))
    shared = {**ARTIST, "FILES_DIR": str(tmp_path / "shared")}
    async with (
        start(**shared, DATA_DIR=tmp_path / "one") as one,
        start(**shared, DATA_DIR=tmp_path / "two") as other,
    ):
        one.data_dir, other.data_dir = tmp_path / "one", tmp_path / "two"
        async with client(one) as anna, client(other) as ben:
            first, second = await asyncio.gather(anna.ask("Draw."), ben.ask("Draw."))
            # Who shares the folder takes the other's links.
            await check_shown(other, first)
            await check_shown(one, second)
    assert paid(artist) == 1


async def test_the_day_has_so_many_pictures(start: Start, artist: FakeOpenAI) -> None:
    wishes = iter(("one canary", "two canaries"))

    def another(body: Mapping[str, Any]) -> Answer:
        if outputs(body):
            return paint(body)
        return Answer(calls=(Call("generate_image", {"description": next(wishes)}),))

    artist.script(normal=another)
    async with start(**ARTIST, IMAGES_PER_DAY=1) as server, client(server) as anna:
        assert (await anna.ask("Draw."))["images"]
        reply = await anna.ask("Draw another.")
        assert "No more than 1 new pictures a day" in reply["message"]
        assert "images" not in reply
    assert paid(artist) == 1


async def test_the_terminal_shows_the_link(start: Start, artist: FakeOpenAI) -> None:
    async with start(**ARTIST) as server:
        code, output, errors = await pipe("Draw a canary.\n", server.data_dir, PORT=server.port)
        assert (code, errors) == (0, errors)
        [line] = [line for line in output.splitlines() if line.startswith("picture: ")]
        link = line.removeprefix("picture: ")
        assert link.startswith(f"http://127.0.0.1:{server.port}/files/images/")
        assert (await fetch(server, link)).status_code == 200


async def test_the_image_route_is_described(start: Start) -> None:
    async with start() as server:
        assert "/files/{key}" in json.loads((await fetch(server, "/openapi.json")).content)["paths"]
        assert (await fetch(server, "/files/images/a")).status_code == 403
