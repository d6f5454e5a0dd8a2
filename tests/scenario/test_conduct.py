"""Coming back in the middle, many devices, changing one's mind, tokens that run out."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
import websockets

from server.auth.local_pool import LocalUserPool
from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.scenario.client import Client, Frame, client, spoken
from tests.scenario.device import Device
from tests.scenario.process import ServerProcess, Start

LONG = tuple(f"wörd{number} " for number in range(50))
WHOLE = "".join(LONG)


async def test_a_drop_at_each_token_of_a_reply_loses_and_repeats_nothing(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=LONG, interval=0.04))
    async with start(CONNECTIONS_PER_PERSON=0, DELTA_WINDOW_MS=0) as server, client(server) as anna:

        async def drop_after(deltas: int) -> Device:
            device = Device(server)
            socket = await device.connect()
            ready.release()
            while device.deltas < deltas and device.offset < 2:
                await device.take(socket)
            await socket.close()
            socket = await device.connect()
            while device.offset < 2:
                await device.take(socket)
            await socket.close()
            return device

        ready = asyncio.Semaphore(0)
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            dropping = [tasks.create_task(drop_after(deltas)) for deltas in range(1, 51)]
            for _ in dropping:
                await ready.acquire()
            await anna.say("go")
        assert [task.result().texts for task in dropping] == [{1: "go", 2: WHOLE}] * 50


async def test_random_reconnects_over_a_long_stream_lose_and_repeat_nothing(start: Start, provider: FakeOpenAI) -> None:
    entries, devices = 1_000, 4
    provider.script(normal=Answer(tokens=("a", "b", "c")))
    seed = random.randrange(1_000_000)
    limits = {"MESSAGES_PER_MINUTE": 0, "CONNECTIONS_PER_PERSON": 0, "CONTEXT_TOKENS": 512, "MAX_OUTPUT_TOKENS": 16}
    async with start(**limits) as server, client(server) as anna:

        async def come_and_go(number: int) -> tuple[int, Device]:
            chance = random.Random(seed + number)
            device, visits = Device(server, anna.conversation_id, anna.connected["epoch"]), 0
            while device.offset < entries:
                socket = await device.connect()
                visits += 1
                for _ in range(chance.randrange(1, 12)):
                    if device.offset < entries:
                        await device.take(socket)
                await socket.close()
            return visits, device

        async with asyncio.timeout(110), asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(come_and_go(number)) for number in range(devices)]
            for number in range(entries // 2):
                await anna.ask(f"number {number}")
        visits = sum(task.result()[0] for task in watching)
        assert visits >= 1_000, f"{visits} visits, seed {seed}"
        first = watching[0].result()[1].texts
        assert len(first) == entries
        assert all(task.result()[1].texts == first for task in watching), f"seed {seed}"


async def test_a_device_that_joins_in_the_middle_sees_what_was_said_and_goes_on(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    provider.script(Answer(tokens=LONG, interval=0.1))
    async with client(server) as first:
        await first.say("go")
        for _ in range(5):
            await first.until("assistantDelta")
        async with client(server) as late:
            snapshot = await late.frame()
            assert snapshot["messageType"] == "assistantSnapshot"
            assert WHOLE.startswith(snapshot["text"])
            assert snapshot["text"]
            reply = await late.until("assistantResponse")
            deltas = late.of("assistantDelta")
            assert deltas[0]["at"] == len(snapshot["text"])
            assert snapshot["text"] + "".join(frame["text"] for frame in deltas) == reply["message"] == WHOLE


async def test_three_devices_see_the_same_words(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(normal=Answer(tokens=LONG, interval=0.002))
    async with client(server) as one, client(server) as two, client(server) as three:
        await one.ask("go")
        for other in (two, three):
            reply = await other.until("assistantResponse")
            assert spoken(other.frames, reply["replyId"]) == WHOLE
        assert one.frames[1:] == two.frames[1:] == three.frames[1:]


async def test_words_that_come_fast_go_out_together(start: Start, provider: FakeOpenAI) -> None:
    provider.script(normal=Answer(tokens=LONG, interval=0.002))
    async with start(DELTA_WINDOW_MS=50) as server, client(server) as anna:
        reply = await anna.ask("go")
        assert spoken(anna.frames, reply["replyId"]) == WHOLE
        assert 2 <= len(anna.of("assistantDelta")) <= 15


async def test_a_resume_of_anothers_conversation_is_refused_and_harms_nothing(server: ServerProcess) -> None:
    async with client(server) as anna, client(server, "ben") as ben:
        await anna.ask("mine")
        refused = await ben.answer("resume", "error", conversationId=anna.conversation_id, after=0)
        assert refused["code"] == "unknown_conversation"
        assert (await ben.ask("still here"))["offset"] == 2


# --- cancel -------------------------------------------------------------------------------------------------------


async def ended(anna: Client, message_id: str) -> Frame:
    reply = await anna.until("assistantResponse", messageId=message_id)
    assert (reply["error"], reply["finishReason"]) == (False, "cancelled")
    return reply


async def works_on(anna: Client) -> None:
    assert (await anna.ask("and now?"))["message"] == "You said: and now?"
    await anna.answer("ping", "pong")
    ends = [frame["messageId"] for frame in anna.of("assistantResponse")]
    assert len(ends) == len(set(ends))


async def test_cancel_in_mid_stream_keeps_what_was_said_and_closes_the_stream(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    provider.script(Answer(tokens=LONG, interval=0.05))
    async with client(server) as anna:
        await anna.say("go", messageId="m1")
        for _ in range(3):
            await anna.until("assistantDelta")
        await anna.send("cancel")
        reply = await ended(anna, "m1")
        assert reply["message"] == spoken(anna.frames, reply["replyId"])
        assert WHOLE.startswith(reply["message"])
        assert 0 < len(reply["message"]) < len(WHOLE)
        await provider.until(lambda: provider.questions[0].client_left)
        await works_on(anna)
        history = provider.questions[-1].body["input"]
        assert [item["content"] for item in history] == ["go", reply["message"], "and now?"]


async def test_cancel_before_the_first_word(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(first_delay=30))
    async with client(server) as anna:
        await anna.say("go", messageId="m1")
        await provider.until(lambda: bool(provider.questions))
        await anna.send("cancel", messageId="m1")
        assert (await ended(anna, "m1"))["message"] == ""
        await works_on(anna)


async def test_cancel_of_a_message_that_waits_leaves_the_one_before_it_alone(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    provider.script(Answer(first_delay=2, interval=0.05))
    async with client(server) as anna:
        await anna.say("first", messageId="m1")
        await anna.say("second", messageId="m2")
        await anna.until("messageAccepted", messageId="m2")
        await anna.send("cancel", messageId="m2")
        assert (await anna.until("assistantResponse"))["message"] == "You said: first"
        assert (await ended(anna, "m2"))["message"] == ""
        await works_on(anna)
    assert len(provider.questions) == 2


async def test_cancel_between_tries(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(fault=Fault.RATE_LIMITED_SECONDS, retry_after=20))
    async with client(server) as anna:
        await anna.say("go", messageId="m1")
        await provider.until(lambda: bool(provider.questions and provider.questions[0].ended))
        await anna.answer("ping", "pong")
        await anna.send("cancel")
        assert (await ended(anna, "m1"))["message"] == ""
        await works_on(anna)


async def test_cancel_from_another_device_and_when_there_is_nothing_to_cancel(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    provider.script(Answer(tokens=LONG, interval=0.05))
    async with client(server) as anna, client(server) as other:
        assert (await anna.answer("cancel", "error"))["code"] == "nothing_to_cancel"
        await anna.say("go", messageId="m1")
        await other.until("assistantDelta")
        await other.send("cancel")
        await ended(anna, "m1")


async def test_a_disconnect_does_not_cancel(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=LONG, interval=0.01))
    async with client(server) as anna:
        await anna.say("go")
        await anna.until("assistantDelta")
    device = Device(server, anna.conversation_id, anna.connected["epoch"])
    socket = await device.connect()
    async with asyncio.timeout(10):
        while device.offset < 2:
            await device.take(socket)
    await socket.close()
    assert device.texts[2] == WHOLE


async def test_a_message_may_interrupt(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=LONG, interval=0.05))
    async with client(server) as anna:
        await anna.say("long story", messageId="m1")
        await anna.say("and another", messageId="m2")
        await anna.until("assistantDelta")
        await anna.say("stop, this instead", messageId="m3", whenBusy="interrupt")
        assert (await ended(anna, "m1"))["message"]
        assert (await ended(anna, "m2"))["message"] == ""
        assert (await anna.until("assistantResponse"))["message"] == "You said: stop, this instead"
    assert len(provider.questions) == 2


async def test_a_message_may_refuse_to_wait(server: ServerProcess, provider: FakeOpenAI) -> None:
    provider.script(Answer(first_delay=0.5))
    async with client(server) as anna:
        await anna.say("first", messageId="m1")
        await anna.say("only if free", messageId="m2", whenBusy="reject")
        refused = await anna.until("error")
        assert (refused["code"], refused["messageId"], refused["retryable"]) == ("busy", "m2", True)
        await anna.until("assistantResponse", messageId="m1")
        await anna.say("only if free", messageId="m2", whenBusy="reject")
        assert (await anna.until("assistantResponse"))["messageId"] == "m2"


# --- tokens, and the forms of a reply -----------------------------------------------------------------------------


async def test_a_token_that_runs_out_is_told_of_and_then_ends_the_socket(server: ServerProcess) -> None:
    pool = LocalUserPool.open(server.data_dir)
    async with websockets.connect(server.socket(f"?Auth={pool.token('anna', lifetime_seconds=3)}")) as socket:
        frames = [json.loads(await asyncio.wait_for(socket.recv(), 5)) for _ in range(2)]
        assert [frame["messageType"] for frame in frames] == ["connected", "tokenExpiring"]
        assert frames[0]["expiresAt"] == frames[1]["expiresAt"]
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 8)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


async def test_a_newer_token_of_the_same_person_keeps_the_socket(server: ServerProcess) -> None:
    pool = LocalUserPool.open(server.data_dir)
    async with websockets.connect(server.socket(f"?Auth={pool.token('anna', lifetime_seconds=3)}")) as socket:
        anna = Client(socket, json.loads(await socket.recv()))
        for bad in ("nonsense", pool.token("ben"), pool.token("anna", lifetime_seconds=-1)):
            assert (await anna.answer("refreshToken", "error", token=bad))["code"] in {
                "bad_token",
                "another_person",
                "expired_token",
            }
        fresh = await anna.answer("refreshToken", "tokenRefreshed", token=pool.token("anna"))
        assert fresh["expiresAt"] > anna.connected["expiresAt"]
        await asyncio.sleep(4)
        await anna.answer("ping", "pong")


async def test_html_comes_beside_the_text_when_it_is_asked_for(server: ServerProcess, provider: FakeOpenAI) -> None:
    text = "**bold** <script>alert(1)</script> [bad](javascript:alert(1)) [good](https://example.com)"
    provider.script(normal=Answer(tokens=(text,)))
    async with client(server, query="?format=html") as rich, client(server) as plain:
        reply = await rich.ask("go")
        assert "html" not in await plain.until("assistantResponse")
        assert reply["message"] == text
        assert "<strong>bold</strong>" in reply["html"]
        assert '<a href="https://example.com">good</a>' in reply["html"]
        assert "<script>" not in reply["html"]
        assert 'href="javascript' not in reply["html"]
        await rich.answer("resume", "resumed", conversationId=rich.conversation_id, after=1)
        assert (await rich.until("assistantResponse"))["html"] == reply["html"]
