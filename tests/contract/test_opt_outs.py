"""The port OptOuts."""

from __future__ import annotations

import asyncio
from itertools import permutations

from server.model import person_of
from tests.contract.conftest import Opener, Store

ANNA, BEN = person_of("+4915112345678"), person_of("+4915187654321")


async def test_who_opts_out_is_out_until_she_opts_in(store: Store) -> None:
    assert not await store.opted_out(ANNA, "sms")
    await store.opt_out(ANNA, "sms", 1)
    assert await store.opted_out(ANNA, "sms")
    assert await store.opt_in(ANNA, "sms", 2, "t2")
    assert not await store.opted_out(ANNA, "sms")
    await store.opt_out(ANNA, "sms", 3)
    assert await store.opted_out(ANNA, "sms")


async def test_an_opt_out_counts_for_one_person_on_one_channel(store: Store) -> None:
    await store.opt_out(ANNA, "sms", 1)
    assert not await store.opted_out(ANNA, "whatsapp")
    assert not await store.opted_out(BEN, "sms")
    assert not await store.opt_in(BEN, "sms", 2, "t2")
    assert await store.opted_out(ANNA, "sms")


async def test_to_say_it_again_is_no_error(store: Store) -> None:
    await asyncio.gather(*(store.opt_out(ANNA, "sms", 1) for _ in range(5)))
    assert await store.opted_out(ANNA, "sms")
    assert await store.opt_in(ANNA, "sms", 2, "t2")
    assert not await store.opt_in(ANNA, "sms", 3, "t3")


async def test_the_word_that_was_said_last_counts_in_whatever_order_they_come(store: Store) -> None:
    for number, order in enumerate(permutations([(1, "out"), (2, "in"), (3, "out"), (4, "in")])):
        for last in (3, 4):
            person = f"{ANNA}{number}{last}"
            for at, word in order:
                if at <= last:
                    await (
                        store.opt_in(person, "sms", at, f"t{at}") if word == "in" else store.opt_out(person, "sms", at)
                    )
            assert await store.opted_out(person, "sms") == (last == 3)


async def test_of_words_of_one_moment_the_last_to_come_counts(store: Store) -> None:
    await store.opt_out(ANNA, "sms", 5)
    assert await store.opt_in(ANNA, "sms", 5, "t1")
    assert not await store.opted_out(ANNA, "sms")
    await store.opt_out(ANNA, "sms", 5)
    assert await store.opted_out(ANNA, "sms")


async def test_who_opts_out_again_is_brought_back_only_by_what_is_said_after_that(store: Store) -> None:
    await store.opt_out(ANNA, "sms", 1)
    await store.opt_out(ANNA, "sms", 3)
    assert not await store.opt_in(ANNA, "sms", 2, "t2")
    assert await store.opted_out(ANNA, "sms")


async def test_a_text_that_ended_an_opt_out_has_done_so_also_when_it_comes_again(store: Store) -> None:
    await store.opt_out(ANNA, "sms", 1)
    for at in (2, 2, 7):
        assert await store.opt_in(ANNA, "sms", at, "t2")
    assert not await store.opt_in(ANNA, "sms", 8, "t8")
    assert not await store.opt_in(ANNA, "sms", 8, "t8")
    assert not await store.opted_out(ANNA, "sms")


async def test_a_word_that_comes_again_was_said_when_it_first_came(open_store: Opener) -> None:
    async with open_store() as store:
        assert await store.opt_out(ANNA, "sms", 1, "t1")
        assert await store.opt_in(ANNA, "sms", 2, "t2")
        assert not await store.opt_out(ANNA, "sms", 3, "t1")
        assert not await store.opted_out(ANNA, "sms")
        assert await store.opt_out(ANNA, "sms", 4, "t4")
    async with open_store() as store:
        assert not await store.opt_in(ANNA, "sms", 5, "t2")
        assert await store.opted_out(ANNA, "sms")


async def test_a_word_that_was_late_is_so_also_when_it_comes_again(store: Store) -> None:
    await store.opt_in(ANNA, "sms", 3, "t3")
    for at in (2, 4):
        assert not await store.opt_out(ANNA, "sms", at, "t2")
    assert await store.opt_out(ANNA, "sms", 5, "t5")
    for at in (4, 6):
        assert not await store.opt_in(ANNA, "sms", at, "t4")
    assert await store.opted_out(ANNA, "sms")


async def test_twenty_words_later_one_that_comes_again_is_known_still(store: Store) -> None:
    for number in range(1, 22):
        await (store.opt_in if number % 2 else store.opt_out)(ANNA, "sms", number, f"t{number}")
    assert not await store.opt_out(ANNA, "sms", 30, "t2")
    assert not await store.opted_out(ANNA, "sms")


async def test_an_opt_out_was_begun_by_the_first_text_that_said_so(store: Store) -> None:
    for at in (1, 3):
        assert await store.opt_out(ANNA, "sms", at, "t1")
        assert not await store.opt_out(ANNA, "sms", at + 1, "t2")
    await store.opt_in(ANNA, "sms", 5, "t5")
    assert await store.opt_out(ANNA, "sms", 6, "t6")


async def test_a_provider_begins_no_opt_out_that_a_text_would_begin(store: Store) -> None:
    assert not await store.opt_out(ANNA, "sms", 1)
    assert await store.opt_out(ANNA, "sms", 2, "t2")
    assert not await store.opt_out(ANNA, "sms", 3)
    assert await store.opt_out(ANNA, "sms", 4, "t2")


async def test_words_said_at_once_in_two_processes_end_as_the_last_one(open_store: Opener) -> None:
    async with open_store() as store, open_store() as another:
        for number in range(5):
            person = f"{ANNA}{number}"
            stops = [store.opt_out(person, "sms", at) for at in (1, 3)]
            starts = [another.opt_in(person, "sms", at, f"t{at}") for at in (2, 4)]
            await asyncio.gather(*stops, *starts)
            assert not await store.opted_out(person, "sms")
            await asyncio.gather(store.opt_out(person, "sms", 6), another.opt_in(person, "sms", 5, "t5"))
            assert await another.opted_out(person, "sms")


async def test_a_word_outlives_the_process(open_store: Opener) -> None:
    async with open_store() as before:
        await before.opt_out(ANNA, "sms", 1)
        await before.opt_in(BEN, "sms", 2, "t2")
    async with open_store() as after:
        assert await after.opted_out(ANNA, "sms")
        await after.opt_out(BEN, "sms", 1)
        assert not await after.opted_out(BEN, "sms")
