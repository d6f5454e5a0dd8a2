"""The server dies while the provider works for it: what was paid for is taken up again, and nothing is said twice."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from tests.fakes.openai_server import Answer, Call, FakeOpenAI, words
from tests.fakes.openai_server.runs import Run
from tests.scenario.modes import MODES, settings_for
from tests.scenario.process import ServerProcess
from tests.scenario.storm import KILLS, Storm, questions, weather


def with_tools(body: Mapping[str, Any]) -> Answer:
    """The question's echo; of some questions only after one or two tools were used, in one or two rounds."""
    asked, outputs = last_question(body["input"])
    dice = random.Random(asked)
    begins, pace = dice.choice((0, 0.05, 0.2, 0.6)), dice.choice((0, 0.005, 0.01))
    if outputs < dice.choice((0, 0, 1, 2)):
        calls = tuple(Call("current_time", {"timezone": zone}) for zone in dice.sample(("UTC", "Asia/Tokyo"), k=1))
        return Answer(calls=calls, first_delay=begins, interval=pace)
    return Answer(words(f"You said: {asked}"), first_delay=begins, interval=pace)


def last_question(items: list[Mapping[str, Any]]) -> tuple[str, int]:
    """Its text, and how many outputs of tools came after it."""
    place = max(number for number, item in enumerate(items) if item.get("role") == "user")
    outputs = [item for item in items[place:] if item.get("type") == "function_call_output"]
    return str(items[place]["content"]), len(outputs)


def wasted(provider: FakeOpenAI) -> list[Run]:
    """Runs that were begun although an earlier one of the same name could have been taken up.

    Of a background response nobody knows until its id has been kept, and then it is looked at: one that never was died
    with the server that began it. The runs of a thread can be asked for.
    """
    newest: dict[str, Run] = {}
    found = []
    for run in provider.runs:
        known = newest.get(run.metadata["run_id"])
        if known is not None and (known.polls or known.kind == "thread.run"):
            found.append(run)
        newest[run.metadata["run_id"]] = run
    return found


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * KILLS)
@pytest.mark.parametrize("mode", MODES)
async def test_kills_in_the_middle_of_runs_lose_nothing_and_pay_nothing_twice(storm: Storm, mode: str) -> None:
    storm.settings = await settings_for(mode, storm.provider)

    async def rage() -> None:
        await storm.rage(max(1, KILLS // 4), ServerProcess.kill)

    logs = await weather(storm, rage, with_tools)
    assert questions(logs)
    assert storm.busy
    if mode != "stream":
        assert wasted(storm.provider) == []
