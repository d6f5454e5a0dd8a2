"""A person talks to the assistant over a socket."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.scenario.client import client, spoken
from tests.scenario.process import ServerProcess, Start


async def test_a_message_becomes_a_streamed_reply(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("Grüß", " 👩‍👩‍👧", " dich", "!"), interval=0.01))
    async with client(server) as anna:
        reply = await anna.ask("Hey, how is it going?", messageId="m-1")
        kinds = [frame["messageType"] for frame in anna.frames]
        assert kinds[:3] == ["connected", "messageAccepted", "runStarted"]
        assert set(kinds[3:-1]) == {"assistantDelta"}
        assert (reply["error"], reply["message"], reply["finishReason"]) == (False, "Grüß 👩‍👩‍👧 dich!", "stop")
        assert (reply["messageId"], reply["offset"]) == ("m-1", 2)
        assert reply["usage"]["outputTokens"] > 0
        assert spoken(anna.frames, reply["replyId"]) == reply["message"]


async def test_the_seeds_client_works_unchanged(server: ServerProcess) -> None:
    async with websockets.connect(server.socket(f"?Auth={server.token()}", path="/dev")) as socket:
        await socket.send('{\n   "action": "sendMessage",\n   "message": "Hey, how is it going?"\n}')
        async with asyncio.timeout(10):
            while (frame := json.loads(await socket.recv()))["messageType"] != "assistantResponse":
                pass
        assert (frame["error"], frame["message"]) == (False, "You said: Hey, how is it going?")


async def test_every_device_of_a_person_gets_the_same_frames_and_nobody_else_does(server: ServerProcess) -> None:
    async with client(server) as phone, client(server) as laptop, client(server, "ben") as ben:
        assert laptop.conversation_id == phone.conversation_id
        await phone.ask("one")
        await laptop.ask("two")
        await phone.until("assistantResponse")
        assert phone.frames[1:] == laptop.frames[1:]
        await ben.answer("ping", "pong")
        assert len(ben.frames) == 2


async def test_two_messages_in_a_row_are_answered_one_after_another(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    provider.script(normal=Answer(interval=0.05))
    async with client(server) as anna:
        await anna.say("first question here", messageId="a")
        await asyncio.sleep(0.1)
        await anna.say("second", messageId="b")
        replies = [await anna.until("assistantResponse") for _ in range(2)]
    assert [reply["messageId"] for reply in replies] == ["a", "b"]
    earlier, later = provider.questions
    assert earlier.ended is not None
    assert later.arrived >= earlier.ended
    assert [item["content"] for item in later.body["input"]] == [
        "first question here",
        "You said: first question here",
        "second",
    ]


async def test_conversations_of_different_people_run_side_by_side(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(normal=Answer(first_delay=2))
    async with client(server) as anna, client(server, "ben") as ben:
        await asyncio.gather(anna.ask("a"), ben.ask("b"))
    first, second = provider.questions
    assert first.ended is not None
    assert second.arrived < first.ended


async def test_history_is_paged_and_lists_what_was_said(server: ServerProcess) -> None:
    async with client(server) as anna:
        for text in ("one", "two", "three"):
            await anna.ask(text)
        newest = await anna.answer("history", "history", limit=2)
        assert [(one["offset"], one["role"], one["text"]) for one in newest["messages"]] == [
            (5, "user", "three"),
            (6, "assistant", "You said: three"),
        ]
        assert newest["more"]
        rest = await anna.answer("history", "history", before=5, limit=100)
        assert [one["offset"] for one in rest["messages"]] == [1, 2, 3, 4]
        assert not rest["more"]


async def test_a_new_conversation_begins_with_nothing_and_the_old_one_stays(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with client(server) as anna:
        await anna.ask("in the old one")
        new = await anna.answer("newConversation", "conversation")
        reply = await anna.ask("in the new one")
        assert reply["conversationId"] == new["conversationId"] != anna.conversation_id
        assert len(provider.questions[-1].body["input"]) == 1
        listed = await anna.answer("listConversations", "conversations")
        ids = [one["conversationId"] for one in listed["conversations"]]
        assert ids == [new["conversationId"], anna.conversation_id]
        back = await anna.ask("and back", conversationId=anna.conversation_id)
        assert back["offset"] == 4
    async with client(server) as again:
        assert again.conversation_id == new["conversationId"]


async def test_resume_gives_what_was_missed_and_then_goes_on_live(server: ServerProcess) -> None:
    async with client(server) as anna, client(server) as other:
        await anna.ask("one")
        await anna.ask("two")
        await other.until("assistantResponse", offset=4)
        resumed = await other.answer(
            "resume", "resumed", conversationId=anna.conversation_id, after=1, epoch=anna.connected["epoch"]
        )
        assert (resumed["recovered"], resumed["offset"]) == (True, 4)
        replay = [await other.frame() for _ in range(3)]
        assert [(frame["messageType"], frame["offset"]) for frame in replay] == [
            ("assistantResponse", 2),
            ("messageAccepted", 3),
            ("assistantResponse", 4),
        ]
        await anna.ask("three")
        assert (await other.frame())["offset"] == 5


@pytest.mark.parametrize("wrong", [{"epoch": "another-life"}, {"after": 1_000}])
async def test_resume_from_another_life_of_the_log_begins_at_the_start(
    server: ServerProcess, wrong: dict[str, object]
) -> None:
    async with client(server) as anna:
        await anna.ask("one")
        resumed = await anna.answer(
            "resume", "resumed", **{"conversationId": anna.conversation_id, "after": 1, **wrong}
        )
        assert resumed["recovered"] is False
        assert [(await anna.frame())["offset"] for _ in range(2)] == [1, 2]


async def test_a_message_sent_twice_is_answered_once(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as anna, client(server) as other:
        await anna.ask("once", messageId="m1")
        await other.until("assistantResponse")
        await other.say("once", messageId="m1")
        again = await other.until("messageAccepted")
        assert (again["duplicate"], again["offset"]) == (True, 1)
        await other.say("something else", messageId="m1")
        refused = await other.until("error")
        assert (refused["code"], refused["messageId"], refused["retryable"]) == ("id_conflict", "m1", False)
        await anna.answer("ping", "pong")
    assert len(provider.questions) == 1


async def test_without_deltas_a_prompt_gets_one_frame(server: ServerProcess) -> None:
    async with client(server, query="?stream=0") as anna:
        await anna.ask("hello")
        assert [frame["messageType"] for frame in anna.frames] == [
            "connected",
            "messageAccepted",
            "runStarted",
            "assistantResponse",
        ]


async def test_a_message_sent_just_before_leaving_is_answered(server: ServerProcess) -> None:
    async with client(server) as anna:
        for number in range(5):
            await anna.say(f"number {number}")
    async with client(server) as again:
        resume = {"conversationId": anna.conversation_id, "after": 0}
        await again.answer("resume", "resumed", **resume)
        await again.until("assistantResponse", message="You said: number 4")


async def test_a_restart_keeps_the_conversation(start: Start, provider: FakeOpenAI) -> None:
    async with start() as server:
        async with client(server) as anna:
            await anna.ask("before")
        assert await server.stop() == 0
    async with start() as server, client(server) as anna:
        assert anna.connected["offset"] == 2
        await anna.ask("after")
    assert [item["content"] for item in provider.questions[-1].body["input"]] == [
        "before",
        "You said: before",
        "after",
    ]


async def test_nothing_is_stored_at_the_provider(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with client(server) as anna:
        await anna.ask("one")
        await anna.ask("two")
    for request in provider.questions:
        assert request.body["store"] is False
        assert not {"conversation", "previous_response_id", "background"} & request.body.keys()
