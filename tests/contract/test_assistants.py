"""The ports Versions and Aliases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from server.errors import Conflict, NotFound
from server.model import Move, Version
from tests.contract.conftest import Clock, Opener, Store

FIRST, SECOND, THIRD = "aaaaaaaa" + "0" * 56, "aaaaaaab" + "0" * 56, "c" * 64


def milliseconds(clock: Clock) -> int:
    return int(clock.now * 1000)


async def keep(store: Store, clock: Clock, *versions: str, name: str = "support") -> None:
    for version in versions:
        await store.keep_version(name, version, f'{{"name":"{name}"}}')
        clock.now += 1


async def point(store: Store, clock: Clock, *versions: str, stage: str = "dev") -> None:
    for version in versions:
        await store.point_alias("support", stage, version)
        clock.now += 1


async def test_a_version_is_kept_as_it_was_written(store: Store, clock: Clock) -> None:
    kept = await store.keep_version("support", FIRST, '{"name":"support","instructions":"Grüße\\n🌍"}')
    assert kept == Version("support", FIRST, '{"name":"support","instructions":"Grüße\\n🌍"}', milliseconds(clock))
    assert await store.version("support", FIRST) == kept


async def test_a_version_never_changes(store: Store, clock: Clock) -> None:
    kept = await store.keep_version("support", FIRST, "{}")
    clock.now += 1
    assert await store.keep_version("support", FIRST, '{"other":1}') == kept
    assert list(await store.versions("support")) == [kept]


async def test_versions_that_are_kept_at_once_are_kept_once(store: Store) -> None:
    kept = await asyncio.gather(*(store.keep_version("support", FIRST, "{}") for _ in range(8)))
    assert kept == [kept[0]] * 8
    assert len(await store.versions()) == 1


async def test_a_version_is_found_by_its_beginning(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST, SECOND, THIRD)
    assert (await store.version("support", "aaaaaaab")).id == SECOND
    assert (await store.version("support", "cccc")).id == THIRD
    with pytest.raises(Conflict):
        await store.version("support", "aaaaaaa")
    with pytest.raises(NotFound):
        await store.version("support", "b")
    with pytest.raises(NotFound):
        await store.version("other", "cccc")


async def test_the_newest_version_comes_first(store: Store, clock: Clock) -> None:
    await keep(store, clock, SECOND, FIRST)
    await keep(store, clock, THIRD, name="other")
    assert [one.id for one in await store.versions("support")] == [FIRST, SECOND]
    assert [one.id for one in await store.versions()] == [THIRD, FIRST, SECOND]


async def test_an_alias_points_to_a_version_of_its_own_assistant(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST)
    move = await store.point_alias("support", "dev", FIRST, "asst_1")
    assert move == Move("support", "dev", FIRST, "asst_1", milliseconds(clock))
    assert await store.alias("support", "dev") == move
    for name, version in (("support", SECOND), ("other", FIRST)):
        with pytest.raises(NotFound):
            await store.point_alias(name, "dev", version)
    assert list(await store.moves()) == [move]


async def test_an_alias_that_was_never_pointed_anywhere_is_not_found(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST)
    await point(store, clock, FIRST)
    for name, stage in (("support", "prod"), ("Support", "dev"), ("other", "dev")):
        with pytest.raises(NotFound):
            await store.alias(name, stage)
        with pytest.raises(NotFound):
            await store.roll_back(name, stage)


async def test_every_stage_has_an_alias_of_its_own(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST, SECOND)
    await point(store, clock, FIRST, SECOND)
    await point(store, clock, FIRST, stage="prod")
    assert (await store.alias("support", "dev")).version == SECOND
    assert (await store.alias("support", "prod")).version == FIRST


async def test_pointing_to_the_same_version_again_is_no_move(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST, SECOND)
    await point(store, clock, FIRST, SECOND)
    before = await store.alias("support", "dev")
    assert await store.point_alias("support", "dev", SECOND, "asst_1") == replace(before, provider_id="asst_1")
    assert await store.alias("support", "dev") == replace(before, provider_id="asst_1")
    assert len(await store.moves("support")) == 2


async def test_a_roll_back_goes_to_the_version_before_and_then_further_back(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST, SECOND, THIRD)
    await point(store, clock, FIRST, SECOND, THIRD)
    for version in (SECOND, FIRST):
        assert (await store.roll_back("support", "dev")).version == version
        assert (await store.alias("support", "dev")).version == version
    with pytest.raises(Conflict):
        await store.roll_back("support", "dev")
    assert (await store.alias("support", "dev")).version == FIRST


async def test_a_roll_back_after_a_roll_back_and_a_promotion_skips_what_was_undone(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST, SECOND, THIRD)
    await point(store, clock, FIRST, SECOND)
    await store.roll_back("support", "dev")
    await point(store, clock, THIRD)
    assert (await store.roll_back("support", "dev")).version == FIRST


async def test_the_moves_are_told_the_newest_first_with_those_that_were_undone(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST, SECOND)
    await point(store, clock, FIRST, SECOND)
    await store.roll_back("support", "dev")
    await point(store, clock, SECOND, stage="prod")
    await keep(store, clock, THIRD, name="other")
    await store.point_alias("other", "dev", THIRD)
    moves = await store.moves("support")
    assert [(move.stage, move.version, move.undone) for move in moves] == [
        ("prod", SECOND, False),
        ("dev", SECOND, True),
        ("dev", FIRST, False),
    ]
    assert [move.name for move in await store.moves()] == ["other", "support", "support", "support"]


async def test_a_stage_is_left_and_the_versions_stay(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST)
    await point(store, clock, FIRST)
    await point(store, clock, FIRST, stage="prod")
    for _ in range(2):
        await store.drop_alias("support", "dev")
    with pytest.raises(NotFound):
        await store.alias("support", "dev")
    assert (await store.alias("support", "prod")).version == FIRST
    assert (await store.version("support", FIRST)).id == FIRST
    await point(store, clock, FIRST)
    with pytest.raises(Conflict):
        await store.roll_back("support", "dev")


async def test_an_assistant_is_forgotten_with_all_that_points_to_it(store: Store, clock: Clock) -> None:
    await keep(store, clock, FIRST, SECOND)
    await keep(store, clock, FIRST, name="other")
    await point(store, clock, FIRST)
    await point(store, clock, SECOND, stage="prod")
    await store.forget_assistant("support")
    assert list(await store.moves()) == []
    assert [one.name for one in await store.versions()] == ["other"]


async def test_versions_and_moves_outlive_the_process(open_store: Opener, clock: Clock) -> None:
    async with open_store() as before:
        await keep(before, clock, FIRST, SECOND)
        await point(before, clock, FIRST, SECOND)
        await before.roll_back("support", "dev")
    async with open_store() as after:
        assert (await after.alias("support", "dev")).version == FIRST
        assert len(await after.versions("support")) == 2
