"""The fake holds all traffic, its own too, against OpenAI's description."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import httpx2
import openai
import pytest

from tests.fakes.openai_server import Answer, Call, Fault, description_path, openai_server
from tests.fakes.openai_server.client import ABC, STREAM, described, plain_client, real_client
from tests.fakes.openai_server.threads_client import BETA
from tests.fakes.openai_server.validation import Description

STALLS = {Fault.STALL, Fault.STALL_BEFORE_HEADERS, Fault.LOST_BY_STALL}
RESETS = {Fault.RESET, Fault.RESET_BEFORE_HEADERS, Fault.LOST_BY_RESET}


@described
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("fault", [None, *Fault])
async def test_whatever_goes_wrong_each_event_and_answer_is_as_described(fault: Fault | None, streamed: bool) -> None:
    async with openai_server(Answer(ABC, fault=fault, at=2)) as fake:
        assert fake.inspector.active
        timeout = 0.1 if fault in STALLS else 5
        async with plain_client(fake.base_url, timeout) as http:
            try:
                await http.post("/responses", json={**STREAM, "stream": streamed})
            except httpx2.TransportError:
                assert fault in STALLS | RESETS
        assert fake.violations == []


@described
@pytest.mark.parametrize("fault", [None, *Fault])
async def test_whatever_goes_wrong_a_run_is_shown_as_described(fault: Fault | None) -> None:
    answer = Answer(ABC, calls=(Call("look", {"up": 1}),), fault=fault, at=2, poll_faults=(fault,))
    async with openai_server(answer) as fake, plain_client(fake.base_url, 0.1 if fault in STALLS else 5) as http:
        with contextlib.suppress(httpx2.TransportError):
            await http.post("/responses", json={"model": "m", "input": "hi", "background": True})
        for run in fake.runs:
            for method, path in (("GET", ""), ("GET", ""), ("POST", "/cancel"), ("DELETE", "")):
                with contextlib.suppress(httpx2.TransportError):
                    await http.request(method, f"/responses/{run.id}{path}")
        assert fake.violations == []


@described
@pytest.mark.parametrize("fault", [None, *Fault])
async def test_whatever_goes_wrong_the_run_of_a_thread_is_shown_as_described(fault: Fault | None) -> None:
    answer = Answer(ABC, fault=fault, at=2, poll_faults=(fault,))
    async with openai_server(answer) as fake, plain_client(fake.base_url) as http:
        http.headers.update(BETA)
        patience = 0.1 if fault in STALLS else 5
        assistant = (await http.post("/assistants", json={"model": "m"})).json()["id"]
        thread = f"/threads/{(await http.post('/threads')).json()['id']}"
        with contextlib.suppress(httpx2.TransportError):
            await http.post(f"{thread}/runs", json={"assistant_id": assistant}, timeout=patience)
        for run in fake.runs:
            for method, path in (("GET", ""), ("GET", ""), ("POST", "/cancel"), ("GET", "")):
                with contextlib.suppress(httpx2.TransportError):
                    await http.request(method, f"{thread}/runs/{run.id}{path}", timeout=patience)
        for path in ("/runs", "/messages"):
            await http.get(thread + path)
        assert fake.violations == []


@described
@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"surprise": 1}, "'surprise' was unexpected"),
        ({"temperature": 5}, "temperature: "),
        ({"input": [{"role": "boss", "content": "hi"}]}, "input: "),
        ({"input": [{"type": "function_call_output", "output": "hi"}]}, "input: "),
    ],
)
async def test_a_request_against_the_description_is_noted_and_refused(body: Mapping[str, Any], complaint: str) -> None:
    async with (
        openai_server() as fake,
        real_client(fake.base_url) as client,
    ):
        with pytest.raises(openai.BadRequestError, match=complaint):
            await client.responses.create(model="m", input="hi", extra_body=body)

        [violation] = fake.violations
        assert violation.where == "request POST /responses"
        assert complaint in violation.message


@described
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/assistants", {"model": "m", "surprise": 1}),
        ("/threads", {"messages": [{"role": "boss", "content": "hi"}]}),
        ("/threads/thread_1/messages", {"role": "user", "content": []}),
        ("/threads/thread_1/runs", {"assistant_id": "a", "max_prompt_tokens": 1}),
        ("/threads/thread_1/runs/run_1/submit_tool_outputs", {"tool_outputs": [1]}),
    ],
)
async def test_on_the_assistants_wire_too(path: str, body: Mapping[str, Any]) -> None:
    async with openai_server() as fake, plain_client(fake.base_url) as http:
        answer = await http.post(path, json=body, headers=BETA)

        [violation] = fake.violations
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, violation.message)
        wanted = path.replace("thread_1", "{thread_id}").replace("run_1", "{run_id}")
        assert violation.where == f"request POST {wanted}"


@described
async def test_validation_can_be_switched_off() -> None:
    async with (
        openai_server(validate=False) as fake,
        real_client(fake.base_url) as client,
    ):
        await client.responses.create(model="m", input="hi", extra_body={"surprise": 1})
        assert fake.violations == []


@described
def test_the_description_knows_a_wrong_event_and_a_wrong_answer() -> None:
    path = description_path()
    assert path is not None
    description = Description(json.loads(path.read_bytes()))

    assert description.event_errors({"type": "response.output_text.delta", "sequence_number": 1})
    assert description.event_errors({"type": "response.surprise", "sequence_number": 1})
    assert description.answer_errors("GET", "/models", 200, {"object": "list"})
    assert description.answer_errors("GET", "/models", 500, {"error": "text"})
