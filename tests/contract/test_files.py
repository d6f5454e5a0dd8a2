"""Every store of files: once under a key, whole, and shown by links that end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx2
import pytest

from server.auth.links import Links
from server.backends.folder import FolderFiles, prepare_folder, shared_secret
from server.backends.memory import MemoryFiles
from server.backends.s3 import open_s3
from server.errors import BadInput, NotFound
from server.model import MOST_FILE_BYTES, File
from server.ports import ServedFiles
from tests.ministack import Cloud
from tests.serving import serving_files

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[ServedFiles]]

PICTURE = File(b"\x89PNG\r\n\x1a\nnot really\n\x00\xff", "image/png")
HOUR = 3600


@pytest.fixture(params=["memory", "folder", "s3"])
def open_files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens the store again and again, with what was kept in it. Its links can be fetched while it is open."""
    match request.param:
        case "memory":
            return memory_opener()
        case "folder":
            return lambda: folder_opener(tmp_path / "files")
        case _:
            cloud: Cloud = request.getfixturevalue("cloud")
            for name, value in cloud.emulator.environment().items():
                monkeypatch.setenv(name, value)
            cloud.empty_bucket()
            return lambda: open_s3(cloud.settings["BUCKET_NAME"])


def memory_opener() -> Opener:
    kept = MemoryFiles(lambda key, seconds: "")

    @asynccontextmanager
    async def opened() -> AsyncIterator[ServedFiles]:
        async with serving_files() as address:
            links = Links(b"secret", address.url)
            kept.sign = links.sign
            address.shows(kept, links)
            yield kept

    return opened


@asynccontextmanager
async def folder_opener(folder: Path) -> AsyncIterator[ServedFiles]:
    prepare_folder(folder)
    async with serving_files() as address:
        links = Links(shared_secret(folder), address.url)
        files = FolderFiles(folder, links.sign)
        address.shows(files, links)
        yield files


@pytest.fixture
async def files(open_files: Opener) -> AsyncIterator[ServedFiles]:
    async with open_files() as opened:
        yield opened


async def fetch(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as http:
        return await http.get(url)


async def test_what_is_put_is_there_as_it_was(open_files: Opener) -> None:
    async with open_files() as files:
        assert await files.put("images/a1", PICTURE)
    async with open_files() as files:
        assert await files.get("images/a1") == PICTURE
        assert await files.holds("images/a1")


async def test_a_key_has_one_content(files: ServedFiles) -> None:
    assert await files.put("images/a1", PICTURE)
    assert not await files.put("images/a1", File(b"other", "image/jpeg"))
    assert await files.get("images/a1") == PICTURE


async def test_of_many_who_put_at_once_one_is_first(files: ServedFiles) -> None:
    many = [File(b"%d" % number * 1000, "image/png") for number in range(8)]
    first = await asyncio.gather(*(files.put("images/a1", one) for one in many))
    assert first.count(True) == 1
    assert await files.get("images/a1") == many[first.index(True)]


async def test_what_is_not_there_is_not_found(files: ServedFiles) -> None:
    assert not await files.holds("images/a1")
    with pytest.raises(NotFound):
        await files.get("images/a1")
    with pytest.raises(NotFound):
        await files.open("images/a1")
    await files.delete("images/a1")


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024 + 1])
async def test_what_is_there_can_be_read_piece_by_piece(files: ServedFiles, size: int) -> None:
    file = File(bytes(range(256)) * (size // 256) + bytes(size % 256), "image/png")
    await files.put("images/a1", file)
    content_type, told, pieces = await files.open("images/a1")
    assert (content_type, told) == ("image/png", size)
    assert b"".join([piece async for piece in pieces]) == file.content


async def test_what_is_deleted_can_be_put_anew(files: ServedFiles) -> None:
    await files.put("images/a1", PICTURE)
    await files.delete("images/a1")
    assert not await files.holds("images/a1")
    assert await files.put("images/a1", File(b"", "text/plain"))
    assert await files.get("images/a1") == File(b"", "text/plain")


async def test_keys_that_look_alike_are_different(files: ServedFiles) -> None:
    for key in ("a", "A", "a/a", "a-a", "a.a"):
        assert await files.put(key, File(key.encode(), "text/plain"))
    for key in ("a", "A", "a/a", "a-a", "a.a"):
        assert (await files.get(key)).content == key.encode()


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/", ".hidden", "a b", "a\0", "ä", "a/b/c/d/e", "a" * 201]
)
async def test_what_is_no_key_is_refused(files: ServedFiles, key: str) -> None:
    for asked in (files.put(key, PICTURE), files.get(key), files.holds(key), files.open(key), files.delete(key)):
        with pytest.raises(BadInput):
            await asked


async def test_what_no_store_keeps_is_refused(files: ServedFiles) -> None:
    for file in (File(b"x", "image/png\r\nset-cookie: a=b"), File(bytes(MOST_FILE_BYTES + 1), "image/png")):
        with pytest.raises(BadInput):
            await files.put("a", file)
    assert not await files.holds("a")


def later(seconds: int) -> int:
    return int(time.time()) + seconds


async def test_a_link_shows_the_file_to_anyone(files: ServedFiles) -> None:
    await files.put("images/a1", PICTURE)
    shown = await fetch(files.sign("images/a1", later(HOUR)))
    assert (shown.status_code, shown.content) == (200, PICTURE.content)
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["content-disposition"] == 'inline; filename="picture.png"'
    assert "private" in shown.headers["cache-control"]


async def test_what_is_no_picture_is_for_saving_only(files: ServedFiles) -> None:
    await files.put("a", File(b"<script>alert(1)</script>", "text/html"))
    shown = await fetch(files.sign("a", later(HOUR)))
    assert shown.headers["content-disposition"] == "attachment"


async def test_a_link_ends(files: ServedFiles) -> None:
    await files.put("a", PICTURE)
    url = files.sign("a", later(3))
    assert (await fetch(url)).status_code == 200
    async with asyncio.timeout(10):
        while (await fetch(url)).status_code == 200:
            await asyncio.sleep(0.2)
    assert (await fetch(url)).status_code in {403, 410}


async def test_a_forged_link_shows_nothing(files: ServedFiles) -> None:
    await files.put("a", PICTURE)
    await files.put("b", PICTURE)
    url = files.sign("a", later(HOUR))
    parts = urlsplit(url)
    forged = [
        url.replace("/a?", "/b?"),
        f"{url[:-2]}{'AA' if not url.endswith('AA') else 'BB'}",
        url.replace("xpires=", "xpires=9").replace("until=", "until=9"),
        f"{parts.scheme}://{parts.netloc}{parts.path}",
    ]
    for one in forged:
        assert one != url
        assert (await fetch(one)).status_code in {400, 403}, one


async def test_a_link_to_nothing_shows_nothing(files: ServedFiles) -> None:
    assert (await fetch(files.sign("a", later(HOUR)))).status_code == 404
