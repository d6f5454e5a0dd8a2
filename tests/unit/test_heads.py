"""What the one server of a database remembers of it: never what is no longer so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.backends.sql import SqlBackend, open_sql
from server.backends.sql.heads import Heads
from server.model import Conversation, DeadLetter, Draft, InboundMessage, Question

HEAD = Conversation("c_1", "anna", "websocket", "a", "epoch", 0, 0, 0, 0)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
async def store(path: str) -> AsyncIterator[SqlBackend]:
    async with open_sql(path, sole=True, lease_seconds=30, most_waiting=10) as opened:
        yield opened


def test_what_was_read_before_a_change_is_not_learned_after_it() -> None:
    heads = Heads(10)
    before = heads.moves
    with heads.moving("anna"):
        during = heads.moves
        heads.learn(HEAD, during)
        assert heads.get("anna", "websocket") is None
    for moves in (before, during):
        heads.learn(HEAD, moves)
        assert heads.get("anna", "websocket") is None
    heads.learn(HEAD, heads.moves)
    assert heads.get("anna", "websocket") == HEAD
    assert heads.get("anna", "sms") is None


def test_a_change_that_is_refused_is_over_and_one_that_is_cancelled_may_not_be() -> None:
    heads = Heads(10)
    for end, known in ((ValueError, HEAD), (asyncio.CancelledError, None)):
        with suppress(end), heads.moving("anna"):
            raise end
        heads.learn(HEAD, heads.moves)
        assert heads.get("anna", "websocket") == known


def test_of_two_changes_at_once_the_last_one_counts() -> None:
    heads = Heads(10)
    first, second = heads.moving("anna"), heads.moving("anna")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    heads.learn(HEAD, heads.moves)
    assert heads.get("anna", "websocket") is None
    second.__exit__(None, None, None)
    heads.learn(HEAD, heads.moves)
    assert heads.get("anna", "websocket") == HEAD


def test_the_one_learned_first_makes_room() -> None:
    heads = Heads(2)
    for person in ("anna", "ben", "anna", "cleo"):
        heads.learn(replace(HEAD, person=person), heads.moves)
    assert [heads.get(person, "websocket") is None for person in ("anna", "ben", "cleo")] == [False, True, False]


async def current(store: SqlBackend) -> Conversation:
    return await store.current("anna", "websocket", "a")


async def test_a_conversation_that_does_not_change_is_read_once(
    store: SqlBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await current(store)
    assert await current(store) == made

    async def read(_operation: Any) -> None:
        raise AssertionError("read again")

    # The seam is the database's own: no other way shows that it was not asked.
    monkeypatch.setattr(store._database, "read", read)
    assert await current(store) == made


async def test_what_an_operator_asks_again_from_another_process_is_seen_at_once(store: SqlBackend, path: str) -> None:
    opened = await current(store)
    await store.accept(InboundMessage("anna", opened.id, "m1", "hi"))
    lease = await store.take(opened.id, "w")
    assert lease is not None
    await store.answer(lease, Draft("sorry", "error", code="timeout"))
    assert [(await current(store)).offset for _ in range(3)] == [2, 2, 2]
    async with open_sql(path, sole=False, lease_seconds=30, most_waiting=10) as operator:
        await operator.requeue(await operator.dead_letter(opened.id, 1))
    assert [(await current(store)).offset for _ in range(3)] == [3, 3, 3]


async def test_a_letter_that_was_not_on_file_is_asked_again_all_the_same(store: SqlBackend) -> None:
    opened = [await current(store) for _ in range(2)][-1]
    await store.requeue(DeadLetter(opened.id, "anna", Question(1, "m1", "hi", 0), "timeout", 1, 0))
    assert [(await current(store)).offset for _ in range(3)] == [1, 1, 1]


async def test_a_message_whose_sender_no_longer_waits_is_seen_when_it_is_there(store: SqlBackend) -> None:
    opened = await current(store)
    release = threading.Event()
    blocking = asyncio.create_task(store._database.write(lambda _connection: release.wait(5)))
    await asyncio.sleep(0.05)
    sending = asyncio.create_task(store.accept(InboundMessage("anna", opened.id, "m1", "hi")))
    await asyncio.sleep(0)
    sending.cancel()
    assert [(await current(store)).offset for _ in range(3)] == [0, 0, 0]
    release.set()
    await blocking
    await store.forget()
    assert [(await current(store)).offset for _ in range(3)] == [1, 1, 1]
