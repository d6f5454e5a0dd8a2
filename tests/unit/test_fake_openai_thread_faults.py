"""What is not there on the Assistants wire, what is lost, and what is refused."""

from __future__ import annotations

import httpx2
import openai
import pytest

from tests.fakes.openai_server import Answer, Call, FakeOpenAI, Fault
from tests.fakes.openai_server.client import ABC
from tests.fakes.openai_server.threads_client import BETA, Talk, assistants_are_deprecated

pytestmark = assistants_are_deprecated


async def test_a_run_needs_an_assistant_that_exists(talk: Talk, http: httpx2.AsyncClient) -> None:
    path = f"/threads/{talk.thread_id}/runs"
    answer = await http.post(path, json={"assistant_id": "asst_none"}, headers=BETA)

    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "No assistant found with id 'asst_none'."


@pytest.mark.parametrize("poll_faults", [(), (None, Fault.VANISHED)])
async def test_a_run_may_vanish(fake: FakeOpenAI, talk: Talk, poll_faults: tuple[Fault | None, ...]) -> None:
    fake.script(Answer(ABC, fault=None if poll_faults else Fault.VANISHED, poll_faults=poll_faults))
    run = await talk.begin()
    if poll_faults:
        await talk.look(run)

    for _ in range(2):
        with pytest.raises(openai.NotFoundError, match=f"No run found with id '{run.id}'"):
            await talk.look(run)
    assert [one async for one in talk.client.beta.threads.runs.list(talk.thread_id)] == []


@pytest.mark.parametrize("at_creation", [True, False])
async def test_a_thread_may_vanish(fake: FakeOpenAI, talk: Talk, at_creation: bool) -> None:
    gone = Fault.THREAD_VANISHED
    fake.script(Answer(fault=gone) if at_creation else Answer(poll_faults=(gone,)))

    for _ in range(2):
        with pytest.raises(openai.NotFoundError, match=f"No thread found with id '{talk.thread_id}'"):
            await talk.look(await talk.begin())
    assert fake.runs_created() == (0 if at_creation else 1)


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.OVERLOADED, Fault.UNAUTHORIZED])
async def test_an_http_error_comes_at_the_creation_or_at_a_look(fake: FakeOpenAI, talk: Talk, fault: Fault) -> None:
    fake.script(Answer(ABC, fault=fault), Answer(ABC, poll_faults=(fault,)))

    with pytest.raises(openai.APIStatusError):
        await talk.begin()
    run = await talk.begin()
    with pytest.raises(openai.APIStatusError):
        await talk.look(run)

    assert (await talk.look(run)).status == "completed"
    assert fake.runs_created() == 1


@pytest.mark.parametrize("fault", [Fault.LOST_BY_RESET, Fault.LOST_BY_STALL])
async def test_a_run_may_be_created_although_nobody_says_so(fake: FakeOpenAI, talk: Talk, fault: Fault) -> None:
    fake.script(Answer(ABC, fault=fault))

    with pytest.raises(openai.APIConnectionError):
        await talk.hasty().begin(run_id="r1")

    [run] = [one async for one in talk.client.beta.threads.runs.list(talk.thread_id)]
    assert (run.metadata, run.status) == ({"run_id": "r1"}, "completed")
    assert fake.runs_created("r1") == 1
    assert [(one.id, one.kind) for one in fake.runs] == [(run.id, "thread.run")]


async def test_the_metadata_of_a_run_can_be_changed(fake: FakeOpenAI, talk: Talk) -> None:
    run = await talk.begin(run_id="r1")

    changed = await talk.client.beta.threads.runs.update(run.id, thread_id=talk.thread_id, metadata={"seen": "yes"})

    assert changed.metadata == {"seen": "yes"}
    assert fake.runs[0].metadata == {"seen": "yes"}
    assert fake.runs_created("r1") == 1


async def test_a_look_may_come_with_headers(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(Answer(ABC, poll_headers={"openai-poll-after-ms": "250"}))
    run = await talk.begin()

    raw = await talk.client.beta.threads.runs.with_raw_response.retrieve(run.id, thread_id=talk.thread_id)

    assert raw.headers["openai-poll-after-ms"] == "250"


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault.SERVER_ERROR, openai.InternalServerError, "requires_action"),
        (Fault.RESET_BEFORE_HEADERS, openai.APIConnectionError, "requires_action"),
        (Fault.LOST_BY_RESET, openai.APIConnectionError, "completed"),
        (Fault.LOST_BY_STALL, openai.APITimeoutError, "completed"),
    ],
)
async def test_outputs_may_be_lost_or_taken_although_nobody_says_so(
    fake: FakeOpenAI, talk: Talk, fault: Fault, error: type[Exception], status: str
) -> None:
    fake.script(Answer(("Let me see.",), calls=(Call("look", id="call_1"),)), Answer(("Seven.",), fault=fault))
    run = await talk.settled(await talk.begin())

    with pytest.raises(error):
        await talk.hasty().submit(run, call_1="7")

    assert (await talk.settled(await talk.look(run))).status == status
    assert fake.runs_created() == 1
    assert await talk.said() == ["hi", "Let me see.", "Seven."][: 3 if status == "completed" else 2]


# --- trouble at a route ---------------------------------------------------------------------------------------------


async def test_a_route_may_be_in_trouble_for_some_requests(fake: FakeOpenAI, talk: Talk) -> None:
    fake.trouble("GET /threads/{thread_id}/messages", None, Fault.OVERLOADED)

    assert await talk.said() == ["hi"]
    with pytest.raises(openai.InternalServerError):
        await talk.said()
    assert await talk.said() == ["hi"]


async def test_what_is_lost_is_done_all_the_same(fake: FakeOpenAI, talk: Talk) -> None:
    fake.script(normal=Answer(("unheard",)))
    fake.trouble("POST /threads/{thread_id}/messages", Fault.LOST_BY_RESET, Fault.RESET_BEFORE_HEADERS)

    for text in ("lost", "not even that"):
        with pytest.raises(openai.APIConnectionError):
            await talk.say(text)

    assert await talk.said() == ["hi", "lost"]
