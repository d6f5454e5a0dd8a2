"""What the provider saw of a cluster, told by the processes that asked."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.fakes.openai_server import Answer, FakeOpenAI, Recorded
from tests.scenario.berths import Life
from tests.scenario.history import Run
from tests.scenario.storm import RUN_ID

PIECES = 4
DELAYS = (0, 0, 0.02, 0.1, 0.3)


class Witness:
    """Has no two runs say the same: what is said names the process that asked, and how often it was asked."""

    def __init__(self, provider: FakeOpenAI) -> None:
        self._provider = provider
        self._asked = Counter[str]()
        provider.script(normal=self._answer)

    def _answer(self, body: Mapping[str, Any]) -> Answer:
        run_id = body["metadata"]["run_id"]
        self._asked[run_id] += 1
        said = echo(body, self._asked[run_id])
        delay = random.Random(said).choice(DELAYS)
        return Answer(tuple(pieces(said)), first_delay=delay, interval=delay / PIECES)

    def runs(self, lives: Sequence[Life], lease_seconds: float) -> list[Run]:
        """All that began a turn."""
        asked = Counter[str]()
        found = []
        for request in self._provider.questions:
            run_id = request.body["metadata"]["run_id"]
            asked[run_id] += 1
            if (name := RUN_ID.fullmatch(run_id)) is not None:
                life = lives[int(request.body["model"].removeprefix("life-"))]
                found.append(run(request, name, asked[run_id], life, lease_seconds))
        return found


def run(request: Recorded, name: re.Match[str], attempt: int, life: Life, lease_seconds: float) -> Run:
    return Run(
        name[1],
        int(name[2]),
        attempt,
        life.number,
        request.arrived,
        request.ended,
        tuple(item["content"] for item in request.body["input"]),
        sure_until=life.sure_until(request.arrived, lease_seconds),
        excused=life.is_excused(request.arrived, lease_seconds),
        said=echo(request.body, attempt),
    )


def echo(body: Mapping[str, Any], attempt: int) -> str:
    return f"{body['model']}, {attempt}: {body['input'][-1]['content']}"


def pieces(text: str) -> Iterator[str]:
    size = max(1, -(-len(text) // PIECES))
    return (text[at : at + size] for at in range(0, len(text), size))
