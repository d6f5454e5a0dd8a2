"""The port Accounts."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.contract.conftest import Clock, Opener, Store

HOUR_MS = 3_600_000


def later(clock: Clock) -> int:
    return int(clock.now * 1000) + HOUR_MS


async def test_an_account_grows_up_to_its_bound(store: Store, clock: Clock) -> None:
    assert await store.charged("day") == 0
    assert await store.charge("day", 3, 10, later(clock))
    assert await store.charge("day", 7, 10, later(clock))
    assert await store.charged("day") == 10


async def test_what_would_be_too_much_adds_nothing(store: Store, clock: Clock) -> None:
    assert not await store.charge("day", 11, 10, later(clock))
    assert await store.charged("day") == 0
    assert await store.charge("day", 8, 10, later(clock))
    assert not await store.charge("day", 3, 10, later(clock))
    assert await store.charged("day") == 8
    assert await store.charge("day", 2, 10, later(clock))


async def test_what_was_given_back_can_be_charged_again(store: Store, clock: Clock) -> None:
    assert await store.charge("day", 10, 10, later(clock))
    assert await store.charge("day", -3, 10, later(clock))
    assert await store.charged("day") == 7
    assert not await store.charge("day", 4, 10, later(clock))
    assert await store.charge("day", 3, 10, later(clock))


async def test_a_bound_may_be_another_each_time(store: Store, clock: Clock) -> None:
    assert await store.charge("day", 5, 5, later(clock))
    assert await store.charge("day", 5, 10, later(clock))
    assert not await store.charge("day", 1, 5, later(clock))


async def test_accounts_are_told_apart_byte_by_byte(store: Store, clock: Clock) -> None:
    for name in ("day", "Day", "day:é"):
        assert await store.charge(name, 1, 1, later(clock))
    assert [await store.charged(name) for name in ("day", "Day", "day:é", "DAY")] == [1, 1, 1, 0]


async def test_large_sums_are_counted_to_the_last_one(store: Store, clock: Clock) -> None:
    assert await store.charge("day", 10**12, 10**12 + 1, later(clock))
    assert await store.charge("day", 1, 10**12 + 1, later(clock))
    assert await store.charged("day") == 10**12 + 1


async def test_charges_at_once_from_many_processes_never_go_beyond_the_bound(open_store: Opener, clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store()) for _ in range(3)]
        charged = await asyncio.gather(*(stores[number % 3].charge("day", 2, 15, later(clock)) for number in range(24)))
        assert sum(charged) == 7
        assert await stores[0].charged("day") == 14


async def test_an_account_is_kept_as_long_as_it_was_asked_to_be(open_store: Opener, clock: Clock) -> None:
    async with open_store() as before:
        await before.charge("day", 3, 10, later(clock))
    clock.now += 3_599
    async with open_store() as after:
        await after.charge("another", 1, 1, later(clock))
        assert await after.charged("day") == 3
