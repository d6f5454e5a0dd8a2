"""The door."""

from __future__ import annotations

import pytest

from server.backends.memory import MemoryBell, MemoryStore
from server.channels import websocket
from server.delivery.hub import Hub
from server.delivery.router import Router
from server.errors import BadInput, ServerError, TooMany, Unavailable
from server.inbox.accept import Inbox
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.model import InboundMessage
from tests.unit.wires import connection

MOST_BYTES = 100


class BrokenBell(MemoryBell):
    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        raise Unavailable("no bell")


def door(store: MemoryStore, bell: MemoryBell | None = None) -> tuple[Inbox, Hub]:
    hub = Hub(Metrics())
    rate = Rate(0, lambda: 0)
    router = Router(hub, hub, websocket.encode, window=0)
    return Inbox(store, bell or MemoryBell(), router, rate, Metrics(), most_bytes=MOST_BYTES), hub


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


def test_people_who_have_been_quiet_are_forgotten() -> None:
    now = 0.0
    rate = Rate(60, lambda: now)
    for number in range(10_000):
        rate.spend(f"person {number}")
    now = 3_600.0
    rate.spend("one more")
    assert len(rate._free_at) == 1
