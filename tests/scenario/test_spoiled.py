"""The checker, on histories of a real server that seems to have a bug."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.checker import check
from tests.scenario.harms import Kind
from tests.scenario.history import read_logs
from tests.scenario.load import Pace, crowd
from tests.scenario.process import Start
from tests.scenario.spoiler import (
    AcknowledgedAndNotKept,
    BeginningDropped,
    LastDeltaDropped,
    ResumeOffByOne,
    ShownTwice,
    Spoiler,
    WordsDropped,
    spoiled,
)
from tests.scenario.storm import SEED, open_database, paced

SECONDS = 2.0
SETTLE_SECONDS = 5.0


async def test_a_server_without_a_bug_does_no_harm(start: Start, provider: FakeOpenAI, tmp_path: Path) -> None:
    assert await found(start, provider, tmp_path, Spoiler) == set()


@pytest.mark.parametrize(
    ("bug", "kind"),
    [
        (LastDeltaDropped, Kind.UNEQUAL),
        (BeginningDropped, Kind.UNEQUAL),
        (WordsDropped, Kind.WORDLESS),
        (ResumeOffByOne, Kind.GAP),
        (ShownTwice, Kind.DOUBLED),
        (AcknowledgedAndNotKept, Kind.EARLY),
    ],
)
async def test_what_a_server_seems_to_do_wrong_is_named(
    start: Start, provider: FakeOpenAI, tmp_path: Path, bug: type[Spoiler], kind: Kind
) -> None:
    assert kind in await found(start, provider, tmp_path, bug)


async def found(start: Start, provider: FakeOpenAI, folder: Path, bug: type[Spoiler]) -> set[Kind]:
    print(f"SEED={SEED}")
    provider.script(normal=paced)
    async with start(MESSAGES_PER_MINUTE=0, CONNECTIONS_PER_PERSON=0) as server, spoiled(server.socket(), bug) as url:
        async with crowd(url, server.token, people=3, seed=SEED, pace=Pace()) as load:
            await asyncio.sleep(SECONDS)
            await load.settle(SETTLE_SECONDS)
        assert await server.stop() == 0
    async with open_database(folder) as store:
        logs = await read_logs(store, load.people)
    return {harm.kind for harm in check(load.sockets, logs)}
