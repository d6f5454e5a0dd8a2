"""The bucket."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig

from server.backends.s3.errors import Missing, Taken, s3_errors, wrong_settings
from server.backends.s3.signer import Signer, make_signer
from server.errors import ConfigError, NotFound
from server.model import File, check_file, check_key, disposition

CONFIG = AioConfig(
    connect_timeout=3,
    read_timeout=10,
    max_pool_connections=64,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 3},
)
# No content of a key ever changes. Browsers keep it, proxies do not.
CACHING = "private, max-age=3600, immutable"
# Most pictures are one.
PIECE_BYTES = 1024 * 1024
# No key of a file begins with a dot.
SECRET = ".links.key"  # noqa: S105  The object's name.
SECRET_BYTES = 32

# In an object's metadata: which call of `put` put it there.
MARK = "put"


class S3Files:
    """Implements the port ServedFiles; `sign` leads to S3 itself."""

    def __init__(self, client: Any, bucket: str, signer: Signer) -> None:
        self._client = client
        self._bucket = bucket
        self._signer = signer

    async def check(self) -> None:
        """Raises `ConfigError` where there is no such bucket for us."""
        with wrong_settings():
            try:
                async with s3_errors():
                    await self._client.head_bucket(Bucket=self._bucket)
            except Missing:
                raise ConfigError(f"BUCKET_NAME={self._bucket}: there is no such bucket.") from None

    async def shared_secret(self) -> bytes:
        """For links to this server: who shares the bucket shares it, too. Raises `ConfigError` if it is damaged."""
        with wrong_settings():
            await self._put(SECRET, secrets.token_bytes(SECRET_BYTES))
            found, _ = await self._fetch(SECRET)
        if len(found) != SECRET_BYTES:
            raise ConfigError(
                f"{SECRET} in the bucket is damaged; delete it, and links that were given out hold no more."
            )
        return found

    async def put(self, key: str, file: File) -> bool:
        check_file(key, file)
        return await self._put(
            key,
            file.content,
            ContentType=file.content_type,
            ContentDisposition=disposition(file.content_type),
            CacheControl=CACHING,
        )

    async def get(self, key: str) -> File:
        check_key(key)
        return File(*await self._fetch(key))

    async def open(self, key: str) -> tuple[str, int, AsyncIterator[bytes]]:
        check_key(key)
        found = await self._look(key)
        if found is None:
            raise NotFound("There is no such file.")
        return found["ContentType"], found["ContentLength"], self._pieces(key, found["ContentLength"])

    async def holds(self, key: str) -> bool:
        check_key(key)
        return await self._look(key) is not None

    async def delete(self, key: str) -> None:
        check_key(key)
        async with s3_errors():
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    def sign(self, key: str, until: int) -> str:
        return self._signer.url(key, max(1, until - int(time.time())))

    async def _put(self, key: str, content: bytes, **told: str) -> bool:
        mark = secrets.token_hex(8)
        try:
            async with s3_errors():
                await self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=content, Metadata={MARK: mark}, IfNoneMatch="*", **told
                )
        except Taken:
            return await self._mark_of(key) == mark
        return True

    async def _mark_of(self, key: str) -> str:
        """A client that hears nothing asks again by itself, and then its first try is in the way of its second."""
        there = await self._look(key)
        return str(there["Metadata"].get(MARK, "")) if there else ""

    async def _look(self, key: str) -> Any:
        try:
            async with s3_errors():
                return await self._client.head_object(Bucket=self._bucket, Key=key)
        except Missing:
            return None

    async def _fetch(self, key: str, **what: str) -> tuple[bytes, str]:
        """Its content and its type."""
        try:
            async with s3_errors():
                answer = await self._client.get_object(Bucket=self._bucket, Key=key, **what)
                async with answer["Body"] as body:
                    return await body.read(), answer["ContentType"]
        except Missing:
            raise NotFound("There is no such file.") from None

    async def _pieces(self, key: str, size: int) -> AsyncIterator[bytes]:
        """Each is asked for anew: a reader who does not read keeps no connection."""
        for begin in range(0, size, PIECE_BYTES):
            piece, _ = await self._fetch(key, Range=f"bytes={begin}-{begin + PIECE_BYTES - 1}")
            yield piece


@asynccontextmanager
async def open_s3(bucket: str, *, region: str = "", endpoint_url: str = "") -> AsyncIterator[S3Files]:
    """Where `region` and `endpoint_url` are empty, AWS's own environment variables and rules say. Raises `ConfigError`
    where there is no such bucket for us.
    """
    async with AsyncExitStack() as stack:
        with wrong_settings():
            async with s3_errors():
                signer = await asyncio.to_thread(make_signer, bucket, region, endpoint_url)
                session = aioboto3.Session(region_name=region or None)
                client = session.client("s3", endpoint_url=endpoint_url or None, config=CONFIG)
                s3 = await stack.enter_async_context(client)
        if signer is None:
            raise ConfigError("S3 cannot be used: there are no AWS credentials.")
        files = S3Files(s3, bucket, signer)
        await files.check()
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        fresh = tasks.create_task(signer.keep_fresh())
        stack.callback(fresh.cancel)
        yield files
