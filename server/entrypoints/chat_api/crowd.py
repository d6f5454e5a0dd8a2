"""How many may wait here, and how fast somebody without a token may ask."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from server.errors import TooMany

# All of it is one customer's.
IPV6_PREFIX = 64


class Crowd:
    """Requests that wait for their answers: so many in all, and of one person or address."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def place(self, who: str) -> Iterator[None]:
        """Raises `TooMany`."""
        if self._waiting[who] >= self._most_each:
            raise TooMany(
                f"{self._most_each} requests of yours wait for their answers; wait for one.",
                code="too_many_requests",
                retry_after=1,
            )
        if self._waiting.total() >= self._most:
            raise TooMany("The server is full; try again later.", code="too_many_requests", retry_after=5)
        self._waiting[who] += 1
        try:
            yield
        finally:
            self._waiting[who] -= 1
            if not self._waiting[who]:
                del self._waiting[who]


def address_of(scope: Scope) -> str:
    """Where it comes from, as far as one customer can be told from another."""
    host, _ = scope.get("client") or ("", 0)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return str(address)
