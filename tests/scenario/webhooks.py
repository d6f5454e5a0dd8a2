"""Phones under load: people who write in every manner, and a provider that says everything twice and fails to send."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from server.model import Question, Reply
from tests.fakes.openai_server import Answer, FakeOpenAI, words
from tests.scenario.harms import Harm, Kind
from tests.scenario.postbag import START, STOP, Bag, Post, TextStore, read_bag
from tests.scenario.process import Start
from tests.scenario.sides import Letter, Side
from tests.scenario.text_checker import check_texts

WEBHOOKS = int(os.environ.get("WEBHOOKS", "240"))
KILLS = int(os.environ.get("KILLS", "4"))
# Of each person, with those that come again.
EACH = 24
PAUSES = (0, 0.1, 0.4, 0.8)
AGAIN_SECONDS = 0.05, 0.2
PATIENCE_SECONDS = 300
SETTLE_SECONDS = 300
# For what would come twice.
AFTERMATH_SECONDS = 3
# Of texts: those of which the reply takes several messages.
LONG = 0.05
LONG_WORDS = 150


@dataclass
class Carrier:
    """The provider's side: each webhook until it is taken. `taken`: how many letters were; `under_way`: how many
    webhooks are being asked.
    """

    side: Side
    http: httpx2.AsyncClient
    posts: list[Post] = field(default_factory=list)
    taken: int = 0
    under_way: int = 0

    async def post(self, dice: random.Random, *letters: Letter) -> None:
        """As Twilio does with `#rc=3&rp=all`, and Event Grid after a 503; and more patiently than either."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._once(letters) != 200:
                await asyncio.sleep(dice.uniform(*AGAIN_SECONDS))
        self.taken += len(letters)

    async def _once(self, letters: Sequence[Letter]) -> int | None:
        began, status = time.time(), None
        self.under_way += 1
        try:
            status = await self.side.post(self.http, letters)
        except httpx2.TransportError:
            pass
        finally:
            self.under_way -= 1
        ended = time.time()
        self.posts += [Post(one.number, one.log_id, one.body, began, ended, status) for one in letters]
        return status


