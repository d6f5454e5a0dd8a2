"""Kinds of settings."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
E164 = r"^(\+[1-9][0-9]{6,14})?$"
GUID = r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$"


def words(text: Any) -> Any:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if isinstance(text, str) else text


def is_url(url: str) -> str:
    if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise ValueError("is no URL; write it like https://example.com")
    return url.rstrip("/")


def is_private(url: str) -> bool:
    """Nobody on the way reads what is sent there."""
    return urlsplit(url).scheme == "https" or urlsplit(url).hostname in LOOPBACK


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)]
Url = Annotated[str, AfterValidator(is_url)]
