"""The fake as the real client sees it: a test that leans on it must know that it tells the truth."""

from __future__ import annotations

import asyncio
import time

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseCompletedEvent

from tests.fakes.openai_server import Answer, FakeOpenAI, Fault, openai_server, words
from tests.fakes.openai_server.client import ABC, OPENING, STREAM, deltas, real_client, told, types, whole

DELTA = b"event: response.output_text.delta"


# --- a normal answer ------------------------------------------------------------------------------------------------


async def test_a_stream_tells_openais_events_in_their_order(client: AsyncOpenAI) -> None:
    events = await told(client, "Grüße aus Köln")

    delta = "response.output_text.delta"
    closing = ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert types(events) == OPENING + [delta] * 5 + [f"response.{name}" for name in closing]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert deltas(events) == ["You", " said:", " Grüße", " aus", " Köln"]


async def test_the_last_event_holds_the_whole_response_and_its_usage(client: AsyncOpenAI) -> None:
    last = (await told(client, "Grüße aus Köln"))[-1]

    assert isinstance(last, ResponseCompletedEvent)
    assert last.response.status == "completed"
    assert last.response.output_text == "You said: Grüße aus Köln"
    assert last.response.usage is not None
    asked_bytes = len('[null,"Grüße aus Köln"]'.encode())
    spent = last.response.usage
    assert (spent.input_tokens, spent.output_tokens) == (asked_bytes // 4, 5)
    assert spent.total_tokens == spent.input_tokens + spent.output_tokens


async def test_without_stream_the_same_answer_is_one_object(client: AsyncOpenAI) -> None:
    response = await client.responses.create(
        model="m", instructions="Be kind.", metadata={"run": "r1"}, input=[{"role": "user", "content": "hello"}]
    )

    assert (response.status, response.output_text) == ("completed", "You said: hello")
    assert (response.model, response.instructions, response.metadata) == ("m", "Be kind.", {"run": "r1"})


async def test_the_question_is_the_last_thing_the_user_said(client: AsyncOpenAI) -> None:
    response = await client.responses.create(
        model="m",
        input=[
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": [{"type": "input_text", "text": "second"}]},
        ],
    )

    assert response.output_text == "You said: second"


async def test_models_are_listed_with_the_day_they_are_shut_down() -> None:
    async with (
        openai_server(models={"new": None, "old": "2027-01-14"}) as fake,
        real_client(fake.base_url) as client,
    ):
        listed = [(model.id, model.to_dict()["shutdown_date"]) async for model in client.models.list()]
        assert fake.violations == []

    assert listed == [("new", None), ("old", "2027-01-14")]


def test_words_joined_are_the_text_again() -> None:
    for text in ("", "  ", "one", " two words ", "line\n\nline\n", "ümläut  \t tab"):
        assert "".join(words(text)) == text


# --- what the fake refuses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "code"), [("", None), ("Basic any", None), ("Bearer bad-key", "invalid_api_key")])
async def test_without_a_good_key_nothing_is_served(http: httpx2.AsyncClient, key: str, code: str | None) -> None:
    for answer in (
        await http.get("/models", headers={"authorization": key}),
        await http.post("/responses", json=STREAM, headers={"authorization": key}),
    ):
        error = answer.json()["error"]
        assert answer.status_code == 401
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, None)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ("{", None),
        ("[]", None),
        ('{"input": "hi"}', "model"),
        ('{"model": "m"}', "input"),
        ('{"model": "m", "input": "hi", "background": true, "stream": true}', "stream"),
        ('{"model": "m", "input": "hi", "previous_response_id": "resp_1"}', "previous_response_id"),
    ],
)
async def test_a_wrong_body_is_refused_in_openais_shape(http: httpx2.AsyncClient, body: str, param: str | None) -> None:
    answer = await http.post("/responses", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json()["error"]["param"] == param


async def test_an_unknown_path_is_refused_in_openais_shape(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/none_such", json={})

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Invalid URL (POST /v1/none_such)"


# --- the script -----------------------------------------------------------------------------------------------------


async def test_a_fault_lasts_for_its_requests_and_then_all_is_normal(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(fault=Fault.OVERLOADED, times=2), Answer(("once",)), normal=Answer(("normal",)))

    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            await whole(client)
    assert [(await whole(client)).output_text for _ in range(3)] == ["once", "normal", "normal"]


async def test_a_function_may_choose_the_answer(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(normal=lambda body: Answer((f"{body['input']}!",)))

    assert (await whole(client, "one")).output_text == "one!"
    assert (await whole(client, "two")).output_text == "two!"


@pytest.mark.parametrize(("length", "said"), [(2, ["a", " b"]), (5, ["a", " b", " c", " more", " more"])])
async def test_a_reply_is_made_as_long_as_asked(
    fake: FakeOpenAI, client: AsyncOpenAI, length: int, said: list[str]
) -> None:
    fake.script(Answer(ABC, length=length))

    assert deltas(await told(client)) == said


async def test_tokens_keep_their_pace(fake: FakeOpenAI, http: httpx2.AsyncClient) -> None:
    fake.script(Answer(ABC, first_delay=0.04, interval=0.02))
    begin = time.monotonic()

    async with http.stream("POST", "/responses", json=STREAM) as answer:
        pieces = [(piece, time.monotonic() - begin) async for piece in answer.aiter_raw()]

    at = [moment for piece, moment in pieces if DELTA in piece]
    assert max(piece.count(DELTA) for piece, _ in pieces) == 1
    assert [moment >= due for moment, due in zip(at, (0.04, 0.06, 0.08), strict=True)] == [True] * 3


async def test_without_an_interval_a_stream_is_few_writes(fake: FakeOpenAI, http: httpx2.AsyncClient) -> None:
    fake.script(Answer(length=200))

    async with http.stream("POST", "/responses", json=STREAM) as answer:
        pieces = [piece async for piece in answer.aiter_raw()]

    assert b"".join(pieces).count(DELTA) == 200
    assert len(pieces) < 10


# --- what is recorded -----------------------------------------------------------------------------------------------


async def test_a_request_is_recorded_without_its_key(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    await told(client, "hello")

    [request] = fake.requests
    assert (request.method, request.path, request.status) == ("POST", "/v1/responses", 200)
    assert request.body == {"model": "m", "input": "hello", "stream": True}
    assert request.headers["authorization"] == ""
    assert "sk-any" not in repr(request)
    assert request.ended is not None
    assert request.arrived <= request.ended
    assert request.client_left is False


async def test_a_client_that_leaves_is_noticed(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(normal=Answer(length=100, interval=1))

    async with await client.responses.create(model="m", input="hi", stream=True) as events:
        await anext(events)
        assert fake.requests[0].ended is None
    await fake.until(lambda: fake.requests[0].ended is not None)

    assert fake.requests[0].client_left is True


async def test_a_client_that_leaves_while_it_asks_is_no_error(
    fake: FakeOpenAI, client: AsyncOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(fake.base_url).port)
    writer.write(b"POST /v1/responses HTTP/1.1\r\nhost: fake\r\ncontent-length: 99\r\n\r\n{")
    writer.close()

    await whole(client)

    assert len(fake.requests) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_after_a_reset_all_is_as_at_the_start(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(fault=Fault.OVERLOADED), normal=Answer(("changed",)))
    await client.models.list()

    fake.reset()

    assert fake.requests == []
    assert (await whole(client, "hello")).output_text == "You said: hello"


async def test_waiting_for_what_does_not_come_ends(fake: FakeOpenAI) -> None:
    with pytest.raises(TimeoutError):
        await fake.until(lambda: False, seconds=0.01)


async def test_the_end_of_a_server_cuts_a_stalled_answer_at_once(client: AsyncOpenAI) -> None:
    async with asyncio.timeout(2):
        async with openai_server(Answer(ABC, fault=Fault.STALL)) as fake:
            mine = client.with_options(base_url=fake.base_url)
            events = await mine.responses.create(model="m", input="hi", stream=True)
            assert [request.ended is None for request in fake.requests] == [True]
        assert [request.ended is None for request in fake.requests] == [False]
        with pytest.raises(openai.APIConnectionError):
            assert [event async for event in events]
