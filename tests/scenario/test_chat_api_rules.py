"""Whom the debate endpoint lets in, what it refuses, and with which words."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.scenario.chat_api import chat, code_of
from tests.scenario.client import client
from tests.scenario.process import ServerProcess, Start, run_command

JSON = {"content-type": "application/json"}
GOOD = b'{"message": "hi"}'
FINAL = {Fault.EMPTY}
BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "bad_json"),
    (b"{", 400, "bad_json"),
    (b"message=hi", 400, "bad_json"),
    (b'{"message": "a\x00b"}', 400, "bad_json"),
    (b'{"message": "\xff"}', 400, "bad_json"),
    (b'{"message": "\\ud800"}', 400, "bad_json"),
    (b"[" * 100_000, 422, "bad_body"),
    (b'{"x": ' + b"[" * 100_000, 400, "bad_json"),
    (b"[]", 422, "bad_body"),
    (b'"hi"', 422, "bad_body"),
    (b"null", 422, "bad_body"),
    (b"{}", 422, "bad_body"),
    (b'{"conversation_id": null}', 422, "bad_body"),
    (b'{"message": null}', 422, "bad_body"),
    (b'{"message": 1}', 422, "bad_body"),
    (b'{"message": ["hi"]}', 422, "bad_body"),
    (b'{"message": "hi", "conversation_id": 1}', 422, "bad_body"),
    (b'{"message": "hi", "conversation_id": ""}', 422, "bad_body"),
    (b'{"message": "hi", "conversation_id": "%b"}' % (b"c" * 129), 422, "bad_body"),
    (b'{"message": ""}', 400, "empty_message"),
    (b'{"message": " \\n\\t "}', 400, "empty_message"),
    (b'{"message": "a\\u0000b"}', 400, "bad_message"),
    (b'{"message": "%b"}' % (b"a" * 32_769), 413, "message_too_long"),
    (b'{"message": "%b"}' % (b"a" * 250_000), 413, "request_too_long"),
    (b'{"message": "hi", "conversation_id": "c_unknown"}', 404, "unknown_conversation"),
    (b'{"message": "hi", "conversation_id": "c_\\u0000"}', 404, "unknown_conversation"),
    (b'{"message": "hi", "conversation_id": "\' OR 1=1 --"}', 404, "unknown_conversation"),
]


async def test_bad_requests_are_refused_and_leave_nothing_behind(server: ServerProcess, provider: FakeOpenAI) -> None:
    async with chat(server) as anna:
        for body, status, code in BAD_BODIES:
            answered = await anna.http.post("/api/chat", content=body, headers=anna.headers | JSON)
            assert (code_of(answered), body[:60]) == ((status, code), body[:60])
        for headers, status, code in (
            ({"content-type": "text/plain"}, 415, "bad_content_type"),
            ({"content-type": "application/x-www-form-urlencoded"}, 415, "bad_content_type"),
            (JSON | {"content-encoding": "gzip"}, 415, "bad_content_type"),
            (JSON | {"idempotency-key": ""}, 400, "bad_idempotency_key"),
            (JSON | {"idempotency-key": "a b"}, 400, "bad_idempotency_key"),
            (JSON | {"idempotency-key": "k" * 65}, 400, "bad_idempotency_key"),
            (JSON | {"idempotency-key": "requeued-1"}, 400, "bad_idempotency_key"),
        ):
            answered = await anna.http.post("/api/chat", content=GOOD, headers=anna.headers | headers)
            assert code_of(answered) == (status, code)
        for method in ("GET", "PUT", "DELETE"):
            answered = await anna.http.request(method, "/api/chat", headers=anna.headers)
            assert code_of(answered) == (405, "method_not_allowed")
        answered = await anna.http.post(
            "/api/chat", content=GOOD, headers=anna.headers | {"content-type": "Application/JSON; charset=utf-8"}
        )
        assert answered.status_code == 200
    async with client(server) as socket:
        known = await socket.answer("listConversations", "conversations")
    assert len([one for one in known["conversations"] if one["assistant"] == "debate"]) == 1
    assert len(provider.questions) == 1
    assert "crashed" not in server.printed()


async def test_a_body_without_a_length_is_bounded_too(server: ServerProcess) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 10_000

    async with chat(server) as anna:
        answered = await anna.http.post("/api/chat", content=endless(), headers=anna.headers | JSON)
        assert code_of(answered) == (413, "request_too_long")


async def test_a_body_that_does_not_come_is_not_waited_for(start: Start) -> None:
    async with start(HANDSHAKE_SECONDS=1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = (
            f"POST /api/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token()}\r\nContent-Length: 9\r\n\r\n"
        )
        writer.write(head.encode() + b'{"mes')
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_a_token_is_required_unless_a_setting_says_otherwise(start: Start, provider: FakeOpenAI) -> None:
    async with start() as server, chat(server, "") as nobody, chat(server) as anna:
        assert code_of(await nobody.post("hi")) == (401, "no_token")
        assert code_of(await nobody.post("hi", authorization="Bearer nonsense")) == (403, "bad_token")
        assert code_of(await nobody.post("hi", authorization="Basic YTpi")) == (401, "no_token")
        in_the_url = await nobody.http.post(f"/api/chat?Auth={server.token()}", json={"message": "hi"})
        assert code_of(in_the_url) == (401, "no_token")
        await anna.say("hi")
    async with start(HTTP_CHAT_PUBLIC="true") as server, chat(server, "") as nobody, chat(server, "ben") as ben:
        assert code_of(await nobody.post("hi", authorization="Bearer nonsense")) == (403, "bad_token")
        assert code_of(await nobody.post("hi", authorization="Basic YTpi")) == (401, "no_token")
        assert (await nobody.post("hi")).status_code == 200
        for stranger in (nobody, ben):
            assert code_of(await stranger.post("hi", anna.conversation_id)) == (404, "unknown_conversation")
    assert len(provider.questions) == 2


async def test_without_a_token_a_key_that_can_be_guessed_begins_nothing(start: Start) -> None:
    async with start(HTTP_CHAT_PUBLIC="true") as server, chat(server, "") as nobody, chat(server) as anna:
        assert code_of(await nobody.post("hi", idempotency_key="1")) == (400, "bad_idempotency_key")
        assert (await anna.post("hi", idempotency_key="1")).status_code == 200
        await nobody.say("hi")
        one, again = [await nobody.post("more", nobody.conversation_id, idempotency_key="1") for _ in range(2)]
        assert one.text == again.text
        # A key that the server made does for a retry of the request that had none.
        first = await nobody.post("first")
        assert (await nobody.post("first", idempotency_key=first.headers["idempotency-key"])).text == first.text


async def test_an_address_may_ask_only_so_often_without_a_token(start: Start) -> None:
    settings = {"HTTP_CHAT_PUBLIC": "true", "HTTP_CHAT_PER_MINUTE": 2}
    async with start(**settings) as server, chat(server, "") as nobody, chat(server) as anna:
        for number in range(2):
            # Nobody is believed about where it comes from.
            assert (await nobody.post("hi", x_forwarded_for=f"10.0.0.{number}")).status_code == 200
        refused = await nobody.post("hi", x_forwarded_for="10.0.0.9", forwarded="for=10.0.0.9")
        assert code_of(refused) == (429, "too_many_messages")
        assert 1 <= int(refused.headers["retry-after"]) <= 31
        assert (await anna.post("hi")).status_code == 200


async def test_behind_a_proxy_that_is_trusted_the_address_is_the_clients(start: Start) -> None:
    settings = {"HTTP_CHAT_PUBLIC": "true", "HTTP_CHAT_PER_MINUTE": 1, "TRUSTED_PROXIES": "127.0.0.0/8,10.1.2.3"}
    async with start(**settings) as server, chat(server, "") as nobody:

        async def status(chain: str) -> int:
            return (await nobody.post("hi", x_forwarded_for=chain)).status_code

        assert [await status("192.0.2.1"), await status("192.0.2.2"), await status("192.0.2.1")] == [200, 200, 429]
        # What the client itself put before it does not count, nor which port it has, nor a proxy in between.
        assert await status("198.51.100.7, 192.0.2.1, 10.1.2.3") == 429
        assert await status("192.0.2.1:4711") == 429
        # One customer has a whole network of the new addresses, and none of them is another for being mapped.
        assert [await status("2001:db8::1"), await status("2001:db8::2:1"), await status("2001:db8:0:1::1")] == [
            200,
            429,
            200,
        ]
        assert await status("::ffff:192.0.2.2") == 429
        assert [await status("junk"), await status("other junk")] == [200, 429]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("HTTP_CHAT_SECONDS", "0"),
        ("HTTP_CHAT_WHEN_BUSY", "interrupt"),
        ("HTTP_CHAT_ASSISTANT_ID", "nobody-knows"),
    ],
)
async def test_settings_that_cannot_be_are_said_at_the_start(tmp_path: Path, name: str, value: str) -> None:
    code, _, said = await run_command("serve", data_dir=tmp_path, **{name: value})
    assert (code, name in said, "Traceback" in said) == (2, True, False)


async def test_pages_may_ask_whose_origin_is_allowed(start: Start) -> None:
    page, evil = "https://page.example", "https://evil.example"
    async with start(ALLOWED_ORIGINS=page) as server, chat(server) as anna:

        async def preflight(origin: str) -> httpx2.Response:
            asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
            return await anna.http.options("/api/chat", headers={"origin": origin, **asks})

        allowed = await preflight(page)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, page)
        assert allowed.headers["access-control-allow-methods"] == "POST"
        assert allowed.headers["access-control-allow-headers"] == "authorization, content-type, idempotency-key"
        assert allowed.headers["vary"] == "origin"
        assert code_of(await preflight(evil)) == (403, "bad_origin")
        assert "access-control-allow-origin" not in (await preflight(evil)).headers
        assert code_of(await anna.post("hi", origin=evil)) == (403, "bad_origin")
        for answered in (await anna.post("hi", origin=page), await anna.post("", origin=page)):
            assert answered.headers["access-control-allow-origin"] == page
            assert "idempotency-key" in answered.headers["access-control-expose-headers"]
        assert (await anna.post("hi", origin=server.http)).status_code == 200
        assert "access-control-allow-origin" not in (await anna.post("hi")).headers
        async with anna.stream("hi", origin=page) as events:
            assert [name async for name, _ in events][-1] == "done"


async def test_a_busy_conversation_is_a_409_where_that_is_wanted(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(), Answer(length=50, interval=0.05))
    async with start(HTTP_CHAT_WHEN_BUSY="reject") as server, chat(server) as anna:
        await anna.say("one")
        first = asyncio.create_task(anna.post("two", anna.conversation_id, idempotency_key="k2"))
        await provider.until(lambda: len(provider.questions) == 2)
        assert code_of(await anna.post("three", anna.conversation_id)) == (409, "busy")
        assert (await anna.post("elsewhere")).status_code == 200
        assert (await anna.post("two", anna.conversation_id, idempotency_key="k2")).text == (await first).text
        assert (await anna.post("three", anna.conversation_id)).status_code == 200


async def test_a_provider_that_is_down_is_a_503_and_the_conversation_goes_on(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with chat(server) as anna:
        await anna.say("one")
        provider.script(Answer(fault=Fault.OVERLOADED, times=5))
        failed = await anna.post("two", anna.conversation_id, idempotency_key="k2")
        assert (failed.status_code, failed.json()["error"]["retryable"]) == (503, True)
        assert "retry-after" in failed.headers
        # That message has its answer; a new one is a new attempt, and the model is not told of the failure.
        assert (await anna.post("two", anna.conversation_id, idempotency_key="k2")).status_code == 503
        assert await anna.say("two", idempotency_key="k3") == [
            "user: one",
            "bot: You said: one",
            "user: two",
            "bot: You said: two",
        ]
        told = [item["content"] for item in provider.questions[-1].body["input"]]
        assert told == ["one", "You said: one", "two"]
        provider.script(Answer(fault=Fault.UNAUTHORIZED))
        assert (await anna.post("three", anna.conversation_id)).status_code == 502
        provider.script(Answer(("No.",), fault=Fault.REFUSAL))
        assert (await anna.post("four", anna.conversation_id)).status_code in {200, 502}


@pytest.mark.parametrize("fault", [Fault.EMPTY, Fault.CONVERSATION_LOCKED, Fault.RESET, Fault.FAILED])
async def test_no_fault_of_the_provider_poisons_a_conversation(
    server: ServerProcess, provider: FakeOpenAI, fault: Fault
) -> None:
    provider.script(Answer(fault=fault, times=1 if fault in FINAL else 5))
    async with chat(server) as anna:
        assert (await anna.post("one")).status_code == (502 if fault in FINAL else 503)
        async with client(server) as socket:
            [known] = (await socket.answer("listConversations", "conversations", limit=1))["conversations"]
        anna.conversation_id = known["conversationId"]
        assert await anna.say("two") == ["user: two", "bot: You said: two"]


async def test_an_answer_that_takes_too_long_can_be_fetched(start: Start, provider: FakeOpenAI) -> None:
    provider.script(normal=Answer(("late",), first_delay=4))
    async with start(HTTP_CHAT_SECONDS=1, HTTP_CHAT_PUBLIC="true") as server:
        for user in ("anna", ""):
            async with chat(server, user) as person:
                late = await person.post("hi")
                assert code_of(late) == (503, "timeout")
                assert provider.questions[-1].ended is None
                assert int(late.headers["retry-after"]) >= 1
                key = late.headers["idempotency-key"]
                assert key in late.json()["error"]["message"]
                answered = late
                while answered.status_code == 503:
                    answered = await person.post("hi", idempotency_key=key)
                assert answered.json()["message"][-1] == {"role": "bot", "message": "late"}
    assert len(provider.questions) == 2


async def test_only_so_many_wait_at_once(start: Start, provider: FakeOpenAI) -> None:
    provider.script(normal=Answer(length=40, interval=0.05))
    settings = {"HTTP_CHAT_WAITING": 3, "HTTP_CHAT_WAITING_EACH": 2, "CONNECTIONS_PER_PERSON": 1}
    async with start(**settings) as server, chat(server) as anna, chat(server, "ben") as ben:
        waiting = [asyncio.create_task(anna.post(f"{number}")) for number in range(2)]
        await provider.until(lambda: len(provider.questions) == 2)
        assert code_of(await anna.post("more")) == (429, "too_many_requests")
        # Requests that wait take no socket's place.
        async with client(server):
            waiting.append(asyncio.create_task(ben.post("me, too")))
            await provider.until(lambda: len(provider.questions) == 3)
            assert code_of(await ben.post("more")) == (429, "too_many_requests")
        # One that leaves makes room, and its turn goes on.
        waiting.pop(0).cancel()
        while (again := await anna.post("again", idempotency_key="k")).status_code == 429:
            await asyncio.sleep(0.02)
        assert again.status_code == 200
        assert [(await one).status_code for one in waiting] == [200, 200]
    assert not any(question.client_left for question in provider.questions)


async def test_a_conversation_that_is_deleted_meanwhile_has_no_answer(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with chat(server) as anna:
        await anna.say("one")
        provider.script(Answer(first_delay=20))
        waiting = asyncio.create_task(anna.post("two", anna.conversation_id))
        await provider.until(lambda: len(provider.questions) == 2)
        gone = await anna.http.delete(f"/api/conversations/{anna.conversation_id}", headers=anna.headers)
        assert gone.status_code == 204
        assert code_of(await waiting)[0] in {404, 409}
        assert code_of(await anna.post("three", anna.conversation_id)) == (404, "unknown_conversation")


async def test_a_cancelled_message_is_a_409_and_words_that_were_said_are_an_answer(
    server: ServerProcess, provider: FakeOpenAI
) -> None:
    async with chat(server) as anna, client(server) as socket:
        for answer, status in ((Answer(first_delay=20), 409), (Answer(length=100, interval=0.1), 200)):
            provider.script(answer)
            waiting = asyncio.create_task(anna.post("hi"))
            started = await socket.until("runStarted")
            if status == 200:
                await socket.until("assistantDelta")
            await socket.send("cancel", conversationId=started["conversationId"])
            assert (await waiting).status_code == status


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_who_waits_when_the_server_ends_is_answered_or_told_to_come_back(
    start: Start, provider: FakeOpenAI, accept: str
) -> None:
    provider.script(Answer(length=20, interval=0.05), Answer(length=2, interval=30))
    key = {"accept": accept}
    async with start(DRAIN_SECONDS=2) as server, chat(server) as anna:
        short = asyncio.create_task(anna.post("short", idempotency_key="k1", **key))
        await provider.until(lambda: len(provider.questions) == 1)
        long = asyncio.create_task(anna.post("long", idempotency_key="k2", **key))
        await provider.until(lambda: len(provider.questions) == 2)
        began = time.monotonic()
        ending = asyncio.create_task(server.stop())
        answered, told = await short, await long
        assert await ending == 0
        assert time.monotonic() - began < 8
    assert answered.status_code == 200
    assert "more more" in answered.text
    assert '"draining"' in told.text
    assert (told.status_code, accept) in {(503, "application/json"), (200, "text/event-stream")}
    async with start() as server, chat(server) as anna:
        assert (await anna.post("long", idempotency_key="k2")).status_code == 200
    assert "Traceback" not in server.printed()


async def test_what_it_takes_and_gives_is_described(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.http) as http:
        described = (await http.get("/openapi.json")).json()
    post = described["paths"]["/api/chat"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ChatRequest")
    assert set(post["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"ChatRequest", "ChatAnswer", "ChatDelta"} <= set(described["components"]["schemas"])
    assert json.dumps(post)
