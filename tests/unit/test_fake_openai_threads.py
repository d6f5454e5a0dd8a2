"""Assistants, threads and messages, as the real client sees them."""

from __future__ import annotations

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.fakes.openai_server import FakeOpenAI, openai_server
from tests.fakes.openai_server.client import real_client, whole
from tests.fakes.openai_server.threads_client import BETA, Talk, assistants_are_deprecated

pytestmark = assistants_are_deprecated


# --- who is served --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", ["", "assistants=v1"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/threads"), ("GET", "/assistants"), ("GET", "/threads/t/runs")])
async def test_without_the_beta_header_nothing_is_served(
    http: httpx2.AsyncClient, beta: str, method: str, path: str
) -> None:
    answer = await http.request(method, path, headers={"openai-beta": beta})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_beta")


async def test_where_assistants_are_gone_they_are_not_found() -> None:
    async with openai_server(assistants_gone=True) as fake, real_client(fake.base_url) as client:
        for refused in (
            client.beta.assistants.create(model="m"),
            client.beta.threads.create(),
            client.beta.threads.runs.retrieve("run_1", thread_id="thread_1"),
        ):
            with pytest.raises(openai.NotFoundError, match="Invalid URL"):
                await refused
        assert (await whole(client, "still there?")).output_text == "You said: still there?"
        assert fake.violations == []


# --- assistants -----------------------------------------------------------------------------------------------------


async def test_an_assistant_is_kept_as_it_was_made_and_changed(client: AsyncOpenAI) -> None:
    made = await client.beta.assistants.create(model="m", name="Ada", instructions="Be kind.", metadata={"v": "1"})
    changed = await client.beta.assistants.update(made.id, instructions="Be brief.")
    found = await client.beta.assistants.retrieve(made.id)

    assert (made.name, made.instructions, made.metadata) == ("Ada", "Be kind.", {"v": "1"})
    assert (changed.name, changed.instructions) == ("Ada", "Be brief.")
    assert found == changed


async def test_assistants_are_listed_and_deleted(client: AsyncOpenAI) -> None:
    first, second = [(await client.beta.assistants.create(model="m")).id for _ in range(2)]
    assert [one.id async for one in client.beta.assistants.list()] == [second, first]

    assert (await client.beta.assistants.delete(first)).deleted

    assert [one.id async for one in client.beta.assistants.list()] == [second]
    with pytest.raises(openai.NotFoundError, match=f"No assistant found with id '{first}'"):
        await client.beta.assistants.retrieve(first)


# --- threads --------------------------------------------------------------------------------------------------------


async def test_a_thread_begins_with_its_messages(client: AsyncOpenAI) -> None:
    made = await client.beta.threads.create(
        messages=[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}], metadata={"who": "me"}
    )

    assert (await client.beta.threads.retrieve(made.id)).metadata == {"who": "me"}
    listed = [one async for one in client.beta.threads.messages.list(made.id, order="asc")]
    assert [(one.role, one.thread_id, one.status) for one in listed] == [
        ("user", made.id, "completed"),
        ("assistant", made.id, "completed"),
    ]


async def test_a_thread_that_was_deleted_is_gone_with_all_that_is_in_it(talk: Talk) -> None:
    assert (await talk.client.beta.threads.delete(talk.thread_id)).deleted

    for refused in (talk.say("still there?"), talk.begin(), talk.client.beta.threads.retrieve(talk.thread_id)):
        with pytest.raises(openai.NotFoundError, match=f"No thread found with id '{talk.thread_id}'"):
            await refused


async def test_an_empty_thread_has_an_empty_list(client: AsyncOpenAI) -> None:
    thread = await client.beta.threads.create()

    assert (await client.beta.threads.messages.list(thread.id)).data == []


# --- messages -------------------------------------------------------------------------------------------------------


async def test_messages_are_listed_newest_first_or_oldest_first(talk: Talk) -> None:
    made = [(await talk.say(text)).id for text in ("two", "three")]
    messages = talk.client.beta.threads.messages

    assert [one.id async for one in messages.list(talk.thread_id)][:2] == made[::-1]
    assert await talk.said() == ["hi", "two", "three"]


async def test_messages_come_page_by_page(talk: Talk) -> None:
    for text in ("two", "three"):
        await talk.say(text)
    messages = talk.client.beta.threads.messages

    first = await messages.list(talk.thread_id, order="asc", limit=2)
    rest = await messages.list(talk.thread_id, order="asc", limit=2, after=first.data[-1].id)
    back = await messages.list(talk.thread_id, order="asc", before=rest.data[0].id)

    assert (len(first.data), first.has_more) == (2, True)
    assert (len(rest.data), rest.has_more) == (1, False)
    assert back.data == first.data
    assert len([one async for one in messages.list(talk.thread_id, limit=1)]) == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=ten", "order=up", "after=msg_none"])
async def test_a_page_that_makes_no_sense_is_refused(talk: Talk, http: httpx2.AsyncClient, query: str) -> None:
    answer = await http.get(f"/threads/{talk.thread_id}/messages?{query}", headers=BETA)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.partition("=")[0])


async def test_a_message_may_have_parts(talk: Talk) -> None:
    made = await talk.client.beta.threads.messages.create(
        talk.thread_id,
        role="user",
        content=[
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ],
    )

    assert [part.type for part in made.content] == ["text", "image_url"]


@pytest.mark.parametrize("body", [{}, {"role": "user"}, {"role": "user", "content": None}])
async def test_a_message_without_role_or_content_is_refused(
    talk: Talk, fake: FakeOpenAI, http: httpx2.AsyncClient, body: dict[str, str]
) -> None:
    answer = await http.post(f"/threads/{talk.thread_id}/messages", json=body, headers=BETA)

    assert answer.status_code == 400
    fake.inspector.violations.clear()
