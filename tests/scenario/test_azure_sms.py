"""SMS through Azure, from the event to the text on the phone, with every hop over HTTP."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fakes.azure_server import EventGrid, FakeAzure, Fault
from tests.fakes.azure_server.event_grid import Schema
from tests.fakes.openai_server import Answer, FakeOpenAI, words
from tests.ports import quiet_port
from tests.scenario.process import ServerProcess, Start, run_command
from tests.scenario.test_azure import KEY, azure
from tests.scenario.texting import ANNA, BEN, QUICK, SECRET, azure_settings, texting, until
from tests.unit.auth.jwks_server import JwksServer


@pytest.mark.parametrize("schema", ["event_grid", "cloud_events"])
@pytest.mark.parametrize("in_query", [False, True])
async def test_events_come_in_either_schema_with_the_secret_in_either_place(
    start: Start, provider: FakeOpenAI, sms: FakeAzure, schema: Schema, in_query: bool
) -> None:
    async with texting(start, sms) as phone:
        grid = EventGrid(phone.server.http, SECRET, schema=schema, in_query=in_query)
        answered = await grid.deliver(grid.text(ANNA, "one"))
        said = "Batch of 1 events" if schema == "event_grid" else "SMS event"
        assert answered.json() == {
            "status": "success",
            "message": f"{said} received and processing",
            "accepted": 1,
            "duplicates": 0,
            "ignored": 0,
        }
        await sms.until_sent(1)
        batch = await grid.deliver(grid.text(ANNA, "two"), grid.text(BEN, "three"), batch=True)
        assert batch.json()["message"] == "Batch of 2 events received and processing"
        sent = await sms.until_sent(3)
        assert sorted((one.to, one.text) for one in sent) == [
            (ANNA, "You said: one"),
            (ANNA, "You said: two"),
            (BEN, "You said: three"),
        ]


async def test_a_cloud_event_comes_in_binary_mode_too(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with texting(start, sms) as phone:
        data = phone.grid.text(ANNA, "binary")["data"]
        headers = {"ce-specversion": "1.0", "ce-id": "e1", "ce-type": "Microsoft.Communication.SMSReceived"}
        answered = await phone.grid.post(json.dumps(data).encode(), **headers, **{"ce-source": "/acs"})
        assert answered.status_code == 200
        assert [sent.text for sent in await sms.until_sent(1)] == ["You said: binary"]


async def test_the_handshakes_of_both_schemas_call_nobody_back(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    async with JwksServer() as called, texting(start, sms) as phone:
        asked = await phone.grid.deliver(phone.grid.validation("code-1", called.url))
        assert (asked.status_code, asked.json()["validationResponse"]) == (200, "code-1")
        both = await phone.grid.deliver(phone.grid.validation("code-2"), phone.grid.text(ANNA, "kept"))
        assert both.json()["validationResponse"] == "code-2"
        assert [sent.text for sent in await sms.until_sent(1)] == ["You said: kept"]
        head = {"webhook-request-origin": "eventgrid.azure.net", "webhook-request-callback": called.url}
        welcome = await phone.grid.handshake(**head)
        assert welcome.status_code == 200
        assert welcome.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
        assert welcome.headers["webhook-allowed-rate"] == "*"
        assert await phone.server.stop() == 0
        assert called.requests == []


async def test_what_comes_again_is_answered_once(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with texting(start, sms) as phone:
        first = phone.grid.text(ANNA, "once", event_id="e1", message_id="m1")
        republished = phone.grid.text(ANNA, "once", event_id="e2", message_id="m1")
        unnamed = phone.grid.text(ANNA, "once", event_id="e1", message_id="m2")
        answered = await asyncio.gather(*(phone.grid.deliver(first) for _ in range(5)))
        assert all(one.status_code == 200 for one in answered)
        await sms.until_sent(1)
        for again in (first, republished, unnamed):
            assert (await phone.grid.deliver(again)).json()["duplicates"] == 1
        assert (await phone.ask("twice")).text == "You said: twice"
    assert [sent.text for sent in sms.sent] == ["You said: once", "You said: twice"]
    assert len(provider.questions) == 2


async def test_the_good_events_of_a_mixed_batch_are_kept(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with texting(start, sms) as phone:
        grid = phone.grid
        spoiled = grid.event("Microsoft.Communication.SMSReceived", {"from": "nobody", "to": "1", "message": "x"})
        other = grid.event("Microsoft.Communication.ChatMessageReceived", {})
        elsewhere = EventGrid("", number="+15005550002").text(ANNA, "to another number")
        answered = await grid.deliver(grid.text(ANNA, "good"), spoiled, other, elsewhere, grid.report("m", ANNA))
        assert answered.status_code == 200
        told = answered.json()
        assert (told["accepted"], told["ignored"]) == (2, 2)
        [bad] = told["spoiled"]
        assert bad["index"] == 1
        assert (await grid.deliver()).json()["message"] == "Batch of 0 events received and processing"
        assert [sent.text for sent in await sms.until_sent(1)] == ["You said: good"]


async def test_two_quick_texts_are_one_question(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with texting(start, sms, TEXT_PAUSE_SECONDS="4") as phone:
        await phone.text("My name")
        await phone.text("is Anna")
        assert [sent.text for sent in await sms.until_sent(1)] == ["You said: My name\nis Anna"]
        await until(phone.said)
        assert [text for role, text in await phone.said() if role == "user"] == ["My name", "is Anna"]


async def test_who_said_stop_is_sent_nothing_more(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with texting(start, sms) as phone:
        await phone.ask("hello")
        assert (await phone.text("STOP")).status_code == 200
        assert (await phone.text("are you there?")).json()["ignored"] == 1
        assert (await phone.ask("hi", BEN)).to == BEN
        assert len([sent for sent in sms.sent if sent.to == ANNA]) == 1
        assert (await phone.ask("START")).to == ANNA
    assert len(provider.questions) == 2


async def test_who_told_azure_to_stop_is_known_by_the_report(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    async with texting(start, sms) as phone:
        sent = await phone.ask("hello")
        await phone.grid.deliver(phone.grid.report(sent.message_id, ANNA, "Failed", "The recipient has opted out."))
        assert (await phone.text("are you there?")).json()["ignored"] == 1
        sms.script(Fault.OPTED_OUT)
        await phone.text("hello", BEN)

        async def is_opted_out() -> bool:
            return bool((await phone.text("hello?", BEN)).json()["ignored"])

        await until(is_opted_out)
    assert len(sms.sent) == 1


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.BROKEN_AFTER, Fault.BROKEN, Fault.BUSY, Fault.RESET_BEFORE])
async def test_whatever_azure_does_the_phone_gets_one_text(
    start: Start, provider: FakeOpenAI, sms: FakeAzure, fault: Fault
) -> None:
    sms.script(fault)
    async with texting(start, sms) as phone:
        await phone.text("hello")
        await sms.until_sent(1)
        assert (await phone.ask("hello again")).text == "You said: hello again"
    assert [sent.text for sent in sms.sent] == ["You said: hello", "You said: hello again"]


async def test_what_was_accepted_is_answered_although_the_server_is_killed(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    settings = {"LEASE_SECONDS": 2}
    async with texting(start, sms, **settings) as phone:
        event = phone.grid.text(ANNA, "hello")
        assert (await phone.grid.deliver(event)).status_code == 200
        await phone.server.kill()
    async with texting(start, sms, **settings) as phone:
        await sms.until_sent(1)
        assert (await phone.grid.deliver(event)).json()["duplicates"] == 1
        assert await phone.said() == [("user", "hello"), ("assistant", "You said: hello")]
    assert len(sms.sent) == 1


async def test_azure_openai_answers_a_text(start: Start, provider: FakeOpenAI, sms: FakeAzure) -> None:
    async with azure(provider) as (endpoint, _):
        settings = {
            "OPENAI_BASE_URL": "",
            "OPENAI_API_KEY": "",
            "AZURE_OPENAI_ENDPOINT": endpoint,
            "AZURE_OPENAI_KEY": KEY,
            "AZURE_OPENAI_MODEL": "gpt-4o",
        }
        async with texting(start, sms, **settings) as phone:
            assert (await phone.ask("hello")).text == "You said: hello"
    [question] = provider.questions
    assert (question.body["model"], question.body["max_output_tokens"]) == ("gpt-4o", 512)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"EVENT_GRID_SECRET": ""}, "EVENT_GRID_SECRET is missing"),
        ({"PHONE_NUMBER": ""}, "PHONE_NUMBER is missing"),
        ({"PHONE_NUMBER": "15005550001"}, "PHONE_NUMBER=15005550001"),
        ({"AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": ""}, "PHONE_NUMBER needs"),
        ({"AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": "canary"}, "must look like endpoint="),
        ({"ENTRA_TENANT_ID": "0" * 8 + "-0000-0000-0000-" + "0" * 12}, "ENTRA_APP_ID is missing"),
        ({"AZURE_SMS_ASSISTANT_ID": "nobody"}, "AZURE_SMS_ASSISTANT_ID=nobody"),
    ],
)
async def test_what_is_not_whole_or_not_safe_does_not_start(
    start: Start, sms: FakeAzure, tmp_path: Any, changes: Mapping[str, str], named: str
) -> None:
    settings = {**azure_settings(sms), "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", **changes}
    code, _, errors = await run_command("serve", data_dir=tmp_path, **settings)
    assert code == 2
    assert named in errors
    assert "canary" not in errors


async def test_trouble_of_ours_is_a_503_and_what_was_taken_before_it_is_a_duplicate_then(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    async with texting(start, sms) as phone:
        first, second = phone.grid.text(ANNA, "first"), phone.grid.text(BEN, "second")
        await phone.grid.deliver(first)
        await sms.until_sent(1)
        database = sqlite3.connect(phone.server.data_dir / "switchboard.db", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        refused = await phone.grid.deliver(first, second)
        assert (refused.status_code, refused.json()["error"]["retryable"]) == (503, True)
        assert "retry-after" in refused.headers
        database.execute("ROLLBACK")
        database.close()
        assert await phone.grid.deliver_until_taken([first, second]) == 200
        assert (await sms.until_sent(2))[1].text == "You said: second"
    assert len(provider.questions) == 2


async def test_a_server_that_stops_takes_no_more_and_what_it_owes_is_sent_by_the_next(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    provider.script(Answer(words("a reply that takes its time"), first_delay=5))
    async with texting(start, sms, RUN_MODE="stream") as phone:
        await phone.text("hello")
        await provider.until(lambda: bool(provider.questions))
        stopping = asyncio.create_task(phone.server.stop())
        await unready(phone.server)
        assert (await phone.text("too late")).status_code == 503
        assert await stopping == 0
    async with texting(start, sms) as phone:
        assert (await phone.ask("again")).text in {"You said: again", "a reply that takes its time"}
        await sms.until_sent(2)
    assert [sent.text for sent in sms.sent] == ["a reply that takes its time", "You said: again"]


async def unready(server: ServerProcess) -> None:
    """Until it says that it takes no more."""
    async with httpx2.AsyncClient() as http, asyncio.timeout(5):
        while (await http.get(f"{server.http}/readyz")).status_code != 503:
            await asyncio.sleep(0.02)


async def test_a_terminal_plays_azure_and_a_phone(start: Start, provider: FakeOpenAI, tmp_path: Path) -> None:
    settings = {
        "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": f"endpoint=http://127.0.0.1:{quiet_port()};accesskey=dHJ5",
        "PHONE_NUMBER": "+15005550006",
        "EVENT_GRID_SECRET": "try",
        **QUICK,
    }
    arguments = ("text", "--channel", "azure_sms", "Hi, I saw the flat")
    async with start(**settings) as server:
        here = {**settings, "PORT": server.port}
        code, printed, errors = await run_command(*arguments, data_dir=tmp_path, **here)
        assert (code, printed) == (0, "You said: Hi, I saw the flat\n"), errors
        wrong = {**here, "EVENT_GRID_SECRET": "other"}
        code, _, errors = await run_command(*arguments, data_dir=tmp_path, **wrong)
        assert (code, "EVENT_GRID_SECRET" in errors) == (2, True)
    code, _, errors = await run_command(*arguments, data_dir=tmp_path, **here)
    assert (code, "No server answers" in errors) == (2, True)
    code, _, errors = await run_command(*arguments, data_dir=tmp_path)
    assert (code, "plays Azure on this machine" in errors) == (2, True)
