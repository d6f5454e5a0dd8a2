"""Each fault of the fake does what its name says, as the real client sees it."""

from __future__ import annotations

import asyncio
import json

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.fakes.openai_server.client import ABC, OPENING, STREAM, deltas, told, told_until, types, whole

TERMINAL = {"response.completed", "response.failed", "response.incomplete", "error"}


# --- an error in place of the answer ------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("fault", "error", "status", "kind", "code"),
    [
        (Fault.RATE_LIMITED, openai.RateLimitError, 429, "requests", "rate_limit_exceeded"),
        (Fault.INSUFFICIENT_QUOTA, openai.RateLimitError, 429, "insufficient_quota", "credit_balance_exhausted"),
        (Fault.SERVER_ERROR, openai.InternalServerError, 500, "server_error", None),
        (Fault.OVERLOADED, openai.InternalServerError, 503, "service_unavailable_error", None),
        (
            Fault.CONTEXT_LENGTH_EXCEEDED,
            openai.BadRequestError,
            400,
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (Fault.UNAUTHORIZED, openai.AuthenticationError, 401, "invalid_request_error", "invalid_api_key"),
        (Fault.MODEL_NOT_FOUND, openai.NotFoundError, 404, "invalid_request_error", "model_not_found"),
    ],
)
async def test_an_http_error_reaches_the_client_as_its_exception(
    fake: FakeOpenAI,
    client: AsyncOpenAI,
    fault: Fault,
    error: type[openai.APIStatusError],
    status: int,
    kind: str,
    code: str | None,
    streamed: bool,
) -> None:
    fake.script(Answer(fault=fault))

    with pytest.raises(error) as raised:
        await client.responses.create(model="m", input="hi", stream=streamed)
    assert (raised.value.status_code, raised.value.type, raised.value.code) == (status, kind, code)
    assert not {"retry-after", "retry-after-ms"} & raised.value.response.headers.keys()
    assert raised.value.request_id


@pytest.mark.parametrize(
    ("fault", "header", "value"),
    [
        (Fault.RATE_LIMITED_SECONDS, "retry-after", "2"),
        (Fault.RATE_LIMITED_MILLISECONDS, "retry-after-ms", "2000"),
    ],
)
async def test_a_rate_limit_says_when_to_come_back(
    fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault, header: str, value: str
) -> None:
    fake.script(Answer(fault=fault, retry_after=2))

    with pytest.raises(openai.RateLimitError) as raised:
        await told(client)
    hints = {name: text for name, text in raised.value.response.headers.items() if name.startswith("retry")}
    assert hints == {header: value}


# --- the connection -----------------------------------------------------------------------------------------


async def test_a_stall_before_the_headers_lasts_until_the_client_leaves(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.STALL_BEFORE_HEADERS))

    assert await told_until(openai.APITimeoutError, client.with_options(timeout=0.3)) == []
    await fake.until(lambda: fake.requests[0].ended is not None)
    assert (fake.requests[0].status, fake.requests[0].client_left) == (None, True)


async def test_a_stall_in_mid_stream_lasts_until_the_client_leaves(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.STALL, at=2))

    assert deltas(await told_until(openai.APITimeoutError, client.with_options(timeout=0.3))) == ["a", " b"]
    await fake.until(lambda: fake.requests[0].ended is not None)
    assert (fake.requests[0].status, fake.requests[0].client_left) == (200, True)


@pytest.mark.parametrize(
    ("fault", "at", "before"),
    [
        (Fault.RESET_BEFORE_HEADERS, 0, []),
        (Fault.RESET, 0, OPENING),
        (Fault.RESET, 2, [*OPENING, *["response.output_text.delta"] * 2]),
    ],
)
async def test_a_reset_breaks_the_connection_after_what_was_said(
    fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault, at: int, before: list[str]
) -> None:
    fake.script(Answer(ABC, fault=fault, at=at))

    assert types(await told_until(openai.APIConnectionError, client)) == before
    assert fake.requests[0].client_left is False


async def test_a_reset_takes_back_nothing_of_what_was_said(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(length=3000, fault=Fault.RESET, at=3000))

    assert len(deltas(await told_until(openai.APIConnectionError, client))) == 3000


