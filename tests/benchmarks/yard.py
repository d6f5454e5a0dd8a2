"""Where servers of ours are begun that share a store, and how much is done there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from tests.benchmarks.programs import Program, Stage, Upstream
from tests.benchmarks.stores import Store
from tests.scenario.pair import SECRET


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. `people`: of each process; `turns`: of each person; `long_seconds`: of a long
    reply; `idle_seconds`: how long nothing is said, to see what is asked for then.
    """

    rounds: int = 5
    people: int = 32
    turns: int = 6
    connects: int = 100
    many_entries: int = 10_000
    many_rows: int = 100_000
    long_seconds: float = 10.0
    idle_seconds: float = 10.0


@dataclass(frozen=True)
class Yard:
    """Where servers are begun that share a store."""

    stage: Stage
    upstream: Upstream
    store: Store
    ports: Iterator[int]

    @asynccontextmanager
    async def servers(self, number: int, **settings: object) -> AsyncIterator[list[Program]]:
        """Of one cluster, on one folder of keys."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self._server(**settings)) for _ in range(number)]

    def _server(self, **settings: object) -> AbstractAsyncContextManager[Program]:
        port = next(self.ports)
        return self.alone(PORT=port, NODE_URL=f"http://127.0.0.1:{port}", CLUSTER_SECRET=SECRET, **settings)

    def alone(self, **settings: object) -> AbstractAsyncContextManager[Program]:
        """One that knows of no others."""
        keys = self.stage.folder / "keys"
        keys.mkdir(exist_ok=True)
        return self.stage.program("ours", self.upstream, **{**self.store.settings, "DATA_DIR": keys, **settings})

    @contextmanager
    def another(self) -> Iterator[Yard]:
        with self.store.another() as store:
            yield replace(self, store=store)
