"""Links to what is in a bucket: S3's own, and ours."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx2
import pytest
from botocore.credentials import RefreshableCredentials

from server.auth.links import Links
from server.backends.s3 import open_s3
from server.backends.s3.files import PIECE_BYTES, SECRET, SECRET_BYTES
from server.backends.s3.signer import Signer, connector
from server.errors import BadInput, ConfigError
from server.model import File
from tests.ministack import Cloud
from tests.serving import serving_files

PICTURE = File(bytes(range(256)) * 8_192 + b"end", "image/jpeg")


class Role:
    """Gives credentials that are to be renewed as soon as they are there. `asked`: on which threads it was asked."""

    def __init__(self) -> None:
        self.asked: list[threading.Thread] = []
        self.credentials = RefreshableCredentials.create_from_metadata(self.renewed(), self.renewed, "test")
        self.asked.clear()

    def renewed(self) -> dict[str, str]:
        self.asked.append(threading.current_thread())
        until = datetime.now(UTC) + timedelta(minutes=5)
        return {
            "access_key": f"AKIA{len(self.asked)}",
            "secret_key": "secret",
            "token": "of-a-role",
            "expiry_time": until.isoformat(),
        }


def signer_of(role: Role) -> Signer:
    return Signer("bucket", role.credentials, connector(boto3.Session(region_name="eu-west-1"), ""))


def signed_by(url: str) -> str:
    return parse_qs(urlsplit(url).query)["X-Amz-Credential"][0].partition("/")[0]


async def test_credentials_are_renewed_on_a_thread_and_never_while_a_link_is_signed() -> None:
    role = Role()
    signer = signer_of(role)
    await asyncio.to_thread(signer.freshen)
    assert {signed_by(signer.url("images/a", 60)) for _ in range(5)} == {"AKIA1"}
    fresh = asyncio.create_task(signer.keep_fresh(every=0.01))
    async with asyncio.timeout(10):
        while signed_by(signer.url("images/a", 60)) == "AKIA1":
            await asyncio.sleep(0.01)
    fresh.cancel()
    assert len(role.asked) >= 2
    assert threading.main_thread() not in role.asked


class Broken:
    def get_frozen_credentials(self) -> Any:
        raise ConnectionError


async def test_links_are_signed_as_before_while_there_are_no_newer_credentials() -> None:
    role = Role()
    signer = signer_of(role)
    signer.freshen()
    signer._credentials = Broken()
    fresh = asyncio.create_task(signer.keep_fresh(every=0.01))
    await asyncio.sleep(0.1)
    assert not fresh.done()
    fresh.cancel()
    assert signed_by(signer.url("images/a", 60)) == "AKIA1"


@pytest.fixture
def bucket(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in cloud.emulator.environment().items():
        monkeypatch.setenv(name, value)
    cloud.empty_bucket()
    return cloud.settings["BUCKET_NAME"]


async def test_who_shares_the_bucket_takes_the_others_links(bucket: str) -> None:
    async with open_s3(bucket) as one, open_s3(bucket) as other:
        first, second = await asyncio.gather(one.shared_secret(), other.shared_secret())
        assert first == second
        assert len(first) == SECRET_BYTES
        for asked in (one.get(SECRET), one.open(SECRET), one.delete(SECRET)):
            with pytest.raises(BadInput):
                await asked


async def test_a_bucket_that_is_not_there_is_a_wrong_setting(bucket: str) -> None:
    with pytest.raises(ConfigError, match="BUCKET_NAME"):
        async with open_s3(f"not-{bucket}"):
            pass


async def test_a_damaged_secret_is_named(bucket: str, cloud: Cloud) -> None:
    cloud.client("s3").put_object(Bucket=bucket, Key=SECRET, Body=b"short")
    async with open_s3(bucket) as files:
        with pytest.raises(ConfigError, match=r"links\.key in the bucket is damaged"):
            await files.shared_secret()


async def test_what_is_in_the_bucket_is_served_by_us_so_that_no_browser_takes_it_for_something_else(
    bucket: str, tmp_path: Path
) -> None:
    assert len(PICTURE.content) > PIECE_BYTES
    async with open_s3(bucket) as files, serving_files() as address, httpx2.AsyncClient(trust_env=False) as http:
        links = Links(await files.shared_secret(), address.url)
        address.shows(files, links)
        await files.put("images/a", PICTURE)
        link = links.sign("images/a", int(time.time()) + 60)
        shown = await http.get(link)
        assert (shown.status_code, shown.content) == (200, PICTURE.content)
        assert shown.headers["x-content-type-options"] == "nosniff"
        head = await http.head(link)
        assert head.headers["content-length"] == str(len(PICTURE.content))
        gone = await http.get(links.sign("images/b", int(time.time()) + 60))
        assert gone.status_code == 404
