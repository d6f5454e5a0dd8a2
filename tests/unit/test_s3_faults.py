"""What lies between a bucket and us: answers that are lost, and a store of files that is busy or broken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from server.backends.s3 import open_s3
from server.errors import Unavailable
from server.model import File
from server.ports import Files
from tests.fakes.faulty_dynamodb import Fault, Proxy, faulty_dynamodb
from tests.ministack import Cloud

PICTURE = File(b"a picture", "image/png")
OTHER = File(b"another", "image/png")
# Of our client, and of what it sends requests with.
MOST_TRIES = 6
Call: TypeAlias = Callable[[Files], Awaitable[object]]


@pytest.fixture
async def proxy(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    cloud.empty_bucket()
    async with faulty_dynamodb(cloud.emulator.url) as opened:
        yield opened


@pytest.fixture
async def files(proxy: Proxy, cloud: Cloud) -> AsyncIterator[Files]:
    async with open_s3(cloud.settings["BUCKET_NAME"], endpoint_url=proxy.url) as opened:
        yield opened


async def test_a_file_whose_first_answer_was_lost_was_not_there_before(files: Files, proxy: Proxy) -> None:
    proxy.spoil("PUT", Fault.UNHEARD)
    assert await files.put("images/a", PICTURE)
    assert proxy.calls["PUT"] == 2
    assert not await files.put("images/a", PICTURE)


async def test_a_file_of_another_is_still_told_apart(files: Files, proxy: Proxy) -> None:
    async def another() -> None:
        await files.put("images/a", OTHER)

    proxy.meanwhile("PUT", another)
    assert not await files.put("images/a", PICTURE)
    assert await files.get("images/a") == OTHER


CALLS: dict[str, Call] = {
    "PUT": lambda files: files.put("images/b", OTHER),
    "GET": lambda files: files.get("images/a"),
    "HEAD": lambda files: files.holds("images/a"),
    "DELETE": lambda files: files.delete("images/a"),
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.BROKEN, Fault.UNHEARD])
async def test_a_fault_that_passes_is_not_noticed(files: Files, proxy: Proxy, method: str, fault: Fault) -> None:
    await files.put("images/a", PICTURE)
    proxy.spoil(method, fault)
    assert await CALLS[method](files) in (True, PICTURE, None)


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.BROKEN, Fault.UNHEARD])
async def test_a_fault_that_stays_is_told(files: Files, proxy: Proxy, method: str, fault: Fault) -> None:
    await files.put("images/a", PICTURE)
    proxy.spoil(method, *[fault] * MOST_TRIES)
    with pytest.raises(Unavailable):
        await CALLS[method](files)
