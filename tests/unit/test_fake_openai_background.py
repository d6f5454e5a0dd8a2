"""Responses in the background: looked at, cancelled, deleted, counted, and what goes wrong with them."""

from __future__ import annotations

import json
import time

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.fakes.openai_server.client import ABC, begun, over, plain_client, real_client, told_until, whole

BACKGROUND = {"model": "m", "input": "hi", "background": True}


# --- the course of a run --------------------------------------------------------------------------------------------


async def test_a_run_is_queued_then_in_progress_then_completed(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, first_delay=0.05, interval=0.02))
    begin = time.monotonic()

    response = await begun(client)
    assert (response.status, response.background, response.output) == ("queued", True, [])
    seen = [str(response.status)]
    while response.status != "completed":
        response = await client.responses.retrieve(response.id)
        seen.append(str(response.status))

    assert time.monotonic() - begin >= 0.05 + 3 * 0.02
    order = [("queued", "in_progress", "completed").index(status) for status in seen]
    assert order == sorted(order)
    assert response.output_text == "a b c"
    assert response.usage is not None
    assert response.usage.output_tokens == 3


@pytest.mark.parametrize(("fault", "status"), [(Fault.STUCK, "queued"), (Fault.ENDLESS, "in_progress")])
async def test_a_run_may_never_end(fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault, status: str) -> None:
    fake.script(Answer(ABC, fault=fault))

    response = await begun(client)

    assert (await client.responses.retrieve(response.id)).status == status


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.FAILED, "server_error"),
        (Fault.FAILED_RATE_LIMITED, "rate_limit_exceeded"),
        (Fault.FAILED_PROMPT, "invalid_prompt"),
    ],
)
async def test_a_run_may_fail(fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault, code: str) -> None:
    fake.script(Answer(ABC, fault=fault))

    response = await over(client, await begun(client))

    assert (response.status, response.output) == ("failed", [])
    assert response.error is not None
    assert response.error.code == code


async def test_a_run_may_end_incomplete(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.INCOMPLETE_LENGTH, at=2))

    response = await over(client, await begun(client))

    assert (response.status, response.output_text) == ("incomplete", "a b")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("fault", [Fault.VANISHED, Fault.EXPIRED])
async def test_a_run_may_vanish(fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault) -> None:
    fake.script(Answer(ABC, fault=fault))
    response = await begun(client)

    for ask in (client.responses.retrieve, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            await ask(response.id)
    assert [run.status for run in fake.runs] == ["gone"]


async def test_a_status_may_be_unknown(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.UNKNOWN_STATUS))

    response = await begun(client)

    assert response.status == "queued"
    assert str((await client.responses.retrieve(response.id)).status) == "surprise"


# --- cancel and delete ----------------------------------------------------------------------------------------------


async def test_a_cancelled_run_stays_cancelled(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.ENDLESS))
    response = await begun(client)

    cancelled = [await client.responses.cancel(response.id) for _ in range(2)]

    seen = [*cancelled, await client.responses.retrieve(response.id)]
    assert [(one.status, one.output) for one in seen] == [("cancelled", [])] * 3


async def test_a_cancel_that_comes_too_late_gets_the_whole_response(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC), Answer(ABC, first_delay=60, fault=Fault.LATE_CANCEL))

    for response in (await begun(client), await begun(client)):
        cancelled = await client.responses.cancel(response.id)
        assert (cancelled.status, cancelled.output_text) == ("completed", "a b c")


async def test_what_was_not_in_the_background_cannot_be_cancelled(client: AsyncOpenAI) -> None:
    response = await whole(client)

    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        await client.responses.cancel(response.id)


async def test_what_was_deleted_or_never_stored_is_not_found(client: AsyncOpenAI) -> None:
    deleted = await begun(client)
    await client.responses.delete(deleted.id)
    unstored = await client.responses.create(model="m", input="hi", store=False)

    for response_id in (deleted.id, unstored.id, "resp_none"):
        for ask in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
            with pytest.raises(openai.NotFoundError, match=f"Response with id '{response_id}' not found"):
                await ask(response_id)


async def test_a_response_that_was_waited_for_can_be_looked_at_again(client: AsyncOpenAI) -> None:
    response = await whole(client)

    assert await client.responses.retrieve(response.id) == response


# --- what goes wrong with a request ---------------------------------------------------------------------------------

HTTP_FAULTS = {
    Fault.RATE_LIMITED: 429,
    Fault.RATE_LIMITED_SECONDS: 429,
    Fault.RATE_LIMITED_MILLISECONDS: 429,
    Fault.INSUFFICIENT_QUOTA: 429,
    Fault.SLOW_DOWN: 429,
    Fault.SERVER_ERROR: 500,
    Fault.OVERLOADED: 503,
    Fault.CONTEXT_LENGTH_EXCEEDED: 400,
    Fault.CONVERSATION_LOCKED: 400,
    Fault.UNAUTHORIZED: 401,
    Fault.MODEL_NOT_FOUND: 404,
    Fault.THREAD_VANISHED: 404,
}
BROKEN = {
    Fault.STALL: httpx2.ReadTimeout,
    Fault.STALL_BEFORE_HEADERS: httpx2.ReadTimeout,
    Fault.RESET: httpx2.ReadError,
    Fault.RESET_BEFORE_HEADERS: httpx2.ReadError,
}