class Writer:
    """A person who writes; every third text comes again: at the same time, soon after, or much later."""

    def __init__(self, number: str, carrier: Carrier, dice: random.Random, *, stops: bool) -> None:
        self._number = number
        self._carrier = carrier
        self._dice = dice
        self._stops = stops
        self._written = 0
        self._sent = 0
        self._late: list[Letter] = []

    async def write(self, count: int) -> None:
        """So many webhooks, with what comes again."""
        texts = count - count // 3
        pause_at, back_at = (texts // 2, texts // 2 + 3) if self._stops else (-1, -1)
        while self._written < texts:
            if self._written in {pause_at, back_at}:
                await self._one(STOP if self._written == pause_at else START)
            else:
                until = next((at for at in (pause_at, back_at) if at > self._written), texts)
                await self._some(until - self._written)
            await asyncio.sleep(self._dice.choice(PAUSES))
        for letter in self._late:
            await self._again(letter)

    async def _some(self, most: int) -> None:
        """One; several in one breath, or in one batch; or several at once, which overtake one another."""
        breath = min(most, self._dice.choice((1, 1, 1, 2, 3)))
        if self._dice.random() < 0.2:
            await asyncio.gather(*(self._one(self._words(), self._dice.uniform(0, 0.05)) for _ in range(breath)))
        elif self._carrier.side.batches and self._dice.random() < 0.3:
            await self._send([self._letter(self._words()) for _ in range(breath)])
        else:
            for _ in range(breath):
                await self._one(self._words())

    def _words(self) -> str:
        kind = "long" if self._dice.random() < LONG else "short"
        return f"{kind}-{self._number[-4:]}-{self._written}-{self._dice.randrange(10**6)} grüße"

    async def _one(self, body: str, delay: float = 0) -> None:
        letter = self._letter(body)
        await asyncio.sleep(delay)
        await self._send([letter])

    def _letter(self, body: str) -> Letter:
        self._written += 1
        return self._carrier.side.letter(self._number, body)

    async def _send(self, letters: Sequence[Letter]) -> None:
        """Together; every second one comes again, by itself."""
        posts = [self._carrier.post(self._dice, *letters)]
        soon: list[Letter] = []
        for letter in letters:
            self._sent += 1
            if self._sent % 2:
                continue
            manner = self._dice.choice(("at once", "soon", "late"))
            if manner == "at once":
                posts.append(self._again(letter))
            else:
                (soon if manner == "soon" else self._late).append(letter)
        await asyncio.gather(*posts)
        for letter in soon:
            await self._again(letter)
        if self._late and self._dice.random() < 0.3:
            await self._again(self._late.pop(0))

    async def _again(self, letter: Letter) -> None:
        """As it was the first time, or under another name."""
        await self._carrier.post(self._dice, self._dice.choice((letter, self._carrier.side.again(letter))))


def answers(body: Mapping[str, Any]) -> Answer:
    """The question's echo; a long one for those who ask so, each of its words another."""
    question = body["input"][-1]["content"]
    more = [
        f" {word[-6:]}-{number}" for word in question.split() if word.startswith("long") for number in range(LONG_WORDS)
    ]
    dice = random.Random(question)
    return Answer((*words(f"You said: {question}"), *more), first_delay=dice.choice((0, 0, 0.05, 0.3)))


@dataclass
class Gale:
    """A load of webhooks, and a server that is killed under it. `settings`: of the server.

    `hit`: how often a kill came while a webhook, a turn or a message was under way.
    """

    start: Start
    provider: FakeOpenAI
    side: Side
    store: TextStore
    port: int
    dice: random.Random
    settings: Mapping[str, object]
    webhooks: int = WEBHOOKS
    kills: int = KILLS
    faults: list[str] = field(default_factory=list)
    hit: Counter[str] = field(default_factory=Counter)

    async def blow(self) -> Bag:
        """All that is known once everything is answered and sent."""
        self.side.turn_foul(self.dice)
        url, limits = f"http://127.0.0.1:{self.port}", httpx2.Limits(max_connections=200)
        async with httpx2.AsyncClient(base_url=url, timeout=20, limits=limits) as http:
            carrier = Carrier(self.side, http)
            async with asyncio.TaskGroup() as tasks:
                writing = [tasks.create_task(writer.write(count)) for writer, count in self._writers(carrier)]
                for kill in range(self.kills):
                    await self._life(carrier, (kill + 1) / (self.kills + 1))
                async with self._server() as server:
                    await asyncio.wait(writing)
                    bag = await self._settled(carrier)
                    assert await server.stop() == 0
                self.faults += server.faults
        return bag

    def _writers(self, carrier: Carrier) -> list[tuple[Writer, int]]:
        people = max(1, self.webhooks // EACH)
        return [
            (
                Writer(f"+49170{1_000_000 + one}", carrier, random.Random(self.dice.random()), stops=one % 8 == 3),
                self.webhooks * (one + 1) // people - self.webhooks * one // people,
            )
            for one in range(people)
        ]

    async def _life(self, carrier: Carrier, share: float) -> None:
        """Until so much was taken, and a little longer; it is short where little is left until then."""
        async with self._server() as server:
            while carrier.taken < self.webhooks * share:
                await asyncio.sleep(0.02)
            await asyncio.sleep(self.dice.uniform(0, 0.4))
            self._note_hits(carrier)
            await server.kill()
        self.faults += server.faults

    def _note_hits(self, carrier: Carrier) -> None:
        self.hit["webhooks"] += carrier.under_way > 0
        self.hit["turns"] += any(request.ended is None for request in self.provider.questions)
        self.hit["messages"] += self.side.is_sending()

    def _server(self) -> Any:
        ours = {
            **self.side.settings(),
            "PORT": self.port,
            "LEASE_SECONDS": 6,
            "TEXT_PAUSE_SECONDS": 0.2,
            "SMS_SEGMENTS": 100,
            "CONTEXT_TOKENS": 512,
            **dict.fromkeys(("TEXTS_PER_MINUTE", "TEXTS_PER_DAY", "MESSAGES_PER_MINUTE"), 0),
        }
        return self.start(**ours, **self.settings)

    async def _settled(self, carrier: Carrier) -> Bag:
        """Once nothing is missing any more, or time is up."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while any(harm.kind is Kind.LOST for harm in check_texts(await self._bag(carrier))):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(1)
        await asyncio.sleep(AFTERMATH_SECONDS)
        return await self._bag(carrier)

    async def _bag(self, carrier: Carrier) -> Bag:
        return await read_bag(self.store, carrier.posts, self.side.taken())


def described(gale: Gale, bag: Bag, harms: Sequence[Harm]) -> str:
    acknowledged = sum(post.status == 200 for post in bag.posts)
    texts = len({post.log_id for post in bag.posts})
    kept = [entry for log in bag.logs for entry in log.entries]
    questions = sum(isinstance(entry, Question) for entry in kept)
    codes = Counter(entry.draft.code for entry in kept if isinstance(entry, Reply) and entry.draft.code)
    merged = sum(len(entry.message_ids) > 1 for entry in kept if not isinstance(entry, Question))
    several = sum(len(parts) > 1 for parts in bag.parts.values())
    return (
        f"{acknowledged} webhooks acknowledged of {len(bag.posts)} posts, {texts} texts; {gale.kills} kills, of"
        f" which hit {dict(gale.hit)};"
        f" {questions} questions and {len(kept) - questions} replies kept, {merged} to several at once,"
        f" errors {dict(codes)};"
        f" {len(bag.taken)} messages sent, {several} replies in several;"
        f" {len(harms)} harms"
    )
