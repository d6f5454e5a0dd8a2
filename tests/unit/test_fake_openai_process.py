"""The fake as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.openai_server.client import (
    STREAM,
    begun,
    deltas,
    described,
    over,
    plain_client,
    real_client,
    told,
    told_until,
    whole,
)
from tests.fakes.openai_server.threads_client import Talk, assistants_are_deprecated

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.openai_server", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert running.stdout is not None
        async with asyncio.timeout(20):
            ready = (await running.stdout.readline()).decode().split()
        assert ready[0] == "READY"
        yield running, ready[1]
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def test_a_process_answers_and_stops_on_sigterm_in_the_middle_of_a_reply() -> None:
    async with (
        process("--tokens", "3", "--interval", "0", "--reply", "a b c d e", "--model", "mine=2027-01-01") as (
            running,
            url,
        ),
        real_client(url) as client,
    ):
        assert deltas(await told(client)) == ["a", " b", " c"]
        assert [model.id async for model in client.models.list()] == ["mine"]

        async with httpx2.AsyncClient(base_url=url.removesuffix("/v1")) as control:
            await control.post("/_control/script", json={"answers": [{"fault": "stall", "at": 1}]})
        events = await client.responses.create(model="m", input="hi", stream=True)
        await anext(events)
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await running.wait() == 0


async def test_a_process_is_controlled_over_http() -> None:
    async with (
        process("--interval", "0") as (_, url),
        real_client(url) as client,
        httpx2.AsyncClient(base_url=f"{url.removesuffix('/v1')}/_control") as control,
    ):
        script = {"answers": [{"fault": "reset", "at": 1, "times": 2}], "normal": {"tokens": ["new", " words"]}}
        assert (await control.post("/script", json=script)).status_code == 204
        for _ in range(2):
            assert deltas(await told_until(openai.APIConnectionError, client)) == ["You"]
        assert (await whole(client)).output_text == "new words"

        requests = (await control.get("/requests")).json()
        assert [request["body"].get("stream", False) for request in requests] == [True, True, False]
        assert (await control.get("/violations")).json() == []

        assert (await control.post("/reset")).status_code == 204
        assert (await control.get("/requests")).json() == []
        assert (await whole(client)).output_text == "You said: hi"


async def test_a_process_calls_a_function_first_and_counts_its_runs() -> None:
    async with process("--interval", "0", "--call", 'look={"up": 1}', "--reply", "Done.") as (_, url):
        async with real_client(url) as client:
            asked = await over(client, await begun(client, run_id="r1"))
            [call] = [item for item in asked.output if item.type == "function_call"]
            done = await client.responses.create(
                model="m",
                input=[{"type": "function_call_output", "call_id": call.call_id, "output": "1"}],
                previous_response_id=asked.id,
            )
            assert (call.name, call.arguments, done.output_text) == ("look", '{"up": 1}', "Done.")
        async with httpx2.AsyncClient(base_url=f"{url.removesuffix('/v1')}/_control") as control:
            counted = (await control.get("/runs")).json()
            assert (counted["created"], counted["per_run_id"]) == (2, {"r1": 1})


@assistants_are_deprecated
async def test_assistants_go_and_come_back_by_script(
    fake: FakeOpenAI, talk: Talk, client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    script = f"{fake.base_url.removesuffix('/v1')}/_control/script"

    await http.post(script, json={"assistants_gone": True, "moderations": [{"flagged": ["hate"]}]})
    with pytest.raises(openai.NotFoundError):
        await talk.said()
    assert (await client.moderations.create(input="hi")).results[0].flagged

    troubles = {"GET /threads/{thread_id}/messages": [None, "overloaded"]}
    await http.post(script, json={"assistants_gone": False, "troubles": troubles})
    assert await talk.said() == ["hi"]
    with pytest.raises(openai.InternalServerError):
        await talk.said()


@described
async def test_a_process_shows_violations_and_can_be_told_not_to_look() -> None:
    for arguments, count in (((), 1), (("--no-validate",), 0)):
        async with process(*arguments) as (_, url), plain_client(url) as http:
            await http.post("/responses", json={**STREAM, "surprise": 1})
            found = (await http.get(f"{url.removesuffix('/v1')}/_control/violations")).json()
            assert [violation["where"] for violation in found] == ["request POST /responses"] * count


@pytest.mark.parametrize(
    "script",
    [
        "{",
        "[]",
        '{"answers": [{"calls": [{"nam": "x"}]}]}',
        '{"images": [{"first_delay": 1}]}',
        '{"answer": []}',
        '{"answers": [{"fault": "none such"}]}',
        '{"normal": {"delay": 1}}',
    ],
)
async def test_a_script_that_makes_no_sense_is_refused(http: httpx2.AsyncClient, script: str) -> None:
    answer = await http.post(f"{str(http.base_url).removesuffix('/v1/')}/_control/script", content=script)

    assert answer.status_code == 400
    assert answer.json()["error"]
