"""A person at a phone, a provider that fails in every way, and what sends between them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import zip_longest
from typing import Any

from server.backends.memory import MemoryStore
from server.delivery.courier import Courier
from server.delivery.outbox import Dispatcher
from server.errors import InDoubt, ProviderFailed, Unavailable
from server.metrics import Metrics
from server.model import Doubt, Draft, InboundMessage, Outgoing, Part, Piece, person_of

LEASE_SECONDS = 30
CALL_SECONDS = 0.05
NUMBER = "+4915112345678"


class Act(Enum):
    """What the provider does with a message that it is to send."""

    SENDS = auto()
    REFUSES = auto()
    """For good."""
    IS_TOLD_TO_STOP = auto()
    IS_DOWN = auto()
    SENDS_AND_SAYS_NOTHING = auto()
    FORGETS_AND_SAYS_NOTHING = auto()
    SENDS_AND_HANGS = auto()
    HANGS = auto()
    SENDS_AND_BREAKS = auto()
    BREAKS = auto()


SENDING = {Act.SENDS, Act.SENDS_AND_SAYS_NOTHING, Act.SENDS_AND_HANGS, Act.SENDS_AND_BREAKS}


@dataclass(frozen=True)
class Sms:
    """What arrived at the phone."""

    key: str
    number: str
    text: str
    media: tuple[str, ...]


@dataclass(frozen=True)
class Try:
    """What a message was sent, or settled, with."""

    key: str
    media: tuple[str, ...]
    began_at: int


@dataclass
class Provider:
    """The port Sender, for texts in parts between bars. `acts`: what happens to the next messages; then all are sent.
    `most`: in how many messages a reply may come.

    `silences`: how often it will not say what became of a message. `retry_after`: what it says when it is down.
    """

    acts: list[Act] = field(default_factory=list)
    silences: int = 0
    retry_after: float | None = None
    most: int = 10
    arrived: list[Sms] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)
    tried: list[Try] = field(default_factory=list)
    settled_with: list[Try] = field(default_factory=list)

    def parts(self, text: str, links: Sequence[str]) -> Sequence[Piece]:
        words = text.split("|") if text else []
        pieces = [Piece(said or "", place) for said, place in zip_longest(words, range(len(links)))]
        return pieces[: self.most]

    def stands_for_rest(self, *, began_at: int, asked_at: int) -> bool:
        return False

    async def send(
        self, number: str, text: str, media: Sequence[str], *, key: str, began_at: int, asked_at: int
    ) -> str:
        act = self.acts.pop(0) if self.acts else Act.SENDS
        self.tried.append(Try(key, tuple(media), began_at))
        self.asked.append(key)
        if act in SENDING:
            self.arrived.append(Sms(key, number, text, tuple(media)))
        await asyncio.sleep(0)
        match act:
            case Act.SENDS:
                return f"id-{key}"
            case Act.REFUSES:
                raise ProviderFailed("no such number", code="bad_number")
            case Act.IS_TOLD_TO_STOP:
                raise ProviderFailed("stopped", code="opted_out")
            case Act.IS_DOWN:
                raise Unavailable("down", code="provider_down", retry_after=self.retry_after)
            case Act.SENDS_AND_SAYS_NOTHING | Act.FORGETS_AND_SAYS_NOTHING:
                raise InDoubt("nobody knows")
            case Act.SENDS_AND_HANGS | Act.HANGS:
                await asyncio.Event().wait()
        raise ZeroDivisionError

    async def settle(self, number: str, text: str, media: Sequence[str], doubt: Doubt) -> str | None:
        """It knows messages by their words only."""
        self.settled_with.append(Try(doubt.key, tuple(media), doubt.began_at))
        self.settled.append(doubt.key)
        await asyncio.sleep(0)
        if self.silences:
            self.silences -= 1
            raise Unavailable("wait", code="provider_down")
        found = [f"id-{sms.key}" for sms in self.arrived if (sms.number, sms.text) == (number, text)]
        return next((one for one in found if one not in doubt.others), None)

    def texts(self, number: str = NUMBER) -> list[str]:
        return [sms.text for sms in self.arrived if sms.number == number]


class Clock:
    """Seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class PhoneStore(MemoryStore):
    """Where time passes whenever something is postponed. `over`: the outbox of a conversation became empty."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock, lease_seconds=LEASE_SECONDS, most_waiting=100)
        self._passing = clock
        self.over = asyncio.Event()
        self.delays: list[float] = []

    async def postpone(self, outgoing: Outgoing, seconds: float) -> None:
        await super().postpone(outgoing, seconds)
        self.delays.append(seconds)
        self._passing.now += seconds

    async def sent(self, outgoing: Outgoing) -> Outgoing | None:
        following = await super().sent(outgoing)
        if following is None:
            self.over.set()
        return following


class Killed(BaseException):
    """Nothing that runs may catch it."""


@dataclass
class Fuse:
    """Kills at the step of this number, from 1; 0: never."""

    steps: int

    def burn(self) -> None:
        self.steps -= 1
        if self.steps == 0:
            raise Killed


class Mortal:
    """Passes all calls on; before and after each one it may be killed."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            self._fuse.burn()
            result = await method(*arguments, **named)
            self._fuse.burn()
            return result

        return call


