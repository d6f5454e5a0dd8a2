"""A load and a fury, and what is left."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server.auth.local_pool import LocalUserPool
from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.aftermath import Aftermath
from tests.scenario.berths import berths
from tests.scenario.grounds import LEASE_SECONDS, Ground
from tests.scenario.history import read_logs
from tests.scenario.load import Pace, crowd
from tests.scenario.nemesis import Nemesis
from tests.scenario.pair import NO_TURNS, Nodes
from tests.scenario.process import Start
from tests.scenario.storm import SEED
from tests.scenario.witness import Witness

ALIKE = (("serve",), ("serve",))
APART = (NO_TURNS, ("worker",))
SETTLE_SECONDS = 180 if os.environ.get("MINUTES") else 60
FOR_MANY = {
    "LEASE_SECONDS": LEASE_SECONDS,
    "CONNECTIONS_PER_PERSON": 0,
    "CONNECTION_BUFFER_BYTES": 65_536,
    "CONTEXT_TOKENS": 600,
    "MAX_OUTPUT_TOKENS": 64,
}


@dataclass
class Field:
    """Where it happens: servers are begun with `start`, in this folder."""

    start: Start
    provider: FakeOpenAI
    folder: Path
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))

    async def fight(
        self,
        ground: Ground,
        fury: Callable[[Nemesis], Awaitable[None]],
        *,
        commands: Sequence[Sequence[str]] = ALIKE,
        people: int = 4,
        pace: Pace = Pace(),  # noqa: B008 - it is frozen
    ) -> Aftermath:
        """A load and a fury, after which all is answered."""
        witness = Witness(self.provider)
        nodes = Nodes(self.start, {**FOR_MANY, **ground.settings})
        async with berths(nodes, commands) as every:
            pool = LocalUserPool.open(self.folder)
            url, *others = [nodes.urls()[one.which] for one in every.all if one.command != ("worker",)]
            async with crowd(url, pool.token, people=people, seed=SEED, pace=pace, others=others) as load:
                nemesis = Nemesis(ground, every, load, self.dice, pool.token)
                await fury(nemesis)
                await every.ready()
                unsettled = await load.settle(SETTLE_SECONDS)
            await every.stop()
        async with ground.opened() as store:
            logs = await read_logs(store, nemesis.people)
        return Aftermath(self.folder, nemesis, unsettled, logs, witness.runs(every.lives, LEASE_SECONDS))
