"""Who sends to phones, and when: in order, side by side, once over all senders, and to a good end."""

from __future__ import annotations

import asyncio

import pytest

from server.delivery.courier import DOUBT_SECONDS
from server.delivery.outbox import Dispatcher
from server.errors import Unavailable
from server.metrics import Metrics
from server.model import Outgoing
from server.settings import read_settings
from server.wiring.phones import open_phones
from tests.unit.phone_scene import NUMBER, Act, Clock, PhoneScene, PhoneStore, Provider
from tests.unit.turn_scene import Scene, speak

LATER = 3_600.0


async def until_sent(scene: PhoneScene, texts: int) -> None:
    async with asyncio.timeout(5):
        while len(scene.provider.arrived) < texts:
            await asyncio.sleep(0)


async def test_replies_go_out_in_the_order_of_the_log_and_people_side_by_side() -> None:
    scene = PhoneScene(Act.HANGS)
    slow = await scene.begin(NUMBER)
    await scene.post(slow, "one", "two")
    other = await scene.begin("+4915100000000")
    await scene.post(other, "three", "four", "five")
    async with scene.sending(scene.dispatcher()):
        await until_sent(scene, 3)
        assert scene.provider.texts("+4915100000000") == ["three", "four", "five"]
        await until_sent(scene, 5)
    assert scene.provider.texts(NUMBER) == ["one", "two"]


async def test_two_senders_on_one_outbox_send_everything_once() -> None:
    scene = PhoneScene()
    numbers = [f"+49151000000{number:02}" for number in range(20)]
    for number in numbers:
        await scene.post(await scene.begin(number), "one|two", "three")
    async with scene.sending(scene.dispatcher()), scene.sending(scene.dispatcher()):
        await until_sent(scene, 60)
        await asyncio.sleep(0.05)
    for number in numbers:
        assert scene.provider.texts(number) == ["one", "two", "three"]


async def test_no_more_are_sent_to_at_once_than_there_is_room_for() -> None:
    scene = PhoneScene(*[Act.HANGS] * 9)
    for number in range(9):
        await scene.post(await scene.begin(f"+4915100000{number:03}"), "one")
    async with scene.sending(scene.dispatcher(at_once=3)):
        async with asyncio.timeout(5):
            while len(scene.provider.asked) < 3:
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(scene.provider.asked) == 3


async def test_a_hint_has_a_reply_sent_at_once() -> None:
    scene = PhoneScene()
    dispatcher = scene.dispatcher(sweep_seconds=LATER)
    async with scene.sending(dispatcher):
        await asyncio.sleep(0.01)
        conversation_id = await scene.begin()
        await scene.post(conversation_id, "one")
        for _ in range(3):
            dispatcher.look(conversation_id)
        dispatcher.look("c_nothing")
        await until_sent(scene, 1)


async def test_a_reply_that_comes_at_any_moment_of_another_is_sent_without_a_sweep() -> None:
    for moment in range(30):
        scene = PhoneScene()
        dispatcher = scene.dispatcher(sweep_seconds=LATER)
        conversation_id = await scene.begin()
        await scene.post(conversation_id, "one")
        async with scene.sending(dispatcher):
            for _ in range(moment):
                await asyncio.sleep(0)
            await scene.post(conversation_id, "two")
            dispatcher.look(conversation_id)
            await until_sent(scene, 2)
        assert scene.provider.texts() == ["one", "two"]


async def test_what_nobody_told_of_is_found_by_the_sweep() -> None:
    scene = PhoneScene()
    async with scene.sending(scene.dispatcher(sweep_seconds=0.01)):
        await asyncio.sleep(0.02)
        await scene.post(await scene.begin(), "one")
        await until_sent(scene, 1)


class Failing(PhoneStore):
    failures = 3

    async def unsent(self, limit: int) -> list[str]:
        if self.failures:
            self.failures -= 1
            raise Unavailable("connection lost")
        return list(await super().unsent(limit))


async def test_a_sweep_that_failed_is_done_again() -> None:
    scene = PhoneScene()
    scene.store = Failing(scene.clock)
    await scene.post(await scene.begin(), "one")
    await scene.send_all()
    assert scene.provider.texts() == ["one"]


