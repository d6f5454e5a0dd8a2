"""Messages to phones: sent once, or in doubt and asked for; tried again, or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from server.bulkhead import DELAYS
from server.delivery.courier import DOUBT_SECONDS, MOST_AGE_MS, MOST_TRIES, Courier
from server.errors import LeaseLost, Unavailable
from server.model import Outgoing, Part, Piece, person_of
from tests.unit.phone_scene import (
    CALL_SECONDS,
    LEASE_SECONDS,
    NUMBER,
    SENDING,
    Act,
    Fuse,
    PhoneScene,
    PhoneStore,
    Provider,
)

ANNA = person_of(NUMBER)
PASSING = [act for act in Act if act not in {Act.REFUSES, Act.IS_TOLD_TO_STOP}]


async def test_a_reply_is_sent_in_its_parts_and_all_is_known_of_them() -> None:
    scene = PhoneScene()
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one|two|three")
    await scene.send_all()
    assert [(sms.number, sms.text, sms.media) for sms in scene.provider.arrived] == [
        (NUMBER, "one", ()),
        (NUMBER, "two", ()),
        (NUMBER, "three", ()),
    ]
    now = int(scene.clock.now * 1000)
    keys = [f"{conversation_id}:{offset}:{index}" for index in range(3)]
    parts = await scene.parts(conversation_id, offset)
    assert parts == [Part(index, "sent", now, f"id-{key}") for index, key in enumerate(keys)]
    assert b'switchboard_messages_sent_total{channel="sms"} 3.0' in scene.metrics.text()
    assert scene.provider.settled == []


async def test_a_part_is_noted_before_it_is_sent() -> None:
    scene = PhoneScene(Act.HANGS)
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one|two")
    async with scene.sending(scene.dispatcher()), asyncio.timeout(5):
        while not scene.provider.asked:
            await asyncio.sleep(0)
        [part] = await scene.parts(conversation_id, offset)
        assert (part.index, part.state, part.provider_id) == (0, "sending", None)


@pytest.mark.parametrize("second", PASSING)
@pytest.mark.parametrize("first", PASSING)
async def test_a_message_arrives_once_whatever_the_provider_does(first: Act, second: Act) -> None:
    scene = PhoneScene(first, second)
    conversation_id = await scene.begin()
    offsets = await scene.post(conversation_id, "one|two", "three")
    await scene.send_all()
    assert scene.provider.texts() == ["one", "two", "three"]
    for offset in offsets:
        assert {part.state for part in await scene.parts(conversation_id, offset)} == {"sent"}
        assert all(part.provider_id for part in await scene.parts(conversation_id, offset))


@pytest.mark.parametrize("act", [act for act in PASSING if act not in {Act.SENDS, Act.IS_DOWN}])
async def test_a_message_in_doubt_is_asked_for_before_it_is_sent_again(act: Act) -> None:
    scene = PhoneScene(act, silences=2)
    await scene.post(await scene.begin(), "one")
    await scene.send_all()
    assert scene.provider.texts() == ["one"]
    assert len(scene.provider.settled) == 3
    assert len(scene.provider.asked) == (1 if act in SENDING else 2)
    assert len(set(scene.provider.asked)) == 1
    assert scene.store.delays[0] >= DOUBT_SECONDS


async def test_each_doubt_begins_with_its_own_try() -> None:
    scene = PhoneScene(Act.FORGETS_AND_SAYS_NOTHING, Act.FORGETS_AND_SAYS_NOTHING)
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one")
    began_at = []
    for _ in range(2):
        delay = await scene.courier().deliver(await scene.taken(conversation_id))
        assert delay is not None
        began_at += [part.began_at for part in await scene.parts(conversation_id, offset)]
        scene.clock.now += LEASE_SECONDS + 1
    assert began_at[1] - began_at[0] == (LEASE_SECONDS + 1) * 1000


async def test_a_doubt_is_settled_with_all_that_the_message_was_sent_with() -> None:
    scene = PhoneScene(Act.IS_DOWN, Act.SENDS_AND_SAYS_NOTHING, silences=2)
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one|two", images=("k1",))
    for _ in range(2):
        assert await scene.courier().deliver(await scene.taken(conversation_id)) is not None
        scene.clock.now += LEASE_SECONDS + 1
    [part] = await scene.parts(conversation_id, offset)
    assert part.state == "sending"
    await scene.send_all()
    assert scene.provider.tried[1].media == (f"https://files.example/k1?{part.began_at}",)
    assert scene.provider.settled_with == [scene.provider.tried[1]] * 3
    assert scene.provider.texts() == ["one", "two"]


async def test_what_was_surely_not_sent_is_sent_by_whoever_takes_it_next() -> None:
    scene = PhoneScene(Act.IS_DOWN, Act.IS_DOWN, Act.SENDS_AND_SAYS_NOTHING)
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one")
    assert await scene.courier().deliver(await scene.taken(conversation_id)) is not None
    [part] = await scene.parts(conversation_id, offset)
    assert part.state == "unsent"
    scene.clock.now += LEASE_SECONDS + 1
    await scene.send_all()
    assert scene.provider.texts() == ["one"]
    assert (len(scene.provider.asked), len(scene.provider.settled)) == (3, 1)
    [part] = await scene.parts(conversation_id, offset)
    assert part.state == "sent"


@pytest.mark.parametrize("act", [act for act in PASSING if act is not Act.SENDS])
async def test_one_with_the_same_words_is_not_mistaken_for_it(act: Act) -> None:
    scene = PhoneScene(Act.SENDS, act, Act.SENDS, act)
    conversation_id = await scene.begin()
    offsets = await scene.post(conversation_id, "same|same", "same")
    await scene.send_all()
    assert scene.provider.texts() == ["same"] * 3
    parts = [part.provider_id for offset in offsets for part in await scene.parts(conversation_id, offset)]
    assert len(set(parts)) == 3


@pytest.mark.parametrize("acts", [(), (Act.SENDS_AND_SAYS_NOTHING,), (Act.FORGETS_AND_SAYS_NOTHING, Act.IS_DOWN)])
async def test_a_sender_that_is_killed_at_any_step_loses_nothing_and_sends_nothing_twice(acts: tuple[Act, ...]) -> None:
    steps, killed = 0, True
    while killed:
        steps += 1
        scene = PhoneScene(*acts)
        conversation_id = await scene.begin()
        offsets = await scene.post(conversation_id, "one|two", "three")
        killed = await scene.was_killed(Fuse(steps))
        scene.clock.now += LEASE_SECONDS + 1
        if not scene.store.over.is_set():
            await scene.send_all()
        assert scene.provider.texts() == ["one", "two", "three"], steps
        for offset in offsets:
            assert {part.state for part in await scene.parts(conversation_id, offset)} == {"sent"}
    assert steps > 20


async def test_a_sender_that_is_killed_again_and_again_sends_nothing_twice() -> None:
    scene = PhoneScene()
    await scene.post(await scene.begin(), "one|two", "three|four")
    for steps in range(4, 16):
        if await scene.was_killed(Fuse(steps)):
            scene.clock.now += LEASE_SECONDS + 1
    if not scene.store.over.is_set():
        await scene.send_all()
    assert scene.provider.texts() == ["one", "two", "three", "four"]


# --- given up -----------------------------------------------------------------------------------------------------


async def test_what_is_refused_is_not_tried_again_and_the_rest_of_the_reply_is_not_sent() -> None:
    scene = PhoneScene(Act.SENDS, Act.REFUSES)
    conversation_id = await scene.begin()
    refused, following = await scene.post(conversation_id, "one|two|three", "four")
    await scene.send_all()
    assert scene.provider.texts() == ["one", "four"]
    [first, second] = await scene.parts(conversation_id, refused)
    assert (first.state, second.state, second.code) == ("sent", "failed", "bad_number")
    assert [part.state for part in await scene.parts(conversation_id, following)] == ["sent"]
    assert b'messages_failed_total{channel="sms",code="bad_number"} 1.0' in scene.metrics.text()


async def test_what_was_given_up_by_a_sender_that_died_is_over() -> None:
    scene = PhoneScene()
    conversation_id = await scene.begin()
    await scene.post(conversation_id, "one|two")
    taken = await scene.store.note_part(await scene.taken(conversation_id), Part(0, "failed", 5, code="bad_number"))
    assert await scene.courier().deliver(taken) is None
    assert scene.provider.asked == scene.provider.settled == []


async def test_a_provider_that_stays_down_is_given_up_in_the_end_and_the_next_reply_goes_out() -> None:
    scene = PhoneScene(*[Act.IS_DOWN] * MOST_TRIES)
    conversation_id = await scene.begin()
    given_up, following = await scene.post(conversation_id, "one|two", "three")
    began = scene.clock.now
    await scene.send_all()
    assert scene.provider.texts() == ["three"]
    [part] = await scene.parts(conversation_id, given_up)
    assert (part.state, part.code) == ("failed", "provider_down")
    assert 8 < len(scene.store.delays) < MOST_TRIES
    assert scene.store.delays[0] <= 2 < scene.store.delays[3] < max(scene.store.delays) <= 300
    assert scene.clock.now - began <= MOST_AGE_MS / 1000
    assert (await scene.parts(conversation_id, following))[0].state == "sent"


async def test_what_stays_in_doubt_is_given_up_in_the_end_and_never_sent_again() -> None:
    scene = PhoneScene(Act.FORGETS_AND_SAYS_NOTHING, silences=10**6)
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one")
    await scene.send_all()
    assert len(scene.provider.asked) == 1
    assert [part.state for part in await scene.parts(conversation_id, offset)] == ["failed"]
    assert b'messages_in_doubt_total{channel="sms"} 1.0' in scene.metrics.text()


async def test_a_provider_is_left_alone_for_as_long_as_it_asks() -> None:
    scene = PhoneScene(Act.IS_DOWN)
    scene.provider.retry_after = 600
    await scene.post(await scene.begin(), "one")
    await scene.send_all()
    assert scene.store.delays == [600]
    assert scene.provider.texts() == ["one"]


async def test_a_provider_that_asks_for_longer_than_we_retry_has_said_no() -> None:
    scene = PhoneScene(Act.IS_DOWN)
    scene.provider.retry_after = 2 * MOST_AGE_MS / 1000
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one")
    await scene.send_all()
    assert scene.store.delays == []
    assert [part.state for part in await scene.parts(conversation_id, offset)] == ["failed"]


@pytest.mark.parametrize(("number", "channel", "code"), [("anna", "sms", "no_number"), (NUMBER, "fax", "no_sender")])
async def test_what_has_no_way_out_ends_as_failed(number: str, channel: str, code: str) -> None:
    scene = PhoneScene()
    made = await scene.store.create(number if code == "no_number" else ANNA, channel, "a")
    scene.people[made.id] = made.person
    [offset] = await scene.post(made.id, "one")
    await scene.send_all()
    assert [(part.state, part.code) for part in await scene.parts(made.id, offset)] == [("failed", code)]
    assert len(scene.store.delays) == (0 if code == "no_number" else MOST_TRIES - 1)


async def test_what_was_sent_stays_so_when_the_rest_has_no_way_out() -> None:
    scene = PhoneScene()
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one|two")
    taken = await scene.taken(conversation_id)
    taken = await scene.store.note_part(taken, Part(0, "sent", 5, "id0"))
    nowhere = Courier(scene.store, scene.store, {}, scene.sign, scene.metrics, call_seconds=1, clock=scene.clock)
    last = replace(taken, tries=MOST_TRIES)
    assert await nowhere.deliver(last) is None
    assert [part.state for part in await scene.parts(conversation_id, offset)] == ["sent", "failed"]


# --- those who want nothing ---------------------------------------------------------------------------------------


async def test_nothing_is_sent_to_somebody_who_opted_out() -> None:
    scene = PhoneScene()
    conversation_id = await scene.begin()
    offsets = await scene.post(conversation_id, "one|two", "three")
    await scene.store.opt_out(ANNA, "sms", 1)
    await scene.send_all()
    assert scene.provider.asked == []
    for offset in offsets:
        assert await scene.parts(conversation_id, offset) == []


async def test_who_told_the_provider_to_stop_has_opted_out() -> None:
    scene = PhoneScene(Act.SENDS, Act.IS_TOLD_TO_STOP)
    conversation_id = await scene.begin()
    [offset, _] = await scene.post(conversation_id, "one|two|three", "four")
    await scene.send_all()
    assert scene.provider.texts() == ["one"]
    assert await scene.store.opted_out(ANNA, "sms")
    assert [part.code for part in await scene.parts(conversation_id, offset)] == [None, "opted_out"]


async def test_who_opts_out_between_two_parts_gets_no_more_of_them() -> None:
    scene = PhoneScene(Act.SENDS, Act.HANGS)
    await scene.post(await scene.begin(), "one|two|three")
    async with scene.sending(scene.dispatcher()), asyncio.timeout(5):
        while len(scene.provider.asked) < 2:
            await asyncio.sleep(0)
        await scene.store.opt_out(ANNA, "sms", 1)
        await scene.store.over.wait()
    assert scene.provider.texts() == ["one"]


# --- pictures -----------------------------------------------------------------------------------------------------


async def test_each_picture_goes_out_with_a_part_at_a_url_made_for_each_try() -> None:
    scene = PhoneScene(Act.IS_DOWN)
    await scene.post(await scene.begin(), "one|two", images=("k1", "k2", "k3"))
    await scene.send_all()
    down, *sent = scene.provider.tried
    assert [one.media for one in sent] == [(scene.sign(f"k{n}", one.began_at),) for n, one in enumerate(sent, 1)]
    assert down.began_at < sent[0].began_at
    assert [sms.text for sms in scene.provider.arrived] == ["one", "two", ""]


async def test_no_more_pictures_go_out_than_there_are_messages_for_them() -> None:
    scene = PhoneScene()
    scene.provider.most = 3
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one", images=tuple(f"k{number}" for number in range(32)))
    await scene.send_all()
    assert [sms.text for sms in scene.provider.arrived] == ["one", "", ""]
    assert [media for sms in scene.provider.arrived for media in sms.media] == [
        scene.sign(f"k{place}", one.began_at) for place, one in enumerate(scene.provider.tried)
    ]
    assert [part.state for part in await scene.parts(conversation_id, offset)] == ["sent"] * 3


async def test_a_picture_goes_where_the_sender_says() -> None:
    class Apart(Provider):
        def parts(self, text: str, links: Sequence[str]) -> Sequence[Piece]:
            return [Piece(text), *(Piece("", place) for place in range(len(links)))]

    scene = PhoneScene()
    scene.provider = Apart()
    await scene.post(await scene.begin(), "Here.", images=("k1", "k2"))
    await scene.send_all()
    assert [(sms.text, len(sms.media)) for sms in scene.provider.arrived] == [("Here.", 0), ("", 1), ("", 1)]


async def test_a_picture_without_words_is_a_message_of_its_own() -> None:
    scene = PhoneScene()
    await scene.post(await scene.begin(), "", images=("k1",))
    await scene.send_all()
    [sms] = scene.provider.arrived
    assert (sms.text, sms.media) == ("", (scene.sign("k1", scene.provider.tried[0].began_at),))


# --- the store, and processes that stand still --------------------------------------------------------------------


class Forgetful(PhoneStore):
    """Fails for a moment after a message was sent; noted or not."""

    noting = True
    failures = 2

    async def note_part(self, outgoing: Outgoing, part: Part) -> Outgoing:
        if part.state == "sent" and self.failures:
            self.failures -= 1
            if self.noting:
                await super().note_part(outgoing, part)
            raise Unavailable("connection lost")
        return await super().note_part(outgoing, part)


@pytest.mark.parametrize("noting", [True, False])
async def test_a_store_that_fails_for_a_moment_is_asked_again(noting: bool) -> None:
    scene = PhoneScene()
    scene.store = store = Forgetful(scene.clock)
    store.noting = noting
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one|two")
    await scene.send_all()
    assert scene.provider.texts() == ["one", "two"]
    assert scene.provider.settled == []
    assert [part.state for part in await scene.parts(conversation_id, offset)] == ["sent", "sent"]


@pytest.mark.slow
async def test_what_the_store_never_heard_of_is_settled_by_the_next_sender() -> None:
    scene = PhoneScene()
    scene.store = store = Forgetful(scene.clock)
    store.failures, store.noting = len(DELAYS) + 1, False
    conversation_id = await scene.begin()
    [offset] = await scene.post(conversation_id, "one")
    with pytest.raises(Unavailable):
        await scene.courier().deliver(await scene.taken(conversation_id))
    scene.clock.now += LEASE_SECONDS + 1
    await scene.send_all()
    assert scene.provider.texts() == ["one"]
    assert len(scene.provider.settled) == 1
    assert [part.state for part in await scene.parts(conversation_id, offset)] == ["sent"]


async def test_a_thawed_sender_sends_nothing_more() -> None:
    scene = PhoneScene()
    conversation_id = await scene.begin()
    await scene.post(conversation_id, "one|two")
    frozen = await scene.taken(conversation_id)
    scene.clock.now += LEASE_SECONDS + 1
    await scene.send_all()
    with pytest.raises(LeaseLost):
        await scene.courier().deliver(frozen)
    assert scene.provider.texts() == ["one", "two"]


class Slow(PhoneStore):
    """Where a process stands still just after it said that it would send."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.freezes = 1

    async def note_part(self, outgoing: Outgoing, part: Part) -> Outgoing:
        noted = await super().note_part(outgoing, part)
        if self.freezes:
            self.freezes -= 1
            self._passing.now += 2 * CALL_SECONDS
        return noted


async def test_a_sender_that_stood_still_before_it_sent_lets_the_moment_pass() -> None:
    scene = PhoneScene()
    scene.store = Slow(scene.clock)
    conversation_id = await scene.begin()
    await scene.post(conversation_id, "one")
    with pytest.raises(Unavailable, match="moment"):
        await scene.courier().deliver(await scene.taken(conversation_id))
    assert scene.provider.asked == []
    scene.clock.now += LEASE_SECONDS + 1
    await scene.send_all()
    assert scene.provider.texts() == ["one"]
