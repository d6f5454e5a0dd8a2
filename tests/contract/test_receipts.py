"""The port Receipts."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from server.model import Receipt, ReceiptStatus
from tests.contract.conftest import Clock, Opener, Store

DAY = 86_400
ENDS: tuple[ReceiptStatus, ...] = ("delivered", "undelivered", "failed")


async def status(store: Store, provider_id: str = "SM1") -> ReceiptStatus | None:
    receipt = await store.receipt("sms", provider_id)
    return receipt.status if receipt else None


async def test_a_receipt_is_kept_as_it_came(store: Store, clock: Clock) -> None:
    assert await store.receipt("sms", "SM1") is None
    assert await store.keep_receipt("sms", "SM1", "failed", "30003")
    assert await store.receipt("sms", "SM1") == Receipt("sms", "SM1", "failed", "30003", int(clock.now * 1000))


async def test_later_news_takes_the_place_of_earlier(store: Store, clock: Clock) -> None:
    for word in ("queued", "sent", "delivered", "read"):
        clock.now += 1
        assert await store.keep_receipt("sms", "SM1", word, None)
    assert await store.receipt("sms", "SM1") == Receipt("sms", "SM1", "read", None, int(clock.now * 1000))


async def test_a_status_that_comes_again_is_no_news(store: Store, clock: Clock) -> None:
    assert await store.keep_receipt("sms", "SM1", "sent", None)
    first = await store.receipt("sms", "SM1")
    clock.now += 1
    assert not await store.keep_receipt("sms", "SM1", "sent", "again")
    assert await store.receipt("sms", "SM1") == first


@pytest.mark.parametrize("end", ENDS)
async def test_no_status_goes_back(store: Store, end: ReceiptStatus) -> None:
    await store.keep_receipt("sms", "SM1", end, None)
    for word in ("queued", "sent", *ENDS):
        assert not await store.keep_receipt("sms", "SM1", word, None)
    assert await status(store) == end
    assert await store.keep_receipt("sms", "SM1", "read", None)
    assert not await store.keep_receipt("sms", "SM1", end, None)
    assert await status(store) == "read"


async def test_the_last_word_stays_in_whatever_order_they_come(store: Store) -> None:
    words: tuple[ReceiptStatus, ...] = ("queued", "sent", "delivered", "read")
    for number, order in enumerate(permutations(words)):
        await asyncio.gather(*(store.keep_receipt("sms", f"SM{number}", word, None) for word in order))
        assert await status(store, f"SM{number}") == "read"


async def test_of_a_receipt_that_comes_many_times_at_once_one_is_news(store: Store) -> None:
    news = await asyncio.gather(*(store.keep_receipt("sms", "SM1", "delivered", None) for _ in range(8)))
    assert sorted(news) == [False] * 7 + [True]


async def test_channels_and_ids_are_told_apart_byte_by_byte(store: Store) -> None:
    await store.keep_receipt("sms", "SMa", "sent", None)
    await store.keep_receipt("sms", "SMA", "delivered", None)
    await store.keep_receipt("whatsapp", "SMa", "read", None)
    assert [await status(store, "SMa"), await status(store, "SMA")] == ["sent", "delivered"]
    assert await store.receipt("azure", "SMa") is None


async def test_receipts_are_kept_for_30_days(open_store: Opener, clock: Clock) -> None:
    async with open_store() as before:
        await before.keep_receipt("sms", "SM1", "read", None)
    clock.now += 30 * DAY - 1
    async with open_store() as later:
        assert await status(later) == "read"
    clock.now += 2
    async with open_store() as after:
        assert await status(after) is None
        assert await after.keep_receipt("sms", "SM1", "queued", None)
        assert await status(after) == "queued"