async def test_a_reset_is_a_tcp_reset(fake: FakeOpenAI, http: httpx2.AsyncClient) -> None:
    fake.script(Answer(ABC, fault=Fault.RESET))
    body = json.dumps(STREAM).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    writer.write(b"POST /v1/responses HTTP/1.1\r\nhost: fake\r\nauthorization: Bearer any\r\n")
    writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))

    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_a_clean_end_without_a_terminal_event_ends_the_iterator_silently(
    fake: FakeOpenAI, client: AsyncOpenAI
) -> None:
    fake.script(Answer(ABC, fault=Fault.EOF, at=2))

    events = await told(client)

    assert deltas(events) == ["a", " b"]
    assert not TERMINAL & set(types(events))


# --- the events ---------------------------------------------------------------------------------------------


async def test_malformed_json_is_an_error_of_the_json_module(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.MALFORMED_JSON, at=2))

    assert deltas(await told_until(json.JSONDecodeError, client)) == ["a", " b"]


async def test_an_error_event_is_delivered_and_not_raised(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.ERROR_EVENT, at=2))

    events = await told(client)

    assert deltas(events) == ["a", " b"]
    assert events[-1].type == "error"
    assert events[-1].code == "server_error"


async def test_a_failed_response_is_the_last_event(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.FAILED, at=2), Answer(ABC, fault=Fault.FAILED))

    events = await told(client)

    assert deltas(events) == ["a", " b"]
    assert events[-1].type == "response.failed"
    for response in (events[-1].response, await whole(client)):
        assert response.status == "failed"
        assert response.error is not None
        assert response.error.code == "server_error"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault.INCOMPLETE_LENGTH, "max_output_tokens"), (Fault.INCOMPLETE_FILTER, "content_filter")],
)
async def test_an_incomplete_response_says_why(
    fake: FakeOpenAI, client: AsyncOpenAI, fault: Fault, reason: str
) -> None:
    fake.script(Answer(ABC, fault=fault, at=2, times=2))

    events = await told(client)

    assert deltas(events) == ["a", " b"]
    assert events[-1].type == "response.incomplete"
    for response in (events[-1].response, await whole(client)):
        assert (response.status, response.output_text) == ("incomplete", "a b")
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == reason


async def test_a_refusal_has_its_own_events(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.REFUSAL))

    events = await told(client)

    assert [event.delta for event in events if event.type == "response.refusal.delta"] == list(ABC)
    assert [event.refusal for event in events if event.type == "response.refusal.done"] == ["a b c"]
    assert "response.output_text.delta" not in types(events)
    assert events[-1].type == "response.completed"


async def test_an_empty_reply_completes_without_a_word(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.EMPTY))

    events = await told(client)

    assert deltas(events) == []
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == ""


# --- the bytes ----------------------------------------------------------------------------------------------


async def test_a_drip_splits_everything_and_loses_nothing(
    fake: FakeOpenAI, client: AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    fake.script(Answer(("Grüße", " 🎉"), fault=Fault.DRIP, times=2))

    async with http.stream("POST", "/responses", json=STREAM) as answer:
        pieces = [piece async for piece in answer.aiter_raw()]

    assert {len(piece) for piece in pieces} == {1}
    assert "🎉".encode() in b"".join(pieces)
    assert deltas(await told(client)) == ["Grüße", " 🎉"]


async def test_events_of_an_unknown_type_come_between_the_known(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.script(Answer(ABC, fault=Fault.UNKNOWN_EVENTS))

    events = await told(client)

    delta, strange = "response.output_text.delta", "response.surprise"
    assert [event.type for event in events if event.type in {delta, strange}] == [delta, strange] * 3
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize(
    ("fault", "sign"), [(Fault.CRLF, b"\r\n\r\nevent: response.completed\r\n"), (Fault.COMMENTS, b"\n\n: ping\n\n")]
)
async def test_other_framings_carry_the_same_events(
    fake: FakeOpenAI, client: AsyncOpenAI, http: httpx2.AsyncClient, fault: Fault, sign: bytes
) -> None:
    fake.script(Answer(ABC, fault=fault, times=2))

    raw = (await http.post("/responses", json=STREAM)).content

    assert sign in raw
    assert (fault is Fault.CRLF) == (raw.count(b"\n") == raw.count(b"\r\n"))
    assert types(await told(client)) == types(await told(client))
