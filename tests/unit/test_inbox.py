"""The door."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest

from server.backends.memory import MemoryBell, MemoryStore
from server.channels import websocket
from server.delivery.hub import Hub
from server.delivery.router import Router
from server.errors import BadInput, ServerError, TooMany, Unavailable
from server.inbox.accept import Inbox, Look, nobody
from server.inbox.rate import MOST_PEOPLE, Rate
from server.metrics import Metrics
from server.model import InboundMessage, WhenBusy
from tests.unit.wires import connection

MOST_BYTES = 100


class BrokenBell(MemoryBell):
    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        raise Unavailable("no bell")


class HeardBell(MemoryBell):
    """Keeps how it was rung: after how long."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        self.delays.append(delay)


def door(
    store: MemoryStore, bell: MemoryBell | None = None, *, per_minute: int = 0, look: Look = nobody
) -> tuple[Inbox, Hub]:
    hub = Hub(Metrics())
    rate = Rate(per_minute, lambda: 0)
    router = Router(hub, hub, partial(websocket.encode, sign=str), window=0)
    return Inbox(store, bell or MemoryBell(), router, rate, Metrics(), most_bytes=MOST_BYTES, look=look), hub


def memory() -> MemoryStore:
    return MemoryStore(lease_seconds=30, most_waiting=10)


async def message(store: MemoryStore, text: str = "hello", message_id: str = "m1") -> InboundMessage:
    return InboundMessage("anna", (await store.current("anna", "websocket", "a")).id, message_id, text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_message"),
        (" \n\t\u3000", "empty_message"),
        ("a\0b", "bad_message"),
        ("ä" * (MOST_BYTES // 2 + 1), "message_too_long"),
    ],
)
async def test_a_text_that_cannot_be_taken_is_refused_by_name(text: str, code: str) -> None:
    store = memory()
    inbox, _ = door(store)
    with pytest.raises(BadInput) as refused:
        await inbox.accept(await message(store, text))
    assert refused.value.code == code
    assert (await store.current("anna", "websocket", "a")).offset == 0


async def test_the_longest_text_is_taken() -> None:
    store = memory()
    inbox, _ = door(store)
    assert (await inbox.accept(await message(store, "ä" * (MOST_BYTES // 2)))).offset == 1


@pytest.mark.parametrize("message_id", ["", "x" * 65, "a b", "ä", "a\n"])
async def test_a_message_id_of_another_form_is_refused(message_id: str) -> None:
    store = memory()
    inbox, _ = door(store)
    with pytest.raises(BadInput) as refused:
        await inbox.accept(await message(store, message_id=message_id))
    assert refused.value.code == "bad_message_id"


@pytest.mark.parametrize("alias", ["", "x" * 65, "a b", "requeued-c_1-1"])
async def test_another_id_of_such_a_form_is_refused_too(alias: str) -> None:
    store = memory()
    inbox, _ = door(store)
    with pytest.raises(BadInput) as refused:
        await inbox.accept(replace(await message(store), aliases=("fine", alias)))
    assert refused.value.code == "bad_message_id"
    assert (await store.current("anna", "websocket", "a")).offset == 0


@pytest.mark.parametrize(
    ("quiet", "when_busy", "rings"),
    [(0, "enqueue", [0]), (3, "enqueue", [3]), (3, "interrupt", [3, 0]), (0, "interrupt", [0])],
)
async def test_the_bell_rings_when_the_turn_is_due(quiet: float, when_busy: WhenBusy, rings: list[float]) -> None:
    store, bell = memory(), HeardBell()
    inbox, _ = door(store, bell)
    asked = replace(await message(store), quiet=quiet, when_busy=when_busy)
    await inbox.accept(asked)
    assert (await inbox.accept(asked)).duplicate
    assert [int(delay) for delay in bell.delays] == rings
    assert all(delay > quiet for delay in bell.delays if delay)


class HangingBell(MemoryBell):
    """Answers nobody until it is `free`."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()

    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        await self.free.wait()


@pytest.mark.parametrize("how", ["cancel", "interrupt"])
async def test_who_is_at_work_is_told_to_stop_before_a_slow_bell_has_answered(how: str) -> None:
    store, bell, told = memory(), HangingBell(), asyncio.Event()

    async def look(_conversation_id: str) -> None:
        told.set()

    inbox, _ = door(store, bell, look=look)
    asked = await message(store)
    await store.accept(asked)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        if how == "cancel":
            tasks.create_task(inbox.cancel("anna", asked.conversation_id, None))
        else:
            tasks.create_task(inbox.accept(replace(asked, message_id="m2", when_busy="interrupt")))
        await told.wait()
        bell.free.set()


async def test_a_ring_that_fails_does_not_take_the_message_back() -> None:
    store = memory()
    inbox, _ = door(store, BrokenBell())
    accepted = await inbox.accept(await message(store))
    assert list(await store.waiting(10)) == [accepted.conversation_id]


async def test_a_device_that_is_gone_does_not_take_the_message_back() -> None:
    store = memory()
    inbox, hub = door(store)
    hub.add(connection(most_bytes=1)[0])
    assert not (await inbox.accept(await message(store))).duplicate


async def test_the_rate_holds_for_what_is_limited_and_counts_nothing_else() -> None:
    store = memory()
    inbox, _ = door(store, per_minute=1)
    for number in range(3):
        await inbox.accept(await message(store, message_id=f"free{number}"), limited=False)
    asked = await message(store)
    inbox.check(asked)
    await inbox.accept(asked)
    with pytest.raises(TooMany):
        inbox.check(asked)
    with pytest.raises(TooMany):
        await inbox.accept(await message(store, message_id="m2"))
    await inbox.accept(await message(store, message_id="free3"), limited=False)


def test_a_person_may_speak_so_often_and_is_told_when_again() -> None:
    now = 0.0
    rate = Rate(4, lambda: now)
    for _ in range(4):
        rate.spend("anna")
    with pytest.raises(TooMany) as refused:
        rate.spend("anna")
    rate.spend("ben")
    assert refused.value.retry_after == pytest.approx(15)
    now = 15.0
    rate.spend("anna")
    with pytest.raises(ServerError):
        rate.spend("anna")
    now = 1_000.0
    for _ in range(4):
        rate.spend("anna")


def test_no_rate_is_no_limit() -> None:
    rate = Rate(0, lambda: 0.0)
    for _ in range(1_000):
        rate.spend("anna")


def test_of_too_many_people_who_spoke_longest_ago_is_forgotten_and_nobody_else_is_looked_at() -> None:
    rate = Rate(1, lambda: 0.0)
    for number in range(MOST_PEOPLE + 1):
        rate.spend(f"person {number}")
    assert len(rate._free_at) == MOST_PEOPLE
    rate.spend("person 0")
    for number in (2, 0, MOST_PEOPLE):
        with pytest.raises(TooMany):
            rate.spend(f"person {number}")
    began = time.perf_counter()
    for number in range(1_000):
        rate.spend(f"another {number}")
    assert time.perf_counter() - began < 1


def test_people_who_have_been_quiet_are_forgotten() -> None:
    now = 0.0
    rate = Rate(60, lambda: now)
    for number in range(10_000):
        rate.spend(f"person {number}")
    now = 3_600.0
    rate.spend("one more")
    assert len(rate._free_at) == 1
