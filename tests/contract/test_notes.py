"""The port Notes."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import BadInput
from server.model import MOST_NOTES, Note
from tests.contract.conftest import Clock, Opener, Store


async def texts(store: Store, person: str, limit: int = MOST_NOTES) -> list[str]:
    return [note.text for note in await store.of(person, limit)]


async def test_notes_come_back_the_newest_first(store: Store, clock: Clock) -> None:
    for number in range(3):
        await store.add("anna", f"k{number}", f"note {number}")
        clock.now += 1
    assert await texts(store, "anna") == ["note 2", "note 1", "note 0"]
    assert await texts(store, "anna", 2) == ["note 2", "note 1"]
    assert (await store.of("anna", 3))[-1] == Note("note 0", 1_790_000_000_000)


async def test_notes_of_one_moment_keep_the_order_they_were_made_in(store: Store) -> None:
    for number in range(12):
        await store.add("anna", f"k{number}", str(number))
    assert await texts(store, "anna") == [str(number) for number in reversed(range(12))]


async def test_a_key_is_good_for_one_note_of_a_person(store: Store) -> None:
    await store.add("anna", "k1", "tea")
    await store.add("anna", "k1", "coffee")
    await store.add("bert", "k1", "water")
    assert await texts(store, "anna") == ["tea"]
    assert await texts(store, "bert") == ["water"]


async def test_keys_and_people_are_told_apart_byte_by_byte(store: Store) -> None:
    await store.add("anna", "k1", "small")
    await store.add("anna", "K1", "large")
    await store.add("Anna", "k1", "hers")
    assert await texts(store, "anna") == ["large", "small"]
    assert await texts(store, "Anna") == ["hers"]


async def test_a_key_may_have_any_length_and_any_letters(store: Store) -> None:
    for end in "ab":
        await store.add("anna", "é" * 5_000 + end, end)
    assert await texts(store, "anna") == ["b", "a"]


async def test_what_is_forgotten_is_forgotten_and_may_be_noted_again(store: Store) -> None:
    for number in range(30):
        await store.add("anna", f"k{number}", "tea")
    await store.add("bert", "k1", "water")
    for person in ("anna", "anna", "nobody"):
        await store.forget_notes(person)
    assert (await texts(store, "anna"), await texts(store, "bert")) == ([], ["water"])
    await store.add("anna", "k1", "coffee")
    assert await texts(store, "anna") == ["coffee"]


async def test_nobody_reads_the_notes_of_another(store: Store) -> None:
    await store.add("anna", "k1", "a secret")
    assert await texts(store, "bert") == []


async def test_the_oldest_go_when_there_are_too_many(store: Store) -> None:
    await store.add("bert", "k0", "stays")
    for number in range(MOST_NOTES + 3):
        await store.add("anna", f"k{number}", str(number))
    kept = await texts(store, "anna", MOST_NOTES + 10)
    assert kept == [str(number) for number in reversed(range(3, MOST_NOTES + 3))]
    assert await texts(store, "bert") == ["stays"]


async def test_a_key_used_again_pushes_nothing_out(store: Store) -> None:
    for number in range(MOST_NOTES):
        await store.add("anna", f"k{number}", str(number))
    await store.add("anna", "k0", "again")
    assert (await texts(store, "anna"))[-1] == "0"


async def test_notes_made_at_once_are_all_kept(store: Store) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(store.add("anna", f"k{number % 10}", str(number % 10)))
    assert sorted(await texts(store, "anna")) == [str(number) for number in range(10)]


@pytest.mark.parametrize("text", ["", " \n", "a\0b", "x" * 2_001])
async def test_what_cannot_be_kept_is_refused_and_changes_nothing(store: Store, text: str) -> None:
    with pytest.raises(BadInput):
        await store.add("anna", "k1", text)
    assert await texts(store, "anna") == []


async def test_a_note_of_2000_characters_is_kept_as_it_is(store: Store) -> None:
    text = "é😀" * 1_000
    await store.add("anna", "k1", text)
    assert await texts(store, "anna") == [text]


async def test_notes_outlive_the_process(open_store: Opener) -> None:
    async with open_store() as before:
        await before.add("anna", "k1", "tea")
    async with open_store() as after:
        await after.add("anna", "k1", "coffee")
        await after.add("anna", "k2", "milk")
        assert await texts(after, "anna") == ["milk", "tea"]
