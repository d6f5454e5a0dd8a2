"""Public keys that tokens may be signed with."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol

import httpx2
import structlog
from jose import jwk
from jose.backends.base import Key
from jose.exceptions import JOSEError

from server.errors import ConfigError, Unavailable

logger = structlog.get_logger()

ALGORITHM = "RS256"
SMALLEST_MODULUS_BITS = 2048
LARGEST_DOCUMENT_BYTES = 64 * 1024
SECONDS_BETWEEN_FETCHES = 10.0

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class KeySource(Protocol):
    """Keys by their id."""

    async def find(self, kid: str) -> Key | None:
        """An RS256 public key, ready for jose; None if the issuer has none of that id. Raises `Unavailable` for a key
        that is not known while the issuer cannot be asked.
        """
        ...


class StaticKeys:
    """Keys that are known from the start and do not change."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = dict(keys)

    async def find(self, kid: str) -> Key | None:
        return self._keys.get(kid)


class JwksKeys:
    """The keys at `<issuer>/<document>`, the only place they are taken from.

    Fetched on `hydrate`, for an unknown kid, and when older than `lifetime` seconds; at most once in 10 s, whatever is
    asked. What was fetched last stays in force until a later fetch succeeds. Raises `ConfigError` for an issuer that is
    neither https nor on loopback.
    """

    def __init__(
        self,
        issuer: str,
        *,
        document: str = ".well-known/jwks.json",
        timeout: float = 3.0,
        lifetime: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        encrypted = _encrypted(issuer)
        self._url = f"{issuer.rstrip('/')}/{document}"
        self._timeout = timeout
        self._lifetime = lifetime
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self._closed = False
        # A proxy from the environment cannot reach our loopback. Unpacked on the way, a body would outgrow its limit.
        self._http = httpx2.AsyncClient(
            timeout=timeout, trust_env=encrypted, follow_redirects=False, headers={"Accept-Encoding": "identity"}
        )

    async def __aenter__(self) -> JwksKeys:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._http.aclose()

    async def hydrate(self) -> None:
        """Fetch now, before the first token comes. A failure is logged; no token is judged until a fetch succeeds."""
        await self._refresh()

    async def find(self, kid: str) -> Key | None:
        key = self._keys.get(kid)
        stale = self._clock() - self._fetched_at >= self._lifetime
        # A key that is known is good enough while another caller is fetching.
        if key is None or (stale and self._fetching is None):
            await self._refresh()
            key = self._keys.get(kid)
        if key is None:
            self._check_issuer()
        return key

    def _check_issuer(self) -> None:
        """Raises `Unavailable` if what is known may be too old to say that there is no such key."""
        if self._fetched_at < self._tried_at:
            wait = self._tried_at + SECONDS_BETWEEN_FETCHES - self._clock()
            raise Unavailable(
                "Whoever signs these tokens cannot be asked for its keys. Come again in a moment.",
                code="issuer_away",
                retry_after=max(0, wait),
            )

    async def _refresh(self) -> None:
        """Join the fetch under way, or begin one if it is time."""
        if self._fetching is None:
            if self._closed or self._clock() - self._tried_at < SECONDS_BETWEEN_FETCHES:
                return
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch(), name="jwks")
        # The fetch is nobody's but ours: a caller who hangs up must not take it from the others, nor use up its turn.
        await asyncio.wait([self._fetching])

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                self._keys = read_jwks(json.loads(await self._document()))
            self._fetched_at = self._clock()
            logger.info("jwks_fetched", url=self._url, keys=len(self._keys))
        except (TimeoutError, httpx2.HTTPError, ValueError, RecursionError) as error:
            logger.warning("jwks_not_fetched", url=self._url, error=repr(error), keys_kept=len(self._keys))
        finally:
            self._fetching = None

    async def _document(self) -> bytes:
        body = bytearray()
        async with self._http.stream("GET", self._url) as response:
            if response.status_code != httpx2.codes.OK:
                raise ValueError(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > LARGEST_DOCUMENT_BYTES:
                    raise ValueError("the document is too large")
        return bytes(body)


def read_jwks(document: object) -> dict[str, Key]:
    """The usable keys of a JWKS document, by kid; others are left out. Raises ValueError if none is usable."""
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS document")  # noqa: TRY004 - the type of what was sent, not of an argument
    found = {entry["kid"]: key for entry in entries if (key := _usable_key(entry)) is not None}
    if not found:
        raise ValueError("no usable key")
    return found


def _usable_key(entry: object) -> Key | None:
    if not isinstance(entry, Mapping) or not _meant_for_us(entry):
        return None
    try:
        # Nothing else of the entry reaches jose, which would also take private parts, or a modulus in loose base64.
        key = jwk.construct({"kty": "RSA", "n": entry["n"], "e": entry["e"]}, ALGORITHM)
    except (JOSEError, ValueError):
        return None
    return key if key.prepared_key.key_size >= SMALLEST_MODULUS_BITS else None


def _meant_for_us(entry: Mapping[str, object]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        isinstance(entry.get("kid"), str)
        and entry.get("kty") == "RSA"
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", ALGORITHM) == ALGORITHM
        and isinstance(operations, list)
        and "verify" in operations
        and _is_base64url(entry.get("n"))
        and _is_base64url(entry.get("e"))
    )


def _is_base64url(value: object) -> bool:
    return isinstance(value, str) and _BASE64URL.fullmatch(value) is not None


def _encrypted(issuer: str) -> bool:
    """Whether the issuer is spoken to over TLS; `ConfigError` if it is not and should be."""
    try:
        url = httpx2.URL(issuer)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"the issuer {issuer!r} is not a URL: {error}") from error
    bare = bool(url.host) and not (url.userinfo or url.query or url.fragment)
    if bare and url.scheme == "https":
        return True
    if bare and url.scheme == "http" and _is_loopback(url.host):
        return False
    raise ConfigError(f"the issuer {issuer!r} must be an https URL (http only on loopback), without query or password")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
