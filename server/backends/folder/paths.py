"""The folder on the disk: what is where in it, and how something comes there whole, and once."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from server.errors import ConfigError, ServerError, Unavailable

UNFINISHED = "unfinished"
SECRET = "links.key"  # noqa: S105  The file's name.
SECRET_BYTES = 32
# Nobody writes at one file for so long.
STALE_SECONDS = 3600


@contextmanager
def folder_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The folder of files cannot be used ({error.strerror}).") from error


def place_of(folder: Path, key: str) -> Path:
    """By its hash: no key can name a path, and no directory grows without end."""
    name = sha256(key.encode()).hexdigest()
    return folder / name[:2] / name[2:]


def prepare_folder(folder: Path) -> None:
    """Raises `ConfigError` that names the folder where it cannot be used."""
    try:
        make_private(folder)
        make_private(folder / UNFINISHED)
        forget_unfinished(folder)
        # Also tries what `write_once` needs of the file system.
        write_once(folder, folder / SECRET, (secrets.token_bytes(SECRET_BYTES),))
        shared_secret(folder)
    except (OSError, ServerError) as error:
        raise ConfigError(
            f"FILES_DIR={folder} cannot be used ({error}); take a folder that this user may write to, on a file system"
            " with hard links."
        ) from error


def shared_secret(folder: Path) -> bytes:
    """For links: who shares the folder shares it, too. Raises `ConfigError` if it is damaged."""
    found = (folder / SECRET).read_bytes()
    if len(found) != SECRET_BYTES:
        raise ConfigError(f"{folder / SECRET} is damaged; delete it, and links that were given out hold no more.")
    return found


def make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_once(folder: Path, place: Path, pieces: tuple[bytes, ...]) -> bool:
    """Whole, on the disk, and readable by us alone; False if something is there already."""
    unfinished = folder / UNFINISHED / secrets.token_hex(16)
    try:
        write_durably(unfinished, pieces)
        make_private(place.parent)
        try:
            # Unlike a rename, it never puts one file in place of another.
            os.link(unfinished, place)
        except FileExistsError:
            return False
        sync_directory(place.parent)
        sync_directory(folder)
        return True
    finally:
        unfinished.unlink(missing_ok=True)


def write_durably(path: Path, pieces: tuple[bytes, ...]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(descriptor)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def forget_unfinished(folder: Path) -> None:
    """What a process left that died while it wrote."""
    for path in (folder / UNFINISHED).iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - STALE_SECONDS:
                path.unlink()
