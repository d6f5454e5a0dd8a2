"""The operator's commands, beside a running server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx2
import pytest
import websockets

from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.scenario.client import client
from tests.scenario.process import ServerProcess, Start, run_command


async def test_signing_out_closes_the_persons_sockets_within_seconds(server: ServerProcess) -> None:
    token = server.token()
    async with client(server) as first, client(server) as second, client(server, "ben") as ben:
        code, output, _ = await run_command("sign-out", "anna", data_dir=server.data_dir)
        began = time.monotonic()
        assert (code, "signed out" in output) == (0, True)
        for one in (first, second):
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await one.until("nothing")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401
        assert time.monotonic() - began < 5
        await ben.answer("ping", "pong")
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(server.socket(f"?Auth={token}"))
    assert refused.value.response.status_code == 403
    # Tokens tell their time in whole seconds.
    await asyncio.sleep(1.1)
    async with client(server) as again:
        await again.answer("ping", "pong")


async def test_dead_letters_are_listed_shown_and_asked_again(server: ServerProcess, provider: FakeOpenAI) -> None:
    async def letters(*arguments: str) -> str:
        code, output, errors = await run_command("dead-letters", *arguments, data_dir=server.data_dir)
        assert code == 0, errors
        return output

    async with client(server) as anna:
        provider.script(Answer(fault=Fault.UNAUTHORIZED))
        failed = await anna.ask("a question of importance")
        assert failed["code"] == "provider_key"
        name = (await letters("list")).split()[0]
        assert "provider_key" in await letters("list")
        assert "a question of importance" in await letters("show", name)
        await letters("requeue", name)
        asked = await anna.until("messageAccepted")
        assert (asked["offset"], asked["text"]) == (3, "a question of importance")
        reply = await anna.until("assistantResponse")
        assert (reply["offset"], reply["message"]) == (4, "You said: a question of importance")
        assert await letters("list") == "There are no dead letters.\n"
    code, _, errors = await run_command("dead-letters", "show", "nonsense", data_dir=server.data_dir)
    assert (code, "nonsense" in errors) == (2, True)


async def test_the_figures_are_served(start: Start, provider: FakeOpenAI) -> None:
    provider.script(Answer(fault=Fault.SERVER_ERROR))
    async with start() as server, client(server) as anna:
        await anna.ask("hello")
        async with httpx2.AsyncClient() as http:
            figures = (await http.get(f"{server.http}/metrics")).text
    for line in (
        "switchboard_connections 1.0",
        "switchboard_messages_accepted_total 1.0",
        'switchboard_turns_total{code="",finish_reason="stop"} 1.0',
        'switchboard_run_failures_total{code="provider_busy"} 1.0',
        "switchboard_first_words_seconds_count 1.0",
        "switchboard_turn_seconds_count 1.0",
        "switchboard_waiting_conversations 0.0",
        "switchboard_dropped_readers_total 0.0",
    ):
        assert line in figures
    assert "switchboard_sent_bytes_total 0.0" not in figures


async def test_a_folder_that_no_server_worked_on_is_pointed_out_and_left_alone(tmp_path: Path) -> None:
    for arguments in (("sign-out", "anna"), ("dead-letters", "list")):
        code, output, errors = await run_command(*arguments, data_dir=tmp_path, DATA_DIR=tmp_path / "elsewhere")
        assert (code, output) == (2, "")
        assert "No server has worked on DATA_DIR=" in errors
    assert not (tmp_path / "elsewhere").exists()


async def test_signing_out_somebody_who_was_never_here_is_pointed_out(server: ServerProcess) -> None:
    code, output, errors = await run_command("sign-out", "ana", data_dir=server.data_dir)
    assert (code, output) == (0, "ana is signed out: tokens issued until now are refused.\n")
    assert errors == "Note: nobody called ana has ever connected to this server.\n"


async def test_what_people_said_is_nobody_elses_to_read(server: ServerProcess) -> None:
    async with client(server) as anna:
        await anna.ask("hello")
    kept = [path for path in server.data_dir.iterdir() if path.name.startswith("switchboard.db")]
    assert kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept)
