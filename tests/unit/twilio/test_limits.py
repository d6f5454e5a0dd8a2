"""How many texts people may write, and what answers may cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from server.backends.memory import MemoryStore
from server.errors import Unavailable
from server.inbox.limits import SPEND_NOTICES, Limits
from server.inbox.numbers import AllowList
from server.model import Text, text_id
from tests.unit.door_scene import DAY, NUMBER, PAUSE, Scene

OTHERS = ("+491701234568", "+491701234569")


@pytest.mark.parametrize(
    ("limits", "notice", "window"),
    [
        (Limits(2, 0, 0, 0, 3), "minute", 60),
        (Limits(0, 2, 0, 0, 3), "day", DAY),
        (Limits(0, 0, 2, 0, 3), "hour", 3600),
        (Limits(0, 0, 0, 7, 3), "spend", DAY),
    ],
)
async def test_over_a_limit_there_is_one_notice_then_silence(limits: Limits, notice: str, window: int) -> None:
    scene, taken = Scene(limits=limits), []
    for number in range(5):
        taken.append(await scene.text(f"text {number}"))
        await scene.reply()
    assert taken == ["accepted", "accepted", *["over_limit"] * 3]
    assert [name for _, name in await scene.asked()] == [None, None, notice]
    scene.now += window
    assert await scene.text("again") == "accepted"


async def test_what_the_server_says_itself_is_paid_for_too() -> None:
    scene = Scene(limits=Limits(0, 0, 0, 5, 3))
    taken = [await scene.text(words) for words in ("hello", "HELP", "/image", "HELP", "/reset", "hello")]
    assert taken == [*["accepted"] * 3, *["over_limit"] * 3]
    assert [name for _, name in await scene.asked()] == [None, "help", "image", "spend"]
    assert await scene.text("STOP") == "accepted"


async def test_no_notice_is_told_that_cannot_be_paid() -> None:
    scene = Scene(limits=Limits(1, 0, 0, 3, 3))
    for _ in range(180):
        for _ in range(3):
            await scene.text("hello")
        scene.now += 60
    assert [name for _, name in await scene.asked()] == [None, "spend"]


async def test_a_notice_is_paid_for() -> None:
    scene = Scene(limits=Limits(1, 0, 0, 7, 3))
    for _ in range(3):
        for _ in range(3):
            await scene.text("hello")
        scene.now += 60
    assert [name for _, name in await scene.asked()] == [None, "minute", None, "spend"]


async def test_that_nothing_is_left_is_told_to_so_many_people_a_day_only() -> None:
    scene = Scene(limits=Limits(0, 0, 0, 1, 3))
    numbers = [f"{NUMBER[:-2]}{end}" for end in range(10, 10 + 2 * SPEND_NOTICES)]
    for told in (SPEND_NOTICES, 2 * SPEND_NOTICES):
        for number in numbers:
            assert await scene.text("hello", number) == "over_limit"
        notices = [name for number in numbers for _, name in await scene.asked(number)]
        assert notices == ["spend"] * told
        scene.now += DAY


async def test_who_is_over_the_day_is_told_nothing_of_the_minute() -> None:
    scene = Scene(limits=Limits(1, 2, 0, 0, 3))
    for _ in range(5):
        scene.now += 60
        for _ in range(1 if await scene.sessions() == 0 else 3):
            await scene.text("hello")
    assert [name for _, name in await scene.asked()] == [None, None, "day"]


async def test_a_text_over_the_minute_is_none_of_the_day() -> None:
    scene = Scene(limits=Limits(1, 2, 0, 0, 3))
    assert [await scene.text("hello") for _ in range(5)] == ["accepted", *["over_limit"] * 4]
    scene.now += 60
    assert await scene.text("hello") == "accepted"


async def test_each_number_has_limits_of_its_own() -> None:
    scene = Scene(limits=Limits(1, 1, 0, 0, 3))
    assert [await scene.text("hello", number) for number in (NUMBER, "+491701234568")] == ["accepted"] * 2


async def test_who_may_not_write_costs_nothing() -> None:
    scene = Scene(limits=Limits(0, 0, 1, 3, 3), allowed=AllowList([NUMBER]))
    for _ in range(3):
        assert await scene.text("hello", "+491701234568") == "not_allowed"
    assert await scene.text("hello") == "accepted"


# --- what comes again ---------------------------------------------------------------------------------------------


class SlowAlbum:
    """Has a picture when the test lets it."""

    def __init__(self) -> None:
        self.asked, self.ready = asyncio.Event(), asyncio.Event()

    async def keep(self, conversation_id: str, url: str) -> str:
        self.asked.set()
        await self.ready.wait()
        return "key"


@pytest.mark.parametrize(("again", "taken"), [("a", "accepted"), ("b", "over_limit")])
async def test_a_text_whose_picture_is_fetched_is_kept_although_it_comes_again(again: str, taken: str) -> None:
    scene, album = Scene(limits=Limits(1, 0, 0, 0, 3)), SlowAlbum()
    scene.door = scene.make(scene.store, album)
    media = ("https://api.twilio.com/1",)
    first = asyncio.create_task(scene.text("look", name="a", media=media, aliases=("token",)))
    await album.asked.wait()
    second = asyncio.create_task(scene.text("look", name=again, media=media, aliases=("token",)))
    await asyncio.sleep(0)
    album.ready.set()
    assert (await first, await second) == ("accepted", taken)
    assert ("look\n[picture key]", None) in await scene.asked()


@pytest.mark.parametrize(
    "limits", [Limits(3, 0, 0, 0, 3), Limits(0, 3, 0, 0, 3), Limits(0, 0, 3, 0, 3), Limits(0, 0, 0, 9, 3)]
)
async def test_a_text_that_could_not_be_accepted_is_charged_once(limits: Limits) -> None:
    scene = Scene(limits=limits)
    scene.store.failures = 3
    for _ in range(3):
        with pytest.raises(Unavailable):
            await scene.text("hello", name="a")
    assert await scene.text("hello", name="a") == "accepted"
    for words in ("more", "and more"):
        await scene.reply()
        assert await scene.text(words) == "accepted"
    await scene.reply()
    assert await scene.text("too much") == "over_limit"


async def test_a_text_that_finds_too_much_waiting_is_charged_once() -> None:
    scene = Scene(limits=Limits(2, 0, 0, 0, 3))
    scene.store = store = MemoryStore(clock=lambda: scene.now, lease_seconds=30, most_waiting=1)  # type: ignore[assignment]
    scene.door = scene.make(store)
    await scene.text("hello")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await scene.text("more", name="b")
    await scene.reply()
    assert await scene.text("more", name="b") == "accepted"


class Torn(MemoryStore):
    """Breaks off once, when an account of this name is charged."""

    breaks = ""

    async def charge(self, account: str, amount: int, most: int, until: int) -> bool:
        if self.breaks and account.startswith(self.breaks):
            self.breaks = ""
            raise Unavailable("The database is away.")
        return await super().charge(account, amount, most, until)


async def test_a_text_whose_charge_broke_off_is_free_rather_than_lost() -> None:
    scene = Scene(limits=Limits(1, 0, 0, 3, 3))
    store = Torn(clock=lambda: scene.now, lease_seconds=30, most_waiting=50)
    door = scene.make(store)
    store.breaks = "segments"
    with pytest.raises(Unavailable):
        await door.take(Text("sms", NUMBER, text_id("a"), "hello"))
    assert await door.take(Text("sms", NUMBER, text_id("a"), "hello")) == "accepted"


async def test_a_text_that_was_over_a_limit_is_so_also_when_it_comes_again_later() -> None:
    scene = Scene(limits=Limits(1, 0, 0, 0, 3))
    taken = [await scene.text("hello", name=name) for name in ("a", "b", "c")]
    scene.now += 60
    assert [*taken, await scene.text("hello", name="c")] == ["accepted", *["over_limit"] * 3]
    assert await scene.text("more") == "accepted"
    scene.now += DAY
    assert await scene.text("hello", name="c") == "accepted"


class Counting(MemoryStore):
    """`charges`: of which accounts, up to the first colon."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.charges: Counter[str] = Counter()

    async def charge(self, account: str, amount: int, most: int, until: int) -> bool:
        self.charges[account.partition(":")[0]] += 1
        return await super().charge(account, amount, most, until)