class PhoneScene:
    def __init__(self, *acts: Act, silences: int = 0) -> None:
        self.clock = Clock()
        self.store = PhoneStore(self.clock)
        self.provider = Provider(list(acts), silences)
        self.metrics = Metrics()
        self._numbers = 0
        self.people: dict[str, str] = {}

    def sign(self, key: str, at: int) -> str:
        return f"https://files.example/{key}?{at}"

    def courier(self, fuse: Fuse | None = None) -> Courier:
        mortal = Fuse(0) if fuse is None else fuse
        store: Any = Mortal(self.store, mortal)
        provider: Any = Mortal(self.provider, mortal)
        senders = {"sms": provider}
        return Courier(store, store, senders, self.sign, self.metrics, call_seconds=CALL_SECONDS, clock=self.clock)

    def dispatcher(self, fuse: Fuse | None = None, *, sweep_seconds: float = 0.002, at_once: int = 4) -> Dispatcher:
        mortal = Fuse(0) if fuse is None else fuse
        store: Any = Mortal(self.store, mortal)
        return Dispatcher(store, self.courier(mortal), owner="s", sweep_seconds=sweep_seconds, at_once=at_once)

    async def begin(self, number: str = NUMBER, channel: str = "sms") -> str:
        made = await self.store.create(person_of(number), channel, "a")
        self.people[made.id] = made.person
        return made.id

    async def post(self, conversation_id: str, *texts: str, images: tuple[str, ...] = ()) -> list[int]:
        """The offsets of these replies."""
        return [await self._post(conversation_id, Draft(text, "stop", images=images)) for text in texts]

    async def _post(self, conversation_id: str, draft: Draft) -> int:
        self._numbers += 1
        message = InboundMessage(self.people[conversation_id], conversation_id, f"m{self._numbers}", "hi")
        await self.store.accept(message)
        lease = await self.store.take(conversation_id, "w")
        assert lease is not None
        return (await self.store.answer(lease, draft, post=True)).reply.offset

    async def taken(self, conversation_id: str) -> Outgoing:
        outgoing = await self.store.take_outgoing(conversation_id, "s")
        assert outgoing is not None
        return outgoing

    async def parts(self, conversation_id: str, offset: int) -> list[Part]:
        return list(await self.store.parts_of(conversation_id, offset))

    @asynccontextmanager
    async def sending(self, dispatcher: Dispatcher) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(dispatcher.run())
            yield
            running.cancel()

    async def send_all(self, dispatcher: Dispatcher | None = None) -> None:
        """Until the outbox of a conversation is empty."""
        async with asyncio.timeout(10), self.sending(dispatcher or self.dispatcher()):
            await self.store.over.wait()

    async def was_killed(self, fuse: Fuse) -> bool:
        """Whether it was, before everything was sent."""
        try:
            await self.send_all(self.dispatcher(fuse))
        except BaseExceptionGroup as group:
            if group.subgroup(Killed) is None:
                raise
            return True
        return False
