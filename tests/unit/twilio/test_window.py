"""WhatsApp's window closes while a reply is on its way."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from server.backends.memory import MemoryStore
from server.channels.twilio import Terms, TwilioWhatsApp, open_client
from server.delivery.courier import Courier
from server.metrics import Metrics
from server.model import Draft, InboundMessage, Outgoing, Part, person_of
from tests.fakes.twilio_server import ACCOUNT, OURS, PERSON, TOKEN, FakeTwilio, Fault, twilio_server
from tests.unit.phone_scene import Clock

TERMS = Terms("https://chat.example.com/webhooks/twilio/status", 3, 600, settle_seconds=0)
DAY = 24 * 3600
WORDS = "word " * 900
TEMPLATE = "The template's words."


@dataclass
class Scene:
    """A reply in three messages. The person wrote so long ago that the window closes a minute later."""

    fake: FakeTwilio
    sender: TwilioWhatsApp
    clock: Clock

    def __post_init__(self) -> None:
        self.store = MemoryStore(clock=self.clock, lease_seconds=30, most_waiting=9)
        self.courier = Courier(
            self.store,
            self.store,
            {"whatsapp": self.sender},
            lambda key, _at: key,
            Metrics(),
            call_seconds=20,
            clock=self.clock,
        )

    async def post(self) -> str:
        made = await self.store.create(person_of(PERSON), "whatsapp", "a")
        await self.store.accept(InboundMessage(made.person, made.id, "m1", "hi"))
        lease = await self.store.take(made.id, "w")
        assert lease is not None
        await self.store.answer(lease, Draft(WORDS, "stop"), post=True)
        self.clock.now += DAY - 60
        return made.id

    async def deliver(self, conversation_id: str) -> float | None:
        outgoing = await self.store.take_outgoing(conversation_id, "s")
        assert outgoing is not None
        delay = await self.courier.deliver(outgoing)
        if delay is not None:
            await self.store.postpone(outgoing, 0)
        return delay

    async def taken_again(self, conversation_id: str) -> Outgoing:
        self.clock.now += 31
        outgoing = await self.store.take_outgoing(conversation_id, "other")
        assert outgoing is not None
        return outgoing

    async def parts(self, conversation_id: str) -> list[Part]:
        return list(await self.store.parts_of(conversation_id, 2))

    def close(self) -> None:
        self.clock.now += 60

    def close_behind_the_first(self, *faults: Fault) -> None:
        """The window closes while the first message is taken. `faults`: of the next ones."""
        ahead = [None, *faults]

        def weather() -> Fault | None:
            if len(ahead) == 1 + len(faults):
                self.close()
            return ahead.pop(0) if ahead else None

        self.fake.weather = weather


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    clock = Clock()
    # At its end, what Twilio's own clock says.
    clock.now = time.time() - DAY
    async with twilio_server() as fake, open_client(ACCOUNT, TOKEN, fake.url, answer_seconds=5) as client:
        sender = TwilioWhatsApp(client, OURS, TERMS, clock, template="HX" + "a" * 32, window_seconds=DAY)
        yield Scene(fake, sender, clock)


async def test_a_reply_within_the_window_is_said_in_its_own_words(scene: Scene) -> None:
    assert await scene.deliver(await scene.post()) is None
    assert "".join(scene.fake.bodies()).replace(" ", "") == WORDS.replace(" ", "")


async def test_one_that_comes_after_it_is_the_template_once(scene: Scene) -> None:
    conversation_id = await scene.post()
    scene.close()
    assert await scene.deliver(conversation_id) is None
    assert scene.fake.bodies() == [TEMPLATE]


async def test_where_it_closes_between_two_messages_the_template_stands_once_for_the_rest(scene: Scene) -> None:
    conversation_id = await scene.post()
    scene.close_behind_the_first()
    assert await scene.deliver(conversation_id) is None
    assert [body == TEMPLATE for body in scene.fake.bodies()] == [False, True]
    assert [part.state for part in await scene.parts(conversation_id)] == ["sent", "sent"]
    # Also for a process that went down before it could say that this was all.
    assert await scene.courier.deliver(await scene.taken_again(conversation_id)) is None
    assert scene.fake.asked == 2


async def test_the_same_where_the_rest_was_postponed_until_then(scene: Scene) -> None:
    conversation_id = await scene.post()
    faults = iter([None, Fault.BUSY])
    scene.fake.weather = lambda: next(faults, None)
    assert await scene.deliver(conversation_id) is not None
    scene.close()
    assert await scene.deliver(conversation_id) is None
    assert [body == TEMPLATE for body in scene.fake.bodies()] == [False, True]


async def test_words_in_doubt_that_were_sent_in_time_are_no_template(scene: Scene) -> None:
    conversation_id = await scene.post()
    faults = iter([None, Fault.LOST])
    scene.fake.weather = lambda: next(faults, None)
    assert await scene.deliver(conversation_id) is not None
    scene.close()
    assert await scene.deliver(conversation_id) is None
    assert [body == TEMPLATE for body in scene.fake.bodies()] == [False, False, True]


async def test_a_template_in_doubt_that_was_sent_is_the_last_message(scene: Scene) -> None:
    conversation_id = await scene.post()
    scene.close_behind_the_first(Fault.LOST)
    assert await scene.deliver(conversation_id) is not None
    assert await scene.deliver(conversation_id) is None
    assert [body == TEMPLATE for body in scene.fake.bodies()] == [False, True]
    assert scene.fake.asked == 2
