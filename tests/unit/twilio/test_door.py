"""The door for people at a phone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.backends.memory import MemoryStore
from server.errors import ConfigError, Unavailable
from server.inbox.limits import Limits
from server.inbox.numbers import AllowList
from server.inbox.phones import NO_PICTURE, Taken
from server.inbox.words import command_of, wish_of
from server.model import Conversation, Text, person_of, text_id
from tests.unit.door_scene import DAY, NUMBER, Scene


async def test_a_text_is_accepted() -> None:
    scene = Scene()
    assert await scene.text("hello") == "accepted"
    assert await scene.asked() == [("hello", None)]


async def test_what_came_before_changes_nothing() -> None:
    scene = Scene(limits=Limits(1, 0, 0, 0, 3))
    assert await scene.text("hello", name="a", aliases=("token",)) == "accepted"
    scene.now += 2 * DAY
    assert await scene.text("hello", name="a") == "duplicate"
    assert await scene.text("hello!", name="b", aliases=("token",)) == "duplicate"
    assert await scene.sessions() == 1
    assert await scene.text("more") == "accepted"


async def test_what_comes_again_when_its_conversation_was_deleted_is_not_kept_again() -> None:
    scene = Scene()
    await scene.text("hello", name="a", aliases=("token",))
    [conversation] = await scene.store.recent(person_of(NUMBER), 2)
    await scene.store.delete(person_of(NUMBER), conversation.id)
    assert await scene.text("hello", name="a") == "duplicate"
    assert await scene.text("hello", name="b", aliases=("token",)) == "duplicate"
    assert await scene.sessions() == 0


@pytest.mark.parametrize(
    "words", ["STOP", "stop", " Stop\n", "unsubscribe", "ARRET", "Arrêt", "opt-out", "QUIT", "end"]
)
async def test_a_stop_counts_whoever_it_comes_from(words: str) -> None:
    scene = Scene(allowed=AllowList(["US"]))
    assert await scene.text(words) == "not_allowed"
    assert await scene.store.opted_out(person_of(NUMBER), "sms")


async def test_after_a_stop_only_a_start_is_heard() -> None:
    scene = Scene()
    await scene.text("STOP")
    assert [await scene.text(words) for words in ("hello", "HELP", "/reset", "STOP")] == ["opted_out"] * 4
    assert await scene.text("hello", channel="whatsapp") == "accepted"
    assert await scene.text("Unstop") == "accepted"
    assert await scene.text("hello") == "accepted"


async def test_a_stop_that_comes_again_after_the_start_changes_nothing() -> None:
    scene = Scene()
    await scene.text("STOP", name="stop")
    await scene.text("START")
    assert await scene.text("STOP", name="stop") == "duplicate"
    assert not await scene.store.opted_out(person_of(NUMBER), "sms")


async def test_the_word_that_was_said_last_counts_in_whatever_order_they_come() -> None:
    scene = Scene()
    assert await scene.text("START", said_at=2) == "accepted"
    assert await scene.text("STOP", said_at=1) == "late"
    assert await scene.text("hello") == "accepted"
    assert await scene.text("STOP", said_at=4) == "accepted"
    assert await scene.text("START", said_at=3) == "opted_out"
    assert await scene.text("YES", said_at=3) == "opted_out"
    assert await scene.text("hello") == "opted_out"
    assert [notice for _, notice in await scene.asked()] == ["start", None, "stop"]


async def test_a_stop_that_could_not_be_accepted_does_not_undo_a_later_start() -> None:
    scene = Scene()
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("STOP", name="stop", said_at=1)
    assert await scene.store.opted_out(person_of(NUMBER), "sms")
    assert await scene.text("START", said_at=2) == "accepted"
    assert await scene.text("STOP", name="stop", said_at=1) == "late"
    assert await scene.text("hello") == "accepted"


async def test_a_stop_of_an_unknown_time_that_could_not_be_accepted_does_not_undo_a_later_start() -> None:
    scene = Scene()
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("STOP", name="stop")
    scene.now += 1
    assert await scene.text("START") == "accepted"
    scene.now += 1
    assert await scene.text("STOP", name="stop") == "late"
    assert await scene.text("hello") == "accepted"


async def test_a_start_that_could_not_be_accepted_does_not_undo_a_later_stop() -> None:
    scene = Scene()
    await scene.text("STOP")
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("START", name="start")
    scene.now += 1
    assert await scene.text("STOP") == "accepted"
    scene.now += 1
    assert await scene.text("START", name="start") == "opted_out"
    assert await scene.store.opted_out(person_of(NUMBER), "sms")


async def test_a_stop_that_could_not_be_accepted_ends_what_waits_when_it_comes_again() -> None:
    scene = Scene()
    await scene.text("hello")
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("STOP", name="stop")
    assert await scene.text("STOP") == "opted_out"
    assert await scene.text("STOP", name="stop") == "accepted"
    assert await scene.asked() == [("hello", None), ("STOP", "stop")]


async def test_who_has_said_stop_and_says_it_again_is_answered_nothing() -> None:
    scene = Scene()
    taken = [await scene.text("STOP", said_at=at) for at in (1, 3)]
    assert await scene.text("START", said_at=2) == "opted_out"
    assert [*taken, *[await scene.text("STOP") for _ in range(5)]] == ["accepted", *["opted_out"] * 6]
    assert await scene.asked() == [("STOP", "stop")]


async def test_a_yes_that_could_not_be_accepted_is_a_start_when_it_comes_again() -> None:
    scene = Scene()
    await scene.text("STOP")
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("YES", name="yes")
    scene.now += 1
    assert await scene.text("YES", name="yes") == "accepted"
    assert await scene.text("YES", name="yes") == "duplicate"
    assert await scene.asked() == [("STOP", "stop"), ("YES", "start")]


async def test_a_yes_to_the_model_that_could_not_be_accepted_is_one_when_it_comes_again() -> None:
    scene = Scene()
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("yes", name="yes")
    assert await scene.text("yes", name="yes") == "accepted"
    assert await scene.asked() == [("yes", None)]


async def test_yes_is_a_start_after_a_stop_only() -> None:
    scene = Scene()
    for words in ("yes", "STOP", "YES", "yes"):
        scene.now += 1
        await scene.text(words)
    assert await scene.asked() == [("yes", None), ("STOP", "stop"), ("YES", "start"), ("yes", None)]


async def test_a_stop_ends_what_waits() -> None:
    scene = Scene()
    await scene.text("hello")
    await scene.text("STOP")
    [conversation] = await scene.store.recent(person_of(NUMBER), 2)
    lease = await scene.store.take(conversation.id, "w")
    assert lease is not None
    assert lease.cancelled


@pytest.mark.parametrize("words", ["/reset", "/EXIT", " /quit ", "/bye", "/end"])
async def test_a_reset_begins_a_session(words: str) -> None:
    scene = Scene()
    await scene.text("hello")
    assert await scene.text(words, name="reset") == "accepted"
    assert await scene.text(words, name="reset") == "duplicate"
    assert await scene.sessions() == 2
    assert "reset" in {notice for _, notice in await scene.asked()}
    current = await scene.store.current(person_of(NUMBER), "sms", "assistant")
    assert current.offset == 0


async def test_a_reset_that_could_not_be_accepted_ends_the_conversation_when_it_comes_again() -> None:
    scene = Scene()
    await scene.text("hello")
    old = await scene.store.current(person_of(NUMBER), "sms", "assistant")
    scene.store.failures = 1
    with pytest.raises(Unavailable):
        await scene.text("/reset", name="reset")
    assert await scene.sessions() == 1
    assert await scene.text("/reset", name="reset") == "accepted"
    lease = await scene.store.take(old.id, "w")
    assert lease is not None
    assert lease.cancelled
    assert (await scene.store.find(person_of(NUMBER), old.id)).offset == 2
    assert await scene.sessions() == 2


async def test_a_reset_that_was_only_accepted_ends_the_conversation_when_it_comes_again() -> None:
    scene = Scene()
    await scene.text("hello")
    scene.store.stuck = 1
    with pytest.raises(Unavailable):
        await scene.text("/reset", name="reset")
    for _ in range(3):
        assert await scene.text("/reset", name="reset") == "duplicate"
        assert await scene.sessions() == 2
    await scene.text("more")
    assert await scene.text("/reset", name="reset") == "duplicate"
    current = await scene.store.current(person_of(NUMBER), "sms", "assistant")
    assert (await scene.sessions(), current.offset) == (2, 1)


async def test_a_reset_that_comes_twice_at_once_begins_one_conversation() -> None:
    scene = Scene()
    await scene.text("hello")
    taken = await asyncio.gather(*(scene.text("/reset", name="reset") for _ in range(3)))
    assert "accepted" in taken
    assert await scene.sessions() == 2


async def test_a_reset_over_a_limit_ends_nothing_when_it_comes_again() -> None:
    scene = Scene(limits=Limits(1, 0, 0, 0, 3))
    await scene.text("hello")
    assert [await scene.text("/reset", name="reset") for _ in range(2)] == ["over_limit", "duplicate"]
    assert await scene.sessions() == 1


async def test_a_session_lasts_a_day_from_its_first_text() -> None:
    scene = Scene()
    for hours, sessions in [(0, 1), (23, 1), (2, 2)]:
        scene.now += hours * 3600
        await scene.text("hello")
        assert await scene.sessions() == sessions


async def test_a_session_that_a_reset_began_lasts_from_its_first_text() -> None:
    scene = Scene()
    await scene.text("/reset")
    for seconds, sessions in [(2 * DAY, 2), (DAY - 60, 2), (61, 3)]:
        scene.now += seconds
        await scene.text("hello")
        assert await scene.sessions() == sessions


@pytest.mark.parametrize("words", ["stop it", "help me", "no end", "/resets", "start now", "yes please", "quit?"])
def test_a_command_is_exactly_its_word(words: str) -> None:
    assert command_of(words) is None


def test_a_picture_is_ordered_by_the_command_and_a_prompt() -> None:
    assert [wish_of(text) for text in (" /IMAGE  a red fox ", "/img a\nb", "/image\nc")] == ["a red fox", "a\nb", "c"]
    assert [wish_of(text) for text in ("/images a", "/image ", "", "draw /image a")] == [""] * 4
    assert [command_of(text) for text in ("/image a fox", "/image ")] == ["picture", "image"]


@pytest.mark.parametrize(
    ("entries", "number", "admitted"),
    [
        ((), NUMBER, True),
        ((NUMBER,), NUMBER, True),
        ((NUMBER[:-1],), NUMBER, False),
        ((NUMBER[:-1] + "*",), NUMBER, True),
        (("+1*", "FR"), NUMBER, False),
        (("DE",), NUMBER, True),
        (("GB",), "+447400123456", True),
        ((), "+499001123456", False),
        ((), "+19005550123", False),
        (("+1900*",), "+19005550123", False),
        ((), "+4990012345678", False),
        ((), "+4490012345", False),
        ((), "+97912345678", False),
        ((), "+88213123456", False),
        ((), "+881612345678", False),
        ((), "+870773111632", False),
        ((), "+883510001234567", False),
        (("+881*",), "+881612345678", False),
        ((), "+15550001111", False),
        ((), "+15005550001", True),
        (("US",), "+15005550006", True),
        ((), "+12025550123", True),
        ((), "+491771234567", True),
        ((), "+5511987654321", True),
        (("BR",), "+558591234567", True),
        (("+5585*",), "+558591234567", True),
        (("MX",), "+5215512345678", True),
        (("+5215512345678",), "+5215512345678", True),
        ((), "+529001234567", False),
        ((), "12345", False),
        ((), "Bank", False),
        ((), "+", False),
        ((), "+1", False),
        ((), "+0123456789", False),
        ((), "+99912345678901", False),
    ],
)
def test_whose_texts_are_answered(entries: tuple[str, ...], number: str, admitted: bool) -> None:
    assert AllowList(entries).admits(number) == admitted


async def test_the_rate_of_sockets_is_none_of_texts() -> None:
    scene = Scene(messages_per_minute=1)
    assert [await scene.text(words) for words in ("hello", "more", "HELP", "/reset", "STOP")] == ["accepted"] * 5


@pytest.mark.parametrize(("words", "taken"), [(" \n", "empty"), ("a\0b", "refused"), ("x" * 1001, "refused")])
async def test_what_is_no_text_is_dropped(words: str, taken: Taken) -> None:
    scene = Scene()
    assert await scene.text(words) == taken
    assert await scene.asked() == []


async def test_a_picture_without_an_album_is_mentioned() -> None:
    scene = Scene()
    assert await scene.text("", media=("https://api.twilio.com/1",)) == "accepted"
    assert await scene.asked() == [("[a picture that could not be opened]", None)]


class Shy(MemoryStore):
    """Where a conversation is deleted as soon as it is found."""

    async def current(self, person: str, *arguments: Any, **named: Any) -> Conversation:
        found = await super().current(person, *arguments, **named)
        await self.delete(person, found.id)
        return found


async def test_what_is_said_in_a_conversation_that_is_being_deleted_is_to_come_again() -> None:
    scene = Scene()
    door = scene.make(Shy(lease_seconds=30, most_waiting=50))
    with pytest.raises(Unavailable):
        await door.take(Text("sms", NUMBER, text_id("1"), "hello"))


async def test_what_finds_too_much_waiting_is_to_come_again() -> None:
    scene = Scene()
    door = scene.make(MemoryStore(lease_seconds=30, most_waiting=1))
    assert await door.take(Text("sms", NUMBER, text_id("1"), "hello")) == "accepted"
    with pytest.raises(Unavailable) as refused:
        await door.take(Text("sms", NUMBER, text_id("2"), "hello"))
    assert refused.value.code == "too_many_waiting"


@pytest.mark.parametrize("words", ["STOP", "/reset"])
async def test_what_ends_all_that_waits_is_heard_however_much_that_is(words: str) -> None:
    scene = Scene()
    door = scene.make(MemoryStore(lease_seconds=30, most_waiting=1))
    taken = [await door.take(Text("sms", NUMBER, text_id(one), one)) for one in ("hello", words)]
    assert taken == ["accepted", "accepted"]


class LockedAlbum:
    async def keep(self, conversation_id: str, url: str) -> str:
        raise ConfigError("S3 refuses: AccessDenied")


async def test_an_album_that_cannot_be_used_does_not_keep_the_words_out() -> None:
    scene = Scene()
    scene.door = scene.make(scene.store, LockedAlbum())
    assert await scene.text("look", media=("https://api.twilio.com/1",)) == "accepted"
    assert await scene.asked() == [(f"look\n{NO_PICTURE}", None)]


class LostStore(MemoryStore):
    async def knows(self, person: str, message_ids: Any) -> bool:
        raise Unavailable("The database is away.")


async def test_trouble_of_ours_is_not_hidden() -> None:
    scene = Scene()
    door = scene.make(LostStore(lease_seconds=30, most_waiting=5))
    with pytest.raises(Unavailable):
        await door.take(Text("sms", NUMBER, text_id("1"), "hello"))
