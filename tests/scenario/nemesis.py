"""What happens to a cluster under load, one blow after another."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tests.scenario.berths import Berth, Berths
from tests.scenario.clogged import Clogged
from tests.scenario.grounds import LEASE_SECONDS, Ground
from tests.scenario.history import Socket
from tests.scenario.load import Crowd
from tests.scenario.newcomers import greeted

TROUBLE_SECONDS = 1.5
FREEZE_SECONDS = LEASE_SECONDS * 1.5
# For which the others take a process for dead, and send it nothing.
GIVEN_UP_SECONDS = 24.0
NEWCOMERS = 200
CLOGGED = 2
CUT_OFF_SECONDS = 10
BOTH = 0.05
PICK_UP_SECONDS = 45


@dataclass(frozen=True, slots=True)
class Dealt:
    """A blow. Times are seconds since 1970."""

    name: str
    began: float
    ended: float


@dataclass
class Nemesis:
    """Deals blows. `deaths`: when a process was killed; `cut_off`: how many of the `readers` that do not read;
    `slowest_end`: seconds from SIGTERM to the end.
    """

    ground: Ground
    berths: Berths
    load: Crowd
    dice: random.Random
    token: Callable[[str], str]
    deaths: list[float] = field(default_factory=list)
    dealt: list[Dealt] = field(default_factory=list)
    newcomers: int = 0
    readers: list[Clogged] = field(default_factory=list)
    cut_off: int = 0
    slowest_end: float = 0

    async def deal(self, name: str) -> None:
        began = time.time()
        await (self.trouble(name) if name in self.ground.troubles else BLOWS[name](self))
        self.dealt.append(Dealt(name, began, time.time()))

    @property
    def people(self) -> set[str]:
        """All whose conversations are looked at."""
        return self.load.people | {one.user_id for one in self.readers} - {""}

    @property
    def sockets(self) -> list[Socket]:
        return [*self.load.sockets, *(one.seen for one in self.readers)]

    @property
    def blows(self) -> Counter[str]:
        """How often each was dealt."""
        return Counter(one.name for one in self.dealt)

    @property
    def disturbances(self) -> list[float]:
        """When something began or ended that may have kept a process from going on, kills apart."""
        names = {"restart", "freeze", "given up", *self.ground.troubles}
        return [at for one in self.dealt if one.name in names for at in (one.began, one.ended)]

    def any(self) -> Berth:
        return self.dice.choice(self.berths.all)

    @property
    def doors(self) -> list[Berth]:
        """Those that take sockets."""
        return [one for one in self.berths.all if one.command != ("worker",)]

    @property
    def ports(self) -> list[int]:
        return [one.nodes.ports[one.which] for one in self.doors]

    async def kill(self) -> None:
        """Sometimes while another is not up again yet."""
        one = self.any()
        await (one.ready() if self.dice.random() < BOTH else self.berths.ready())
        self.deaths.append(time.time())
        await one.kill()

    async def kill_in_peace(self) -> None:
        """And nothing else, until it is made good."""
        await self.kill()
        await asyncio.sleep(PICK_UP_SECONDS)

    async def restart(self) -> None:
        """All of them, one after another."""
        for one in self.berths.all:
            self.slowest_end = max(self.slowest_end, await one.stop())
            await self.berths.ready()

    async def freeze(self) -> None:
        """For longer than a lease lasts."""
        await self.any().freeze(FREEZE_SECONDS)

    async def give_up(self) -> None:
        await self.any().freeze(GIVEN_UP_SECONDS)

    async def scatter(self) -> None:
        self.load.scatter()

    async def storm(self) -> None:
        """All come back at once, and many others with them."""
        self.load.scatter()
        token = self.token("newcomer")
        tokens = [greeted(self.dice.choice(self.ports), token) for _ in range(NEWCOMERS)]
        for one in await asyncio.gather(*tokens, return_exceptions=True):
            if isinstance(one, asyncio.StreamWriter):
                self.newcomers += 1
                one.transport.abort()

    async def clog(self) -> None:
        """Newcomers stop reading, until they are cut off."""
        await self.berths.ready()
        before = await self._cut_off()
        newest = [Clogged(f"clogged-{len(self.readers) + number}") for number in range(CLOGGED)]
        self.readers += newest
        async with asyncio.TaskGroup() as tasks:
            for one in newest:
                tasks.create_task(one.run(self.dice.choice(self.ports), self.token(one.name)))
        with suppress(TimeoutError):
            async with asyncio.timeout(CUT_OFF_SECONDS):
                while await self._cut_off() < before + sum(one.stopped for one in newest):
                    await asyncio.sleep(0.1)
        self.cut_off += await self._cut_off() - before

    async def _cut_off(self) -> int:
        """How many readers in all, by the processes that run now."""
        figures = [await (await door.ready()).figure("dropped_readers") for door in self.doors]
        return int(sum(figures))

    def so_far(self) -> str:
        load = self.load
        return (
            f"{len(self.deaths)} kills, {load.said} messages, {load.answered} answered, {len(load.sockets)} sockets; "
            f"{len(self.berths.lives)} lives, {len(self.berths.stillborn)} stillborn, {len(self.berths.faults)} faults"
        )

    async def trouble(self, name: str) -> None:
        with self.berths.in_trouble():
            async with self.ground.troubles[name]():
                await asyncio.sleep(TROUBLE_SECONDS)


BLOWS: Mapping[str, Callable[[Nemesis], Awaitable[None]]] = {
    "kill": Nemesis.kill,
    "kill in peace": Nemesis.kill_in_peace,
    "restart": Nemesis.restart,
    "freeze": Nemesis.freeze,
    "given up": Nemesis.give_up,
    "scatter": Nemesis.scatter,
    "storm": Nemesis.storm,
    "clog": Nemesis.clog,
}
