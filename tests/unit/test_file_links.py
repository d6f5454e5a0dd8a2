"""Links to files that the server serves itself, and the folder in which these are."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from starlette.routing import Route

from server.auth.links import Links
from server.backends.folder import FolderFiles, prepare_folder, shared_secret
from server.backends.folder.paths import UNFINISHED, place_of
from server.entrypoints.files import Bounded
from server.errors import ConfigError, NotFound, Unauthorized
from server.model import File
from server.model.segments import segments_of
from tests.serving import Address, serving_files

PICTURE = File(bytes(range(256)) * 4_000, "image/jpeg")


class Watch:
    now = 1_790_000_000.5

    def __call__(self) -> float:
        return self.now


def later(seconds: int) -> int:
    return int(time.time()) + seconds


def parts_of(url: str) -> tuple[str, str, str]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return parts.path.removeprefix("/files/"), query["until"][0], query["sig"][0]


def test_a_link_is_good_for_as_long_as_was_said() -> None:
    watch = Watch()
    links = Links(b"s", "", watch)
    link = parts_of(links.sign("images/a", math.ceil(watch.now) + 60))
    assert 60 <= links.check(*link) <= 61
    watch.now += 60
    assert links.check(*link) == 1
    watch.now += 1
    with pytest.raises(NotFound) as gone:
        links.check(*link)
    assert gone.value.code == "link_expired"


def test_links_are_of_one_secret() -> None:
    with pytest.raises(Unauthorized):
        Links(b"other", "").check(*parts_of(Links(b"s", "").sign("images/a", later(60))))


@pytest.mark.parametrize(
    "expires", ["", "0", "-1", "1e12", "٣", " 1890000000", "01890000000", "1" * 13, "999999999999"]
)
def test_nobody_makes_a_link_last_longer(expires: str) -> None:
    links = Links(b"s", "")
    key, _, signature = parts_of(links.sign("images/a", later(60)))
    with pytest.raises(Unauthorized):
        links.check(key, expires, signature)


@pytest.mark.parametrize("signature", ["", "é", "\ud800", "A" * 22, "x" * 100_000])
def test_no_signature_crashes_the_check(signature: str) -> None:
    links = Links(b"s", "")
    key, expires, _ = parts_of(links.sign("images/a", later(60)))
    with pytest.raises(Unauthorized):
        links.check(key, expires, signature)


def test_a_link_begins_as_the_world_reaches_us() -> None:
    assert (
        Links(b"s", "https://chat.example.com")
        .sign("a", later(1))
        .startswith("https://chat.example.com/files/a?until=")
    )
    assert Links(b"s", "").sign("a", later(1)).startswith("/files/a?until=")


def test_a_link_to_a_picture_is_short_enough_for_one_text() -> None:
    link = Links(b"s", "https://assistant.of-some-company.com").sign("images/" + "a" * 64, later(60))
    assert segments_of(link) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare_folder(tmp_path / "files")
    return tmp_path / "files"


def folder_files(folder: Path) -> FolderFiles:
    return FolderFiles(folder, Links(shared_secret(folder), "").sign)


def test_what_is_in_the_folder_is_for_us_alone(folder: Path) -> None:
    asyncio.run(folder_files(folder).put("images/a", PICTURE))
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    assert not list((folder / UNFINISHED).iterdir())


def test_who_shares_the_folder_shares_its_secret(folder: Path) -> None:
    secret = shared_secret(folder)
    prepare_folder(folder)
    assert shared_secret(folder) == secret
    assert len(secret) == 32


def test_what_a_dead_process_left_unfinished_goes(folder: Path) -> None:
    old, new = folder / UNFINISHED / "old", folder / UNFINISHED / "new"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    prepare_folder(folder)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"FILES_DIR=.*file"):
        prepare_folder(tmp_path / "file")


def test_a_damaged_secret_is_named(folder: Path) -> None:
    (folder / "links.key").write_bytes(b"short")
    with pytest.raises(ConfigError, match=r"links\.key is damaged"):
        prepare_folder(folder)


def test_no_key_is_a_path(folder: Path) -> None:
    for key in ("../../etc/passwd", "/etc/passwd", "links.key", "a\0"):
        assert place_of(folder, key).is_relative_to(folder)
        assert place_of(folder, key) != folder / "links.key"


async def serve(address: Address, folder: Path) -> str:
    """A link to the picture."""
    links = Links(shared_secret(folder), address.url)
    files = FolderFiles(folder, links.sign)
    await files.put("images/a", PICTURE)
    address.shows(files, links)
    return files.sign("images/a", later(60))


async def test_a_picture_is_served_so_that_no_browser_takes_it_for_something_else(folder: Path) -> None:
    async with serving_files() as address, httpx2.AsyncClient(trust_env=False) as http:
        shown = await http.get(await serve(address, folder))
        assert shown.content == PICTURE.content
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox"
        private, age, *_ = shown.headers["cache-control"].split(", ")
        assert private == "private"
        assert 0 < int(age.removeprefix("max-age=")) <= 61


async def test_head_tells_what_get_would(folder: Path) -> None:
    async with serving_files() as address, httpx2.AsyncClient(trust_env=False) as http:
        head = await http.head(await serve(address, folder))
        assert (head.status_code, head.content) == (200, b"")
        assert (head.headers["content-length"], head.headers["content-type"]) == ("1024000", "image/jpeg")


async def test_every_refusal_has_its_status_and_is_kept_by_nobody(folder: Path) -> None:
    async with serving_files() as address, httpx2.AsyncClient(trust_env=False) as http:
        url = await serve(address, folder)
        links = Links(shared_secret(folder), address.url)
        asked = {
            url.partition("?")[0]: 403,
            f"{address.url}/files/": 403,
            f"{address.url}/files/links.key": 403,
            f"{address.url}/files/..%2f..%2fetc%2fpasswd": 403,
            url + "0": 403,
            links.sign("images/b", later(60)): 404,
            links.sign("a b", later(60)): 400,
            links.sign("images/a", later(-10)): 410,
        }
        for one, status in asked.items():
            answer = await http.get(one)
            assert answer.status_code == status, one
            assert answer.headers["cache-control"] == "no-store"
            assert answer.json()["error"]["requestId"]
        assert (await http.post(url)).status_code == 405


async def test_who_reads_nothing_is_let_go_of() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(64 * 1024)

    class Impatient(Bounded):
        seconds = 0.3

    async with serving_files() as address:
        address.app.router.routes[:] = [Route("/", lambda request: Impatient(endless()))]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.sleep(1)
        async with asyncio.timeout(5):
            while await reader.read(1024 * 1024):
                pass
        writer.close()
