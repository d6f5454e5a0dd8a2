"""A person's conversation is theirs to delete."""

from __future__ import annotations

import httpx2
import pytest

from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.scenario.client import client
from tests.scenario.modes import MODES, settings_for
from tests.scenario.process import ServerProcess, Start


async def delete(server: ServerProcess, conversation_id: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.http) as http:
        return await http.delete(f"/api/conversations/{conversation_id}", headers=headers)


def bearer(server: ServerProcess, user: str) -> dict[str, str]:
    return {"authorization": f"Bearer {server.token(user)}"}


async def test_what_was_said_is_gone_and_the_next_conversation_knows_nothing_of_it(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with client(server) as anna:
        await anna.ask("my secret is 42")
        conversation_id = anna.conversation_id
        answered = await delete(server, conversation_id, **bearer(server, "anna"))
        assert (answered.status_code, answered.content) == (204, b"")
        await anna.send("history", conversationId=conversation_id)
        assert (await anna.until("error"))["code"] == "unknown_conversation"
    async with client(server) as anna:
        assert anna.conversation_id != conversation_id
        assert anna.connected["offset"] == 0
        await anna.ask("what is my secret?")
    assert [item["content"] for item in provider.questions[-1].body["input"]] == ["what is my secret?"]


async def test_only_the_person_deletes_it(server: ServerProcess) -> None:
    async with client(server) as anna:
        conversation_id = anna.conversation_id
        for headers, status, code in (
            ({}, 401, "no_token"),
            ({"authorization": "Bearer nonsense"}, 403, "bad_token"),
            (bearer(server, "ben"), 404, "unknown_conversation"),
            (bearer(server, "anna") | {"origin": "https://evil.example"}, 403, "bad_origin"),
        ):
            answered = await delete(server, conversation_id, **headers)
            assert (answered.status_code, answered.json()["error"]["code"]) == (status, code)
        assert (await anna.ask("still there?"))["error"] is False


@pytest.mark.parametrize("mode", MODES)
async def test_a_reply_under_way_ends_for_every_device_and_at_the_provider(
    start: Start, provider: FakeOpenAI, mode: str
) -> None:
    provider.script(Answer(tokens=("on", " and") * 200, interval=0.1, times=2))
    settings = await settings_for(mode, provider)
    async with start(**settings) as server, client(server) as anna, client(server) as other:
        await anna.say("talk", messageId="m1")
        await anna.say("and talk", messageId="m2")
        await anna.until("messageAccepted", messageId="m2")
        await provider.until(lambda: bool(provider.runs) and (mode == "stream" or provider.runs[0].polls > 0))
        answered = await delete(server, anna.conversation_id, **bearer(server, "anna"))
        assert answered.status_code == 204
        for device in (anna, other):
            for message_id in ("m1", "m2"):
                ended = await device.until("assistantResponse", messageId=message_id)
                assert ended["finishReason"] == "cancelled"
            await device.answer("ping", "pong")
            assert device.frames[-2] == ended
    if mode == "stream":
        await provider.until(lambda: provider.questions[0].client_left)
    else:
        assert not any(run.active for run in provider.runs)
