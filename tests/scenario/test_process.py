"""The process: how it starts, refuses to start, ends, and what it prints."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import httpx2
import pytest
import websockets
from sqlalchemy import make_url

from tests.databases import SERVERS, scratch_database
from tests.fakes.freezing_line import freezing_line
from tests.fakes.openai_server import Answer, FakeOpenAI
from tests.scenario.client import client
from tests.scenario.process import ServerProcess, Start, run_command

ELSEWHERE = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}


async def test_it_says_what_is_running_and_how_to_talk_to_it(server: ServerProcess) -> None:
    printed = server.printed()
    assert "gpt-6-luna at 127.0.0.1" in printed
    [line] = [line for line in printed.splitlines() if "wscat -c 'ws://" in line]
    async with websockets.connect(line.split("'")[1]) as socket:
        assert json.loads(await socket.recv())["messageType"] == "connected"


async def test_health_routes_answer_json(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.http) as http:
        assert (await http.get("/")).json() == {
            "status": "ok",
            "model": "gpt-6-luna at 127.0.0.1",
            "assistant": (await http.get("/")).json()["assistant"],
            "connections": 0,
        }
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"status": "ok", "dependencies": {"store": "ok"}}
        missing = await http.get("/nothing")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
        wrong = await http.post("/healthz")
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_two_servers_do_not_share_a_folder(server: ServerProcess) -> None:
    code, _, errors = await run_command("serve", data_dir=server.data_dir, **ELSEWHERE)
    assert code == 2
    assert f"DATA_DIR={server.data_dir}" in errors
    assert "Traceback" not in errors


async def test_a_port_that_is_taken_is_named(server: ServerProcess, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    code, _, errors = await run_command("serve", data_dir=folder, PORT=server.port, **ELSEWHERE)
    assert code == 2
    assert f"PORT={server.port}" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"HOST": "0.0.0.0"}, "UNSAFE_LOCAL_USER_POOL"),
        ({"ALLOWED_ORIGINS": "*"}, "UNSAFE_ANY_ORIGIN"),
        ({"PORT": "http"}, "PORT=http"),
        ({"DATABASE_URL": "oracle://db"}, "DATABASE_URL"),
        ({"COGNITO_USER_POOL_ID": "eu-west-1_AbC"}, "COGNITO_CLIENT_IDS"),
        ({"COGNITO_ISSUER_URL": "http://example.com/pool", "COGNITO_CLIENT_IDS": "x"}, "http://example.com/pool"),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing", "START_SECONDS": "0"}, "DATABASE_URL"),
        ({"LOCAL_LLM_GGUF": "/nothing.gguf", "OPENAI_BASE_URL": ""}, "/nothing.gguf"),
    ],
)
async def test_what_is_unsafe_or_wrong_does_not_start(settings: dict[str, str], named: str, tmp_path: Path) -> None:
    code, _, errors = await run_command("serve", data_dir=tmp_path, **{**ELSEWHERE, **settings})
    assert code == 2
    assert named in errors
    assert "Traceback" not in errors


async def test_what_is_wrong_is_named_however_much_was_open_already(tmp_path: Path) -> None:
    with scratch_database(SERVERS["postgres"]) as database:
        settings = {
            "DATABASE_URL": database,
            "NODE_URL": "http://127.0.0.1:8000",
            "CLUSTER_SECRET": "x" * 32,
            "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": "endpoint=http://127.0.0.1:9;accesskey=a2V5",
            "PHONE_NUMBER": "+15005550001",
            "EVENT_GRID_SECRET": "secret",
            "AZURE_SMS_ASSISTANT_ID": "nobody",
        }
        code, _, errors = await run_command("serve", data_dir=tmp_path, **{**ELSEWHERE, **settings})
    assert code == 2
    assert "AZURE_SMS_ASSISTANT_ID=nobody" in errors
    assert "Traceback" not in errors


async def test_unsafe_starts_when_it_was_said_out_loud(start: Start) -> None:
    async with start(HOST="0.0.0.0", UNSAFE_LOCAL_USER_POOL="true") as server, client(server) as anna:
        await anna.ask("hello")


async def test_settings_are_listed_with_origin_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STAGE=beta\n")
    code, output, _ = await run_command("settings", data_dir=tmp_path, OPENAI_API_KEY="sk-canary")
    assert code == 0
    rows = {line.split()[0]: line for line in output.splitlines()}
    assert ".env" in rows["STAGE"]
    assert "beta" in rows["STAGE"]
    assert "environment" in rows["OPENAI_API_KEY"]
    assert "default" in rows["HOST"]
    assert "canary" not in output


async def test_the_token_command_prints_a_token_and_nothing_else(server: ServerProcess) -> None:
    code, output, _ = await run_command("token", "--user", "anna", data_dir=server.data_dir)
    assert code == 0
    async with websockets.connect(server.socket(f"?Auth={output.strip()}")) as socket:
        assert json.loads(await socket.recv())["messageType"] == "connected"


async def test_nothing_secret_reaches_the_log(server: ServerProcess, provider: FakeOpenAI) -> None:
    said = "text-canary-4711"
    token = server.token()
    async with websockets.connect(server.socket(f"?Auth={token}&stream=0&query-canary=1")) as socket:
        await socket.send(json.dumps({"action": "sendMessage", "message": said}))
        while json.loads(await socket.recv())["messageType"] != "assistantResponse":
            pass
        await socket.send(f'{{"action": "{said}"')
        await socket.recv()
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(server.socket(f"?Auth={token}x"))
    async with httpx2.AsyncClient() as http:
        await http.get(f"{server.http}/nothing?Auth={token}")
    assert await server.stop() == 0
    printed = server.printed().split("No wscat?")[1]
    assert "message_accepted" in printed
    for secret in (said, token, token.split(".")[2], "sk-test-canary", "query-canary", "You said"):
        assert secret not in printed


async def test_it_ends_in_time_while_a_reply_is_under_way(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("word ",) * 200, interval=0.1))
    async with start(DRAIN_SECONDS=1) as server, client(server) as anna:
        await anna.say("hello")
        await anna.until("assistantDelta")
        began = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - began < 10
        leaving = await anna.until("disconnecting")
        assert leaving["reconnect"]
        assert 0 <= leaving["afterMs"] < 5_000
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await anna.until("nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    async with start() as server, client(server) as anna:
        resume = {"conversationId": anna.conversation_id, "after": 0}
        await anna.answer("resume", "resumed", **resume)
        assert (await anna.until("assistantResponse"))["message"] == "You said: hello"
    assert provider.questions[0].client_left


async def test_of_a_server_whose_test_fails_nothing_is_left(start: Start) -> None:
    with pytest.raises(LookupError):
        async with start() as server:
            raise LookupError
    assert server.process.returncode == -signal.SIGKILL
    assert server.process.stdout is not None
    assert server.process.stdout.at_eof()


async def test_it_ends_in_time_while_the_store_hangs(start: Start) -> None:
    with scratch_database(SERVERS["postgres"]) as database:
        there = make_url(database)
        async with freezing_line(str(there.host), there.port or 5432) as line:
            here = there.set(host="127.0.0.1", port=line.port).render_as_string(hide_password=False)
            async with start(DATABASE_URL=here) as server, client(server) as anna:
                line.freeze()
                await anna.say("hello")
                assert await server.stop(60) != 0
                assert "Timeout (0:00:28)" in server.printed()


async def test_while_it_stops_nobody_new_comes_in_and_replies_under_way_end(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(tokens=("word ",) * 40, interval=0.05))
    async with start() as server, client(server) as anna, httpx2.AsyncClient() as http:
        await anna.say("hello")
        await anna.until("assistantDelta")
        server.process.send_signal(signal.SIGTERM)
        await anna.until("disconnecting")
        ready = await http.get(f"{server.http}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(server.socket(f"?Auth={server.token()}"))
        assert refused.value.response.status_code == 503
        assert (await anna.until("assistantResponse"))["message"] == "word " * 40
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await anna.until("nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert await server.process.wait() == 0


async def test_a_second_signal_ends_it_at_once_and_nobody_takes_that_for_a_fault(
    start: Start, provider: FakeOpenAI
) -> None:
    provider.script(*[Answer(tokens=("word ",) * 400, interval=0.05)] * 2)
    async with start() as server, client(server) as anna, httpx2.AsyncClient(base_url=server.http) as http:
        headers = {"authorization": f"Bearer {server.token()}"}
        await anna.say("hello")
        await anna.until("assistantDelta")
        waiting = asyncio.create_task(http.post("/api/chat", json={"message": "hello"}, headers=headers, timeout=30))
        while (await http.get("/")).json()["connections"] < 2:
            await asyncio.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        await anna.until("disconnecting")
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(server.process.wait(), 8) == 0
        assert (await waiting).status_code == 503
        assert server.faults == []


async def test_the_descriptions_of_the_wire_are_served(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.http) as http:
        sockets = (await http.get("/asyncapi.json")).json()
        routes = (await http.get("/openapi.json")).json()
    assert sockets["asyncapi"].startswith("3.")
    assert {"sendMessage", "assistantDelta"} <= {one["name"] for one in sockets["components"]["messages"].values()}
    assert "/readyz" in routes["paths"]