@pytest.mark.parametrize("fault", HTTP_FAULTS)
async def test_an_http_error_comes_at_the_creation_or_at_a_look(
    fake: FakeOpenAI, http: httpx2.AsyncClient, fault: Fault
) -> None:
    fake.script(Answer(ABC, fault=fault), Answer(ABC, poll_faults=(None, fault)))

    refused, created = [await http.post("/responses", json=BACKGROUND) for _ in range(2)]
    looks = [await http.get(f"/responses/{created.json()['id']}") for _ in range(3)]

    assert [refused.status_code, created.status_code] == [HTTP_FAULTS[fault], 200]
    assert [look.status_code for look in looks] == [200, HTTP_FAULTS[fault], 200]
    assert looks[1].json() == refused.json()
    assert [run.polls for run in fake.runs] == [3]


@pytest.mark.parametrize("fault", BROKEN)
async def test_the_connection_may_break_at_a_look(fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault) -> None:
    fake.script(Answer(ABC, poll_faults=(fault,)))
    response = await begun(client)

    async with plain_client(fake.base_url, timeout=0.2) as http:
        with pytest.raises(BROKEN[fault]):
            await http.get(f"/responses/{response.id}")
    assert (await client.responses.retrieve(response.id)).output_text == "a b c"


@pytest.mark.parametrize("fault", [Fault.EOF, Fault.MALFORMED_JSON])
async def test_half_of_an_answer_may_come_at_a_look(fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault) -> None:
    fake.script(Answer(ABC, poll_faults=(fault,)))
    response = await begun(client)

    with pytest.raises(json.JSONDecodeError):
        await client.responses.retrieve(response.id)


async def test_a_run_that_vanishes_at_a_look_stays_away(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, poll_faults=(None, Fault.VANISHED)))
    response = await over(client, await begun(client))

    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)


async def test_a_look_may_come_with_headers(fake: FakeOpenAI, http: httpx2.AsyncClient) -> None:
    fake.script(Answer(ABC, poll_headers={"openai-poll-after-ms": "250", "retry-after": "1"}))

    created = await http.post("/responses", json=BACKGROUND)
    look = await http.get(f"/responses/{created.json()['id']}")

    hints = [(one.headers["openai-poll-after-ms"], one.headers["retry-after"]) for one in (created, look)]
    assert hints == [("250", "1")] * 2


# --- how many were paid for -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "created"),
    [
        (Fault.LOST_BY_RESET, openai.APIConnectionError, 1),
        (Fault.LOST_BY_STALL, openai.APITimeoutError, 1),
        (Fault.RESET, openai.APIConnectionError, 1),
        (Fault.RESET_BEFORE_HEADERS, openai.APIConnectionError, 0),
        (Fault.STALL_BEFORE_HEADERS, openai.APITimeoutError, 0),
        (Fault.OVERLOADED, openai.InternalServerError, 0),
        (Fault.ERROR_EVENT, openai.InternalServerError, 0),
    ],
)
async def test_a_run_may_be_created_although_nobody_says_so(
    fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault, error: type[Exception], created: int
) -> None:
    fake.script(Answer(ABC, fault=fault))

    with pytest.raises(error):
        await begun(client.with_options(timeout=0.2), run_id="r1")

    assert (fake.runs_created(), fake.runs_created("r1")) == (created, created)
    assert [run.status for run in fake.runs] == ["completed"] * created


async def test_each_run_is_listed_and_counted(fake: FakeOpenAI, client: AsyncOpenAI, http: httpx2.AsyncClient) -> None:
    first, _ = await begun(client, run_id="r1"), await begun(client, run_id="r1")
    await begun(client, run_id="r2")
    await whole(client)

    assert (fake.runs_created(), fake.runs_created("r1"), fake.runs_created("r3")) == (4, 2, 0)
    control = f"{fake.base_url.removesuffix('/v1')}/_control"
    listed = (await http.get(f"{control}/runs")).json()
    assert (listed["created"], listed["per_run_id"]) == (4, {"r1": 2, "r2": 1})
    shown = listed["runs"][0]
    assert (shown["id"], shown["kind"], shown["metadata"]) == (first.id, "response", {"run_id": "r1"})
    assert (shown["status"], shown["polls"]) == ("completed", 0)


async def test_a_stream_that_breaks_was_paid_for(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.RESET, at=1))

    await told_until(openai.APIConnectionError, client)

    assert fake.runs_created() == 1


async def test_after_a_reset_of_the_fake_nothing_is_known(fake: FakeOpenAI) -> None:
    async with real_client(fake.base_url) as client:
        response = await begun(client, run_id="r1")
        fake.reset()

        assert (fake.runs, fake.runs_created("r1")) == ([], 0)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)
