"""What Twilio says twice is one text, by whichever of its marks it is known again."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest

from server.backends.sql import open_sql
from server.model import person_of, text_id
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.twilio_server import ACCOUNT, PERSON, FakeTwilio, inbound, signed, twilio_server
from tests.scenario.phones import PUBLIC, TEXTS, Phone, twilio_settings
from tests.scenario.process import Start
from tests.scenario.storm import DATABASE

MARK = "I-Twilio-Idempotency-Token"


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as fake:
        yield fake


@pytest.fixture
async def phone(start: Start, twilio: FakeTwilio) -> AsyncIterator[Phone]:
    async with start(**twilio_settings(twilio)) as server:
        yield Phone(twilio, server)


async def post(phone: Phone, fields: Mapping[str, str], mark: str) -> None:
    headers = {**signed(PUBLIC + TEXTS, fields), MARK: mark}
    async with httpx2.AsyncClient(timeout=30) as http:
        answered = await http.post(phone.server.http + TEXTS, content=urlencode(fields), headers=headers)
    assert answered.status_code == 200, answered.text


async def was_answered_once(phone: Phone, provider: FakeOpenAI) -> None:
    await phone.hears(1)
    await phone.says("done")
    assert await phone.hears(2) == ["You said: once", "You said: done"]
    assert [asked.body["input"][-1]["content"] for asked in provider.questions] == ["once", "done"]


async def test_the_same_idempotency_token_is_the_same_text_whatever_its_id(phone: Phone, provider: FakeOpenAI) -> None:
    for sid in ("SM" + "a" * 32, "SM" + "b" * 32):
        await post(phone, inbound("once", MessageSid=sid), "the-same")
    await was_answered_once(phone, provider)


async def test_the_same_body_is_the_same_text_whatever_its_token(
    phone: Phone, provider: FakeOpenAI, tmp_path: Path
) -> None:
    fields = inbound("once")
    for mark in ("one", "another"):
        await post(phone, fields, mark)
    await was_answered_once(phone, provider)
    body = text_id("body", ACCOUNT, hashlib.sha256(urlencode(fields).encode()).hexdigest())
    async with open_sql(f"sqlite:///{tmp_path / DATABASE}", sole=False, lease_seconds=30, most_waiting=100) as store:
        assert await store.knows(person_of(PERSON), (body,))