@pytest.mark.parametrize(
    ("limits", "charges"),
    [(Limits(9, 9, 9, 9, 3), {"paid": 1, "texts": 3, "segments": 1}), (Limits(0, 0, 0, 0, 3), {})],
)
async def test_a_text_is_charged_in_one_call_more_than_there_are_limits_and_in_none_without(
    limits: Limits, charges: dict[str, int]
) -> None:
    scene = Scene(limits=limits)
    store = Counting(clock=lambda: scene.now, lease_seconds=30, most_waiting=50)
    await scene.make(store).take(Text("sms", NUMBER, text_id("a"), "hello"))
    assert store.charges == charges


# --- what is answered together ------------------------------------------------------------------------------------


async def test_texts_of_one_breath_reserve_one_reply() -> None:
    scene = Scene(limits=Limits(0, 0, 0, 6, 3))
    assert [await scene.text(f"text {number}") for number in range(12)] == ["accepted"] * 12
    assert [await scene.text("hello", number) for number in OTHERS] == ["accepted", "over_limit"]


async def test_a_text_that_comes_when_the_breath_is_being_answered_reserves_another_reply() -> None:
    scene = Scene(limits=Limits(0, 0, 0, 9, 3))
    await scene.text("one")
    scene.now += PAUSE
    [conversation_id] = await scene.store.waiting(2)
    assert await scene.store.take(conversation_id, "w") is not None
    assert [await scene.text(words) for words in ("two", "three")] == ["accepted"] * 2
    assert [await scene.text("hello", number) for number in OTHERS] == ["accepted", "over_limit"]


async def test_a_text_that_came_to_nothing_gives_nothing_back_when_it_comes_again() -> None:
    scene = Scene(limits=Limits(0, 0, 0, 9, 3))
    await scene.text("one")
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("two", name="two")
    assert await scene.text("two", name="two") == "accepted"
    assert [await scene.text("hello", number) for number in OTHERS] == ["accepted", "over_limit"]
