"""Two server processes of one cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from server.backends.dynamodb import DynamoBackend, open_dynamodb
from server.backends.sql import SqlBackend, open_sql
from tests.ports import quiet_ports
from tests.scenario.process import ServerProcess, Start

SECRET = "a secret of the cluster that is long enough"
NO_TURNS = ("serve", "--no-turns")


@dataclass
class Nodes:
    """Where the processes are, whether they run or not."""

    start: Start
    settings: Mapping[str, object]
    ports: Sequence[int] = field(default_factory=lambda: quiet_ports(2))

    def urls(self) -> list[str]:
        return [f"ws://127.0.0.1:{port}/ws" for port in self.ports]

    def node_url(self, which: int) -> str:
        return f"http://127.0.0.1:{self.ports[which]}"

    def store(self) -> AbstractAsyncContextManager[SqlBackend | DynamoBackend]:
        """What they share, seen from outside. AWS's credentials are in the environment."""
        if "TABLE_NAME" in self.settings:
            return open_dynamodb(str(self.settings["TABLE_NAME"]), lease_seconds=30, most_waiting=100)
        return open_sql(str(self.settings["DATABASE_URL"]), sole=False, lease_seconds=30, most_waiting=100)

    def begin(
        self, which: int, command: Sequence[str] = ("serve",), **settings: object
    ) -> AbstractAsyncContextManager[ServerProcess]:
        ours = {"PORT": self.ports[which], "NODE_URL": self.node_url(which), "CLUSTER_SECRET": SECRET}
        return self.start(command=command, **{**self.settings, **ours, "MESSAGES_PER_MINUTE": 0, **settings})

    @asynccontextmanager
    async def both(
        self, first: Sequence[str] = NO_TURNS, second: Sequence[str] = ("serve",), **settings: object
    ) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
        async with self.begin(0, first, **settings) as one, self.begin(1, second, **settings) as other:
            yield one, other