async def test_who_drains_ends_the_reply_under_way_and_takes_no_other() -> None:
    scene = PhoneScene()
    dispatcher = scene.dispatcher()
    conversation_id = await scene.begin()
    await scene.post(conversation_id, "one|two", "three")
    async with scene.sending(dispatcher):
        async with asyncio.timeout(5):
            while not scene.provider.asked:
                await asyncio.sleep(0)
        await dispatcher.drain(5)
        await scene.post(await scene.begin("+4915100000000"), "four")
        await asyncio.sleep(0.02)
    assert scene.provider.texts() == ["one", "two"]
    assert scene.provider.texts("+4915100000000") == []
    assert len(await scene.store.unsent(10)) == 2


async def test_who_is_stopped_in_the_middle_lets_go_of_it_and_another_asks_first() -> None:
    scene = PhoneScene(Act.SENDS_AND_HANGS)
    conversation_id = await scene.begin()
    await scene.post(conversation_id, "one|two")
    async with scene.sending(scene.dispatcher()):
        await until_sent(scene, 1)
    assert list(await scene.store.unsent(10)) == [conversation_id]
    assert scene.store.delays == [DOUBT_SECONDS]
    await scene.send_all()
    assert scene.provider.texts() == ["one", "two"]
    assert len(scene.provider.settled) == 1


class SlowToSay(PhoneStore):
    """It lends at once, and says so a while after `lent`."""

    def __init__(self, clock: Clock, step: str) -> None:
        super().__init__(clock)
        self.step = step
        self.lent = asyncio.Event()

    async def take_outgoing(self, conversation_id: str, owner: str) -> Outgoing | None:
        return await self._say("take_outgoing", await super().take_outgoing(conversation_id, owner))

    async def sent(self, outgoing: Outgoing) -> Outgoing | None:
        return await self._say("sent", await super().sent(outgoing))

    async def _say(self, step: str, lent: Outgoing | None) -> Outgoing | None:
        if step == self.step:
            self.lent.set()
            await asyncio.sleep(0.05)
        return lent


@pytest.mark.parametrize("step", ["take_outgoing", "sent"])
async def test_who_is_stopped_while_a_reply_is_lent_to_him_lets_go_of_it(step: str) -> None:
    scene = PhoneScene()
    scene.store = store = SlowToSay(scene.clock, step)
    conversation_id = await scene.begin()
    await scene.post(conversation_id, "one", "two")
    async with scene.sending(scene.dispatcher()):
        await asyncio.wait_for(store.lent.wait(), 5)
    assert list(await store.unsent(10)) == [conversation_id]


async def test_a_conversation_that_is_deleted_meanwhile_ends_the_sending() -> None:
    scene = PhoneScene(Act.SENDS, Act.HANGS)
    conversation_id = await scene.begin()
    await scene.post(conversation_id, "one|two|three")
    async with scene.sending(scene.dispatcher()):
        async with asyncio.timeout(5):
            while len(scene.provider.asked) < 2:
                await asyncio.sleep(0)
        await scene.store.delete(scene.people[conversation_id], conversation_id)
        await asyncio.sleep(0.1)
    assert scene.provider.texts() == ["one"]


# --- from the turn to the phone -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("channel", "unsent"), [("sms", 1), ("whatsapp", 1), ("azure_sms", 1), ("websocket", 0)])
async def test_a_turn_posts_replies_to_phones_whoever_has_a_way_to_them(channel: str, unsent: int) -> None:
    hints: list[str] = []
    scene = Scene(speak, channel=channel, post=hints.append)
    lease = await scene.lease()
    await scene.runner.run(lease)
    assert hints == list(await scene.store.unsent(10)) == [lease.conversation_id] * unsent


async def test_without_senders_nobody_sends() -> None:
    settings = read_settings(_env_file=None, backend="memory")
    phones = open_phones(settings, PhoneStore(Clock()), Metrics(), owner="s")
    assert phones.dispatcher is None
    phones.post("c_nothing")


async def test_with_senders_what_is_posted_is_sent() -> None:
    scene = PhoneScene()
    provider = Provider()
    phones = open_phones(
        read_settings(_env_file=None, backend="memory"), scene.store, Metrics(), owner="s", senders={"sms": provider}
    )
    assert isinstance(phones.dispatcher, Dispatcher)
    conversation_id = await scene.begin()
    [with_picture] = await scene.post(conversation_id, "one", images=("k1",))
    [words] = await scene.post(conversation_id, "two")
    async with scene.sending(phones.dispatcher):
        phones.post(conversation_id)
        async with asyncio.timeout(5):
            await scene.store.over.wait()
    assert provider.texts() == ["two"]
    assert [part.code for part in await scene.parts(conversation_id, with_picture)] == ["no_pictures"]
    assert [part.state for part in await scene.parts(conversation_id, words)] == ["sent"]
