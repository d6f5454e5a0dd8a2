"""Where files are, and how people come to them."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.auth.links import Links
from server.backends.folder import FolderFiles, prepare_folder, shared_secret
from server.backends.memory import MemoryFiles
from server.backends.pillow import Redrawer
from server.ports import Redraw, ServedFiles
from server.settings import Settings
from server.wiring.stores import make_data_dir

if TYPE_CHECKING:
    from server.backends.s3 import S3Files


@dataclass(frozen=True, slots=True)
class Shelf:
    """`links` lead to this server, which then serves the files itself; None where it gives nobody any. `redraw` is for
    pictures of unknown origin, before they are put there.
    """

    files: ServedFiles
    seconds: int
    links: Links | None = None
    redraw: Redraw = field(default_factory=Redrawer)

    def sign(self, key: str) -> str:
        """A link that is good from now on. Without PUBLIC_URL, one of our own begins with a slash."""
        return self.files.sign(key, self._end(time.time()))

    def sign_for_phone(self, key: str, at: int) -> str:
        """One that is good from a moment on, in ms since 1970: our own, for S3's are as long as ten texts."""
        signing = self.links or self.files
        return signing.sign(key, self._end(at / 1000))

    def _end(self, begin: float) -> int:
        return math.ceil(begin) + self.seconds


async def open_files(settings: Settings, stack: AsyncExitStack) -> Shelf:
    """Raises `ConfigError` where there is no such bucket for us, or the folder cannot be used."""
    if settings.bucket_name:
        bucket = await open_bucket(settings, stack)
        ours = Links(await bucket.shared_secret(), settings.public_url) if settings.public_url else None
        return Shelf(bucket, settings.image_url_seconds, ours)
    if settings.backend == "memory" and settings.files_dir is None:
        links = Links(secrets.token_bytes(32), settings.public_url)
        return Shelf(MemoryFiles(links.sign), settings.image_url_seconds, links)
    if settings.files_dir is None:
        make_data_dir(settings)
    folder = (settings.files_dir or settings.data_dir / "files").absolute()
    await asyncio.to_thread(prepare_folder, folder)
    # Kept with the files: processes that share them take each other's links, and no others do.
    links = Links(shared_secret(folder), settings.public_url)
    return Shelf(FolderFiles(folder, links.sign), settings.image_url_seconds, links)


async def open_bucket(settings: Settings, stack: AsyncExitStack) -> S3Files:
    # AWS's libraries take their time to load: only who uses them waits for them.
    from server.backends.s3 import open_s3

    bucket = open_s3(settings.bucket_name, region=settings.aws_region, endpoint_url=settings.aws_endpoint_url)
    return await stack.enter_async_context(bucket)
