"""The tool get_inventory, against a shop that answers well or badly."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.assistant.tools.get_inventory import ATTEMPT_SECONDS, ATTEMPTS, PAUSE_SECONDS, Inventory, get_inventory
from server.assistant.tools.toolbox import Tools
from server.model import Caller, ToolCall, ToolResult
from tests.fakes.inventory import BOOKS, Shop, answer


def caller(key: str = "r_1-call_1") -> Caller:
    return Caller("anna", "c_1", "websocket", key)


@asynccontextmanager
async def toolbox(url: str) -> AsyncIterator[Tools]:
    async with Inventory(url, attempt_seconds=0.5) as inventory:
        yield Tools([get_inventory], {Inventory: inventory})


async def ask(shop: Shop, genre: str | None = None, key: str = "r_1-call_1") -> ToolResult:
    async with toolbox(shop.url) as tools:
        return await tools.call(ToolCall("call_1", "get_inventory", json.dumps({"genre": genre})), caller(key))


def given(result: ToolResult) -> Any:
    assert not result.failed, result.output
    return json.loads(result.output)


async def test_all_books_come_with_their_genres() -> None:
    async with Shop() as shop:
        assert given(await ask(shop)) == {"genres": ["fiction", "non-fiction"], "books": BOOKS}
    assert shop.requests[0].startswith("GET /books HTTP/1.1\r\n")


async def test_a_genre_leaves_its_books_and_a_foreign_one_none() -> None:
    async with Shop() as shop:
        assert [book["id"] for book in given(await ask(shop, " Fiction"))["books"]] == [1, 3]
        assert given(await ask(shop, "poetry")) == {"genres": ["fiction", "non-fiction"], "books": []}


@pytest.mark.parametrize(
    ("key", "sent"), [("c_1-12-call_a", "c_1-12-call_a"), ("a\r\nX-Evil: 1", "a%0d%0ax-evil%3a%201")]
)
async def test_every_attempt_of_a_call_carries_its_key(key: str, sent: str) -> None:
    async with Shop(answer(503, b"")) as shop:
        given(await ask(shop, key=key))
    assert len(shop.requests) == 2
    assert all(f"\r\nidempotency-key: {sent}\r\n" in request.lower() for request in shop.requests)


@pytest.mark.parametrize("fault", [answer(500, b"x"), answer(429, b""), b"nonsense\r\n\r\n", None])
async def test_a_fault_that_may_pass_is_asked_again(fault: bytes | None) -> None:
    async with Shop(fault) as shop:
        assert given(await ask(shop))["books"] == BOOKS
    assert len(shop.requests) == 2


async def test_a_shop_that_keeps_failing_is_asked_three_times() -> None:
    async with Shop(*[answer(500, b"secret words")] * 5) as shop:
        result = await ask(shop)
    assert result == ToolResult("call_1", "The inventory does not answer at the moment.", failed=True)
    assert len(shop.requests) == 3


async def test_a_shop_that_says_nothing_is_given_up() -> None:
    async with Shop(None, None, None) as shop:
        began = time.monotonic()
        result = await ask(shop)
        assert 1.5 < time.monotonic() - began < 4
    assert (result.failed, result.output) == (True, "The inventory does not answer at the moment.")


async def test_a_shop_that_never_comes_to_an_end_is_given_up() -> None:
    async with Shop(*[b"HTTP/1.1 200 X\r\nContent-Length: 9999\r\n\r\n["] * 3, drip=True) as shop:
        assert (await ask(shop)).output == "The inventory does not answer at the moment."


def test_all_attempts_fit_into_the_tools_own_time() -> None:
    pauses = sum(PAUSE_SECONDS * attempt for attempt in range(ATTEMPTS))
    assert ATTEMPTS * ATTEMPT_SECONDS + pauses < get_inventory.timeout_seconds


async def test_a_shop_that_is_not_there_is_a_failed_result() -> None:
    async with Shop() as shop:
        url = shop.url
    async with toolbox(url) as tools:
        assert (await tools.call(ToolCall("call_1", "get_inventory", "{}"), caller())).failed


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{}", b"[1]", b"\xff\xfe", b"<html>sorry</html>", b"[" * 10_000, b"[" + b" " * 1024 * 1024 + b"]"],
)
async def test_garbage_is_a_failed_result_and_not_asked_for_again(body: bytes) -> None:
    async with Shop(answer(200, body)) as shop:
        result = await ask(shop)
    assert (result.failed, result.output) == (True, "The inventory is out of order.")
    assert len(shop.requests) == 1


@pytest.mark.parametrize("status", [202, 301, 302, 307, 401, 404])
async def test_no_other_answer_will_do_and_a_redirect_is_not_followed(status: int) -> None:
    async with Shop() as elsewhere, Shop(answer(status, b"[]", f"Location: {elsewhere.url}/books\r\n")) as shop:
        assert (await ask(shop)).failed
    assert (len(shop.requests), elsewhere.requests) == (1, [])
