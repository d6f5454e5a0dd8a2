"""Texts come twice, late and all at once, and the server is killed: none is lost, and none doubled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.backends.dynamodb import open_dynamodb
from server.backends.sql import open_sql
from tests.fakes.azure_server import azure_server
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.twilio_server import twilio_server
from tests.ministack import Cloud
from tests.ports import quiet_port
from tests.scenario.process import Start
from tests.scenario.sides import AzureSide, Side, TwilioSide
from tests.scenario.storm import DATABASE, SEED
from tests.scenario.text_checker import check_texts
from tests.scenario.webhooks import KILLS, WEBHOOKS, Gale, answers, described


@pytest.fixture(params=["twilio", "azure"])
async def side(request: pytest.FixtureRequest, provider: FakeOpenAI) -> AsyncIterator[Side]:
    print(f"SEED={SEED}")  # Shown when the test fails.
    provider.script(normal=answers)
    if request.param == "twilio":
        async with twilio_server() as twilio:
            yield TwilioSide(twilio)
    else:
        async with azure_server() as azure:
            yield AzureSide(azure)


async def survive(gale: Gale) -> None:
    bag = await gale.blow()
    harms = check_texts(bag)
    print(described(gale, bag, harms))
    assert Counter(harm.kind for harm in harms) == {}, "\n".join(str(harm)[:2_000] for harm in harms[:20])
    assert sum(post.status == 200 for post in bag.posts) == gale.webhooks
    assert gale.faults == []
    assert {post.status for post in bag.posts} <= {None, 200, 503}
    assert gale.hit.total()


@pytest.mark.slow
@pytest.mark.timeout(420 + 10 * KILLS + WEBHOOKS / 5)
async def test_texts_under_load_with_kills_are_kept_answered_and_sent_once_and_in_order(
    start: Start, provider: FakeOpenAI, side: Side, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    url = f"sqlite:///{tmp_path / DATABASE}"
    async with open_sql(url, sole=False, lease_seconds=3, most_waiting=100) as store:
        await survive(Gale(start, provider, side, store, quiet_port(), dice, {}))


@pytest.mark.slow
@pytest.mark.timeout(420 + 20 * KILLS)
async def test_texts_under_load_do_no_worse_where_a_table_keeps_everything(
    start: Start, provider: FakeOpenAI, side: Side, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.empty_table()
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    dice = random.Random(SEED)
    async with open_dynamodb(cloud.settings["TABLE_NAME"], lease_seconds=3, most_waiting=100) as store:
        settings = cloud.table_settings()
        await survive(Gale(start, provider, side, store, quiet_port(), dice, settings, webhooks=120, kills=5))
