"""What the scripts do to the store."""

from __future__ import annotations

import pytest

from assistant_scripts.desk import Desk, written
from assistant_scripts.report import Ink, diff, of_change, table
from server.backends.memory import MemoryStore
from server.errors import BadInput, Conflict, NotFound
from server.model import Definition

DEBATE = Definition(name="debate", instructions="Argue.")
OLD = Definition(name="support", instructions="Be kind.\nBe brief.")
NEW = Definition(name="support", instructions="Be kind.\nBe quick.")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(lease_seconds=30, most_waiting=5)


def desk_of(store: MemoryStore, stage: str = "dev", *, dry_run: bool = False) -> Desk:
    return Desk(store, None, {"debate": DEBATE}, stage=stage, dry_run=dry_run)


@pytest.fixture
def desk(store: MemoryStore) -> Desk:
    return desk_of(store)


async def version_in(store: MemoryStore, stage: str) -> str:
    return (await store.alias("support", stage)).version


async def test_an_assistant_is_created_once_and_updated_from_then_on(desk: Desk, store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="create_assistant makes it"):
        await desk.update(OLD)
    created = await desk.create(OLD)
    assert (created.before, created.after) == (None, written(OLD))
    with pytest.raises(Conflict, match="update_assistant changes it"):
        await desk.create(NEW)
    updated = await desk.update(NEW)
    assert (updated.before, updated.after) == (written(OLD), written(NEW))
    assert await version_in(store, "dev") == written(NEW).version
    assert len(await store.versions("support")) == 2


async def test_an_update_to_the_same_words_changes_nothing(desk: Desk, store: MemoryStore) -> None:
    await desk.create(OLD)
    again = await desk.update(OLD)
    assert again.before == again.after
    assert len(await store.moves()) == 1
    assert "is at" in of_change(again, Ink(False), did="updated", dry_run=False).text


async def test_a_stage_is_promoted_to_what_another_has_or_to_a_version_or_to_what_ships(
    desk: Desk, store: MemoryStore
) -> None:
    await desk.create(OLD)
    await desk.update(NEW)
    prod = desk_of(store, "prod")
    await prod.promote("support", "dev")
    assert await version_in(store, "prod") == written(NEW).version
    await prod.promote("support", written(OLD).version[:8])
    assert await version_in(store, "prod") == written(OLD).version
    for word in ("shipped", written(DEBATE).version[:12]):
        assert (await prod.promote("debate", word)).after == written(DEBATE)
    assert (await store.alias("debate", "prod")).version == written(DEBATE).version
    for name, word in (("support", "test"), ("support", "shipped"), ("support", "0123abcd"), ("gone", "dev")):
        with pytest.raises(NotFound):
            await prod.promote(name, word)


async def test_a_stage_is_rolled_back_step_by_step(desk: Desk, store: MemoryStore) -> None:
    with pytest.raises(NotFound):
        await desk.roll_back("support")
    await desk.create(OLD)
    await desk.update(NEW)
    change = await desk.roll_back("support")
    assert (change.before, change.after) == (written(NEW), written(OLD))
    assert await version_in(store, "dev") == written(OLD).version
    with pytest.raises(Conflict, match="no earlier version"):
        await desk.roll_back("support")


async def test_a_dry_run_says_the_same_and_changes_nothing(desk: Desk, store: MemoryStore) -> None:
    await desk.create(OLD)
    await desk.update(NEW)
    before = list(await store.moves()), list(await store.versions())
    dry, third = desk_of(store, dry_run=True), Definition(name="support", instructions="Third.")
    assert (await dry.update(third)).after == written(third)
    assert (await dry.roll_back("support")).after == written(OLD)
    assert (await dry.create(DEBATE)).after == written(DEBATE)
    assert (await desk_of(store, "prod", dry_run=True).promote("support", "dev")).after == written(NEW)
    for everywhere in (True, False):
        assert (await dry.delete("support", everywhere=everywhere)).aliases
    assert (list(await store.moves()), list(await store.versions())) == before


async def test_a_stage_is_left_or_everything_is_deleted(desk: Desk, store: MemoryStore) -> None:
    await desk.create(OLD)
    await desk_of(store, "prod").promote("support", "dev")
    gone = await desk.delete("support", everywhere=False)
    assert ([move.stage for move in gone.aliases], gone.versions) == (["dev"], [])
    assert await version_in(store, "prod") == written(OLD).version
    with pytest.raises(NotFound):
        await desk.delete("support", everywhere=False)
    gone = await desk.delete("support", everywhere=True)
    assert [move.stage for move in gone.aliases] == ["prod"]
    assert await store.versions() == []
    with pytest.raises(NotFound):
        await desk.delete("debate", everywhere=True)


async def test_what_the_provider_keeps_is_not_left_behind_there(desk: Desk, store: MemoryStore) -> None:
    await desk.create(OLD)
    await store.point_alias("support", "dev", written(OLD).version, "asst_1")
    with pytest.raises(BadInput, match=r"asst_1.*ENGINE=threads"):
        await desk.delete("support", everywhere=False)
    await desk.update(NEW)
    assert (await store.alias("support", "dev")).provider_id == "asst_1"


async def test_a_name_shows_what_it_means_in_the_stage(desk: Desk) -> None:
    assert await desk.find("debate") == written(DEBATE)
    await desk.create(Definition(name="debate", instructions="Ours."))
    assert (await desk.find("debate")).definition.instructions == "Ours."
    assert await desk.find("debate", "shipped") == written(DEBATE)


def test_a_difference_is_of_lines() -> None:
    lines = diff(written(OLD), written(NEW)).splitlines()
    assert lines[0] == f"--- support@{written(OLD).version[:12]}"
    assert lines[-2:] == ["-  Be brief.", "+  Be quick."]


def test_columns_are_aligned() -> None:
    assert table(["A", "LONG"], [["wide", "x"]], Ink(False)) == "A     LONG\nwide  x"
    assert table(["A"], [["b"]], Ink(True)).startswith("\033[1m")
