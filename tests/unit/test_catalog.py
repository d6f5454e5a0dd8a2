"""Which definition answers, and how often the store is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from server.assistant.catalog import MOST_KEPT, StoredCatalog
from server.assistant.definition import canonical, label_of, version_of
from server.backends.memory import MemoryStore
from server.errors import Conflict, NotFound, Unavailable
from server.model import Definition, Move, Overrides, Version

SHIPPED = Definition(name="assistant", instructions="Help.")
DEBATE = Definition(name="debate", instructions="Argue.", channels={"sms": Overrides(max_output_tokens=100)})
OLD = Definition(name="support", instructions="Old.")
NEW = Definition(name="support", instructions="New.")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Shop(MemoryStore):
    """A store that counts how often it is asked, and fails or waits when told to."""

    def __init__(self) -> None:
        super().__init__(lease_seconds=30, most_waiting=5)
        self.asked = 0
        self.down = False
        self.gate: asyncio.Event | None = None

    async def _serve(self) -> None:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise Unavailable("The database does not answer.")

    async def alias(self, name: str, stage: str) -> Move:
        await self._serve()
        return await super().alias(name, stage)

    async def moves(self, name: str | None = None) -> Sequence[Move]:
        await self._serve()
        return await super().moves(name)

    async def version(self, name: str, prefix: str) -> Version:
        await self._serve()
        return await super().version(name, prefix)

    async def publish(self, definition: Definition, stage: str = "dev", provider_id: str | None = None) -> str:
        version = version_of(definition)
        await self.keep_version(definition.name, version, canonical(definition))
        await self.point_alias(definition.name, stage, version, provider_id)
        return label_of(definition.name, version)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shop() -> Shop:
    return Shop()


def catalog_of(shop: Shop, clock: Clock, default: str = "assistant") -> StoredCatalog:
    shipped = {one.name: one for one in (SHIPPED, DEBATE)}
    return StoredCatalog(shop, shop, shipped, default=default, stage="dev", clock=clock)


@pytest.fixture
def catalog(shop: Shop, clock: Clock) -> StoredCatalog:
    return catalog_of(shop, clock)


async def instructions(catalog: StoredCatalog, reference: str) -> str:
    return (await catalog.find(reference, "websocket")).definition.instructions


async def test_a_name_is_what_ships_until_the_stage_has_one_of_its_own(
    catalog: StoredCatalog, shop: Shop, clock: Clock
) -> None:
    assert await instructions(catalog, "assistant") == "Help."
    await shop.publish(Definition(name="assistant", instructions="Ours."), "prod")
    clock.now += 1
    assert await instructions(catalog, "assistant") == "Help."
    await shop.publish(Definition(name="assistant", instructions="Mine."), "dev")
    clock.now += 1
    assert await instructions(catalog, "assistant") == "Mine."


async def test_a_stage_is_named_after_an_at(catalog: StoredCatalog, shop: Shop) -> None:
    await shop.publish(OLD, "prod")
    await shop.publish(NEW, "dev")
    assert await instructions(catalog, "support@prod") == "Old."
    assert await instructions(catalog, "support@dev") == "New."
    assert await instructions(catalog, "support") == "New."


async def test_a_version_is_found_by_its_label_when_nothing_points_to_it_any_more(
    catalog: StoredCatalog, shop: Shop
) -> None:
    label = await shop.publish(OLD)
    await shop.publish(NEW)
    found = await catalog.find(label, "websocket")
    assert (found.label, found.definition) == (label, OLD)
    assert await instructions(catalog, label[: len("support@") + 8]) == "Old."


async def test_a_version_that_ships_is_found_by_its_label(catalog: StoredCatalog) -> None:
    label = (await catalog.find("debate", "websocket")).label
    assert label == label_of("debate", version_of(DEBATE))
    assert await catalog.find(label, "websocket") == await catalog.find("debate", "websocket")


async def test_a_channel_has_its_overrides_and_the_same_version(catalog: StoredCatalog) -> None:
    here, there = await catalog.find("debate", "websocket"), await catalog.find("debate", "sms")
    assert (here.definition.max_output_tokens, there.definition.max_output_tokens) == (None, 100)
    assert here.label == there.label


async def test_what_is_not_there_any_more_is_answered_by_the_configured_one(
    catalog: StoredCatalog, capsys: pytest.CaptureFixture[str]
) -> None:
    for reference in ("gone", "gone@prod", "assistant@0123abcd0123", "assistant@0123", "", "@"):
        assert await instructions(catalog, reference) == "Help."
    for _ in range(3):
        await catalog.find("gone", "websocket")
    assert capsys.readouterr().out.count("assistant=gone ") == 1


async def test_it_is_logged_once_however_often_it_is_looked_for(
    catalog: StoredCatalog, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        await catalog.find("gone", "websocket")
        clock.now += 2
    assert capsys.readouterr().out.count("assistant_not_found") == 1


async def test_what_comes_to_be_is_found_and_what_goes_again_is_logged_again(
    catalog: StoredCatalog, shop: Shop, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await instructions(catalog, "support") == "Help."
    await shop.publish(NEW)
    clock.now += 1
    assert await instructions(catalog, "support") == "New."
    await shop.forget_assistant("support")
    clock.now += 1
    assert await instructions(catalog, "support") == "Help."
    assert capsys.readouterr().out.count("assistant_not_found") == 2


async def test_a_promotion_is_seen_within_a_second_and_no_version_is_fetched_twice(
    catalog: StoredCatalog, shop: Shop, clock: Clock
) -> None:
    await shop.publish(OLD)
    await catalog.find("support", "websocket")
    assert shop.asked == 2
    await shop.publish(NEW)
    clock.now += 0.99
    assert await instructions(catalog, "support") == "Old."
    assert shop.asked == 2
    clock.now += 0.01
    assert await instructions(catalog, "support") == "New."
    await shop.roll_back("support", "dev")
    clock.now += 1
    assert await instructions(catalog, "support") == "Old."
    assert shop.asked == 5


async def test_many_who_ask_at_once_are_answered_by_one_look(catalog: StoredCatalog, shop: Shop) -> None:
    await shop.publish(OLD)
    shop.gate = asyncio.Event()
    asking = [asyncio.create_task(catalog.find("support", "websocket")) for _ in range(20)]
    await asyncio.sleep(0)
    asking.pop(0).cancel()
    await asyncio.sleep(0)
    shop.gate.set()
    found = await asyncio.gather(*asking)
    assert {one.label for one in found} == {label_of("support", version_of(OLD))}
    assert shop.asked == 3  # The one that was called off, then one look: the alias and its version.


async def test_the_last_known_answers_while_the_store_does_not(
    catalog: StoredCatalog, shop: Shop, clock: Clock
) -> None:
    await shop.publish(OLD)
    await catalog.find("support", "websocket")
    await catalog.find("gone", "websocket")
    shop.down = True
    clock.now += 2
    asked = shop.asked
    for _ in range(3):
        assert await instructions(catalog, "support") == "Old."
    assert shop.asked == asked + 1
    with pytest.raises(Unavailable):
        await catalog.find("debate", "websocket")
    shop.down = False
    assert await instructions(catalog, "debate") == "Argue."


async def test_the_configured_one_goes_on_as_it_was_when_it_is_deleted(shop: Shop, clock: Clock) -> None:
    await shop.publish(OLD)
    catalog = catalog_of(shop, clock, default="support")
    await catalog.check("support")
    assert await instructions(catalog, "gone") == "Old."
    await shop.forget_assistant("support")
    clock.now += 2
    assert await instructions(catalog, "gone") == "Old."


async def test_a_conversation_can_be_begun_with_what_is_there(catalog: StoredCatalog, shop: Shop) -> None:
    await shop.publish(OLD, "prod")
    for reference in ("assistant", "debate", "support@prod"):
        await catalog.check(reference)
    for reference in ("support", "debate@prod", "gone", "", "asst_abc"):
        with pytest.raises(NotFound) as refused:
            await catalog.check(reference)
        assert refused.value.code == "unknown_assistant"


async def test_the_beginning_of_two_versions_is_none(catalog: StoredCatalog, shop: Shop) -> None:
    for end in "ab":
        await shop.keep_version("support", f"deadbeef{end}", canonical(OLD))
    with pytest.raises(Conflict):
        await catalog.check("support@deadbeef")
    assert await instructions(catalog, "support@deadbeef") == "Help."


async def test_the_providers_own_object_is_used_as_it_is_there(shop: Shop, clock: Clock) -> None:
    catalog = catalog_of(shop, clock, default="asst_abc")
    await catalog.check("asst_abc")
    found = await catalog.find("asst_abc", "websocket")
    assert (found.label, found.provider_id) == ("asst_abc", "asst_abc")
    assert found.definition == Definition(name="asst_abc", instructions="", tools=("*",))
    assert shop.asked == 0


async def test_the_providers_object_comes_with_the_alias_or_from_any_of_the_name(
    catalog: StoredCatalog, shop: Shop, clock: Clock
) -> None:
    label = await shop.publish(OLD, "prod", "asst_prod")
    assert (await catalog.find("support@prod", "websocket")).provider_id == "asst_prod"
    assert (await catalog.find(label, "websocket")).provider_id == "asst_prod"
    await shop.publish(NEW, "dev", "asst_dev")
    clock.now += 1
    assert (await catalog.find("support", "websocket")).provider_id == "asst_dev"
    assert (await catalog.find(label, "websocket")).provider_id == "asst_dev"
    assert (await catalog.find("debate", "websocket")).provider_id is None
    await shop.publish(OLD, "dev", "asst_late")
    await shop.roll_back("support", "dev")
    clock.now += 1
    assert (await catalog.find(label, "websocket")).provider_id == "asst_dev"


async def test_what_is_remembered_is_bounded(catalog: StoredCatalog) -> None:
    for number in range(MOST_KEPT + 10):
        await catalog.find(f"gone{number}", "websocket")
    assert len(catalog._known) <= MOST_KEPT
