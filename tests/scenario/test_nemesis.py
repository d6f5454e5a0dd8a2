"""Two processes of one cluster, and all that can happen to them: nothing is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import Answer, FakeOpenAI, openai_server
from tests.ministack import Cloud
from tests.scenario.client import client
from tests.scenario.conftest import KEPT_REQUESTS
from tests.scenario.field import ALIKE, APART, FOR_MANY, Field
from tests.scenario.grounds import LEASE_SECONDS, Ground, aws, postgres
from tests.scenario.load import Pace
from tests.scenario.modes import MODES
from tests.scenario.nemesis import Nemesis
from tests.scenario.pair import Nodes
from tests.scenario.process import Start
from tests.scenario.storm import SEED, questions
from tests.scenario.test_run_kills import wasted

MINUTES = float(os.environ.get("MINUTES", "0"))
# What `make soak` is told; without minutes, a short one of each.
GROUNDS = {"aws": ["aws"], "sql": ["postgres"]}[os.environ.get("BACKEND", "aws")] if MINUTES else ["postgres", "aws"]
KILLS = int(os.environ.get("KILLS", "0"))
MESSAGES = int(os.environ.get("MESSAGES", "0"))
SECONDS = MINUTES * 60 or 12
PROGRESS_SECONDS = 30
PAUSE_SECONDS = 0.5, 3
# Between blows while they are ahead of the messages.
CALM_SECONDS = 6, 18
PEOPLE = int(os.environ.get("PEOPLE", "72"))
# Some twelve messages a second of all together, so that most conversations are at rest when a process ends.
PATIENT = Pace(pause=(6, 30), drops=0.001, resumes_again=0.01)
# Where so many kills and messages take longer than the minutes.
LONGEST_SECONDS = max(SECONDS * 4, 300)


@pytest.fixture
async def provider() -> AsyncIterator[FakeOpenAI]:
    async with openai_server(kept_requests=KEPT_REQUESTS, validate=not MINUTES) as fake:
        yield fake
        assert fake.violations == []


@pytest.fixture
def field(start: Start, provider: FakeOpenAI, tmp_path: Path) -> Field:
    print(f"SEED={SEED}")  # Shown when the test fails.
    return Field(start, provider, tmp_path)


@pytest.fixture
async def ground(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        if request.param == "aws":
            cloud: Cloud = request.getfixturevalue("cloud")
            for name, value in cloud.emulator.environment().items():
                monkeypatch.setenv(name, value)
            yield await stack.enter_async_context(aws(cloud, random.Random(SEED)))
        else:
            yield stack.enter_context(postgres())


def dealing(blow: str) -> Callable[[Nemesis], Awaitable[None]]:
    """One, with a second of peace before and after."""

    async def fury(nemesis: Nemesis) -> None:
        await asyncio.sleep(1)
        await nemesis.deal(blow)
        await asyncio.sleep(1)

    return fury


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("ground", "commands", "blow"),
    [
        ("postgres", ALIKE, "kill"),
        ("aws", APART, "kill"),
        ("postgres", APART, "restart"),
        ("aws", ALIKE, "restart"),
        ("postgres", APART, "freeze"),
        ("aws", ALIKE, "freeze"),
        ("postgres", ALIKE, "storm"),
        ("aws", ALIKE, "scatter"),
        ("aws", APART, "clog"),
        ("postgres", ALIKE, "severed"),
        ("aws", ALIKE, "throttled"),
        ("aws", APART, "broken"),
        ("aws", ALIKE, "unheard"),
        ("aws", ALIKE, "late rings"),
        ("aws", ALIKE, "doubled rings"),
    ],
    indirect=["ground"],
)
async def test_one_blow_does_no_harm(
    field: Field, ground: Ground, commands: Sequence[Sequence[str]], blow: str
) -> None:
    aftermath = await field.fight(ground, dealing(blow), commands=commands)
    print(aftermath.describe())
    aftermath.must_be_harmless()
    assert len(questions(aftermath.logs)) > 10


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("ground", "commands", "blow"),
    [("postgres", ALIKE, "kill"), ("aws", APART, "kill"), ("postgres", APART, "freeze"), ("aws", ALIKE, "freeze")],
    indirect=["ground"],
)
async def test_one_blow_costs_no_run_at_the_provider_that_could_be_taken_up(
    field: Field, ground: Ground, commands: Sequence[Sequence[str]], blow: str
) -> None:
    ground = replace(ground, settings={**ground.settings, **MODES["background"]})
    aftermath = await field.fight(ground, dealing(blow), commands=commands)
    print(aftermath.describe())
    aftermath.must_be_harmless()
    assert len(questions(aftermath.logs)) > 10
    assert wasted(field.provider) == []


@pytest.mark.parametrize("ground", ["postgres", "aws"], indirect=True)
async def test_a_process_that_slept_through_its_lease_neither_writes_nor_speaks(
    start: Start, provider: FakeOpenAI, ground: Ground
) -> None:
    provider.script(normal=lambda body: Answer(tuple(f" {body['model']}" for _ in range(20)), interval=0.1))
    nodes = Nodes(start, {**FOR_MANY, **ground.settings})
    async with (
        nodes.begin(0, OPENAI_MODEL="one") as one,
        nodes.begin(1, OPENAI_MODEL="other") as other,
        client(one) as anna,
        client(other) as laptop,
    ):
        await anna.say("hello", messageId="m1")
        first = (await anna.until("assistantDelta"))["text"].split()[0]
        sleeper, there, here = (one, anna, laptop) if first == "one" else (other, laptop, anna)
        sleeper.process.send_signal(signal.SIGSTOP)
        reply = await here.until("assistantResponse")
        sleeper.process.send_signal(signal.SIGCONT)
        assert await there.until("assistantResponse") == reply
        assert first not in reply["message"]
        await asyncio.sleep(LEASE_SECONDS / 2)
        for device in (here, there):
            await device.answer("ping", "pong")
            assert device.of("assistantResponse") == [reply]
            assert device.frames[-2] == reply
        question, kept = (await here.answer("history", "history"))["messages"]
        assert (question["text"], kept["text"]) == ("hello", reply["message"])


COMMON = {
    "kill": 24,
    "kill in peace": 0.6,
    "restart": 1,
    "freeze": 0.4,
    "given up": 0.2,
    "scatter": 2,
    "storm": 0.5,
    "clog": 0.5,
}


@pytest.mark.slow
@pytest.mark.timeout(LONGEST_SECONDS + 600)
@pytest.mark.parametrize("ground", GROUNDS, indirect=True)
async def test_everything_at_once_does_no_harm(field: Field, ground: Ground) -> None:
    blows = {**COMMON, **dict.fromkeys(ground.troubles, 0.5)}
    load: dict[str, Any] = {"people": PEOPLE, "pace": PATIENT} if MINUTES else {}

    async def fury(nemesis: Nemesis) -> None:
        report = Report(nemesis)
        # The rare ones too, where there is time.
        first = nemesis.dice.sample(list(blows), len(blows)) if MINUTES else []
        while not report.is_over() or first:
            await asyncio.sleep(nemesis.dice.uniform(*(CALM_SECONDS if report.is_ahead() else PAUSE_SECONDS)))
            await nemesis.deal(first.pop() if first else nemesis.dice.choices(list(blows), list(blows.values()))[0])

    aftermath = await field.fight(ground, fury, **load)
    print(aftermath.describe())
    print(aftermath.counts())
    print(aftermath.keep())
    aftermath.must_be_harmless()
    assert len(aftermath.nemesis.deaths) >= KILLS
    assert aftermath.nemesis.load.answered >= MESSAGES
    assert not MINUTES or aftermath.nemesis.blows.keys() == blows.keys()


@dataclass
class Report:
    """Tells from time to time how far it is."""

    nemesis: Nemesis
    began: float = dataclass_field(default_factory=time.monotonic)
    told: float = 0

    def is_over(self) -> bool:
        lasted = time.monotonic() - self.began
        if MINUTES and lasted - self.told > PROGRESS_SECONDS:
            self.told = lasted
            print(f"{lasted / 60:5.1f} min: {self.nemesis.so_far()}", flush=True)
        reached = len(self.nemesis.deaths) >= KILLS and self.nemesis.load.answered >= MESSAGES
        return lasted > SECONDS and (reached or lasted > LONGEST_SECONDS)

    def is_ahead(self) -> bool:
        """More of the kills than of the messages are done."""
        return len(self.nemesis.deaths) * MESSAGES > self.nemesis.load.answered * KILLS
