"""Two server processes of one cluster."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from tests.scenario.process import ServerProcess, Start
from tests.scenario.storm import quiet_port

SECRET = "a secret of the cluster that is long enough"
NO_TURNS = ("serve", "--no-turns")


@dataclass
class Nodes:
    """Where the processes are, whether they run or not."""

    start: Start
    settings: Mapping[str, object]
    ports: Sequence[int] = field(default_factory=lambda: [quiet_port(random.Random()) for _ in range(2)])

    def urls(self) -> list[str]:
        return [f"ws://127.0.0.1:{port}/ws" for port in self.ports]

    def begin(
        self, which: int, command: Sequence[str] = ("serve",), **settings: object
    ) -> AbstractAsyncContextManager[ServerProcess]:
        port = self.ports[which]
        ours = {"PORT": port, "NODE_URL": f"http://127.0.0.1:{port}", "CLUSTER_SECRET": SECRET}
        return self.start(command=command, **{**self.settings, **ours, "MESSAGES_PER_MINUTE": 0, **settings})

    @asynccontextmanager
    async def both(
        self, first: Sequence[str] = NO_TURNS, second: Sequence[str] = ("serve",), **settings: object
    ) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
        async with self.begin(0, first, **settings) as one, self.begin(1, second, **settings) as other:
            yield one, other
