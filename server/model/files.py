"""Files that go with what is said."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from server.errors import BadInput

MOST_FILE_BYTES = 16 * 1024 * 1024

SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
KEY = re.compile(rf"{SEGMENT}(?:/{SEGMENT}){{0,3}}")
LONGEST_KEY = 200
CONTENT_TYPE = re.compile(r"[a-z0-9.+-]{1,64}/[a-z0-9.+-]{1,64}")
# What browsers show and never run.
PICTURES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


@dataclass(frozen=True, slots=True)
class File:
    """`content_type` is what it is served as."""

    content: bytes = field(repr=False)
    content_type: str


def check_key(key: str) -> None:
    """One to four names with slashes between, at most 200 characters. Raises `BadInput`."""
    if len(key) > LONGEST_KEY or not KEY.fullmatch(key):
        raise BadInput("This is no key of a file.")


def check_file(key: str, file: File) -> None:
    """Raises `BadInput` for what no backend keeps."""
    check_key(key)
    if not CONTENT_TYPE.fullmatch(file.content_type):
        raise BadInput("The file's type is none; it looks like image/png.")
    if len(file.content) > MOST_FILE_BYTES:
        raise BadInput(f"The file has {len(file.content)} bytes, at most {MOST_FILE_BYTES} are kept.")


def disposition(content_type: str) -> str:
    """The header that keeps a browser from running what it is given."""
    ending = PICTURES.get(content_type)
    return f'inline; filename="picture.{ending}"' if ending else "attachment"
