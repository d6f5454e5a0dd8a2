"""Links to files that this server serves itself: who has one may fetch the file, until the link expires."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, urlencode

from server.errors import NotFound, Unauthorized

MOMENT = re.compile(r"[1-9][0-9]{0,11}")
EXPIRED = "link_expired"
# By SMS each character is paid for: 128 bits cannot be guessed.
SIGNATURE_BYTES = 16


class Links:
    """`base` is how the world reaches this server; empty: links begin with a slash, and hold wherever they came from.

    Whoever makes or checks them has the same `secret`.
    """

    def __init__(self, secret: bytes, base: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._base = base
        self._clock = clock

    def sign(self, key: str, until: int) -> str:
        expires = str(until)
        query = urlencode({"until": expires, "sig": self._signature(key, expires)})
        return f"{self._base}/files/{quote(key)}?{query}"

    def check(self, key: str, expires: str, signature: str) -> int:
        """Seconds for which the link is still good, at least 1.

        Raises `Unauthorized` for one that was not made here, and `NotFound` with the code `link_expired`.
        """
        known = MOMENT.fullmatch(expires) is not None
        ours = self._signature(key, expires if known else "")
        if not hmac.compare_digest(ours.encode(), signature.encode(errors="replace")) or not known:
            raise Unauthorized("This link is not in order.", code="bad_link")
        left = math.ceil(int(expires) - self._clock())
        if left <= 0:
            raise NotFound("This link has expired; ask for the picture again.", code=EXPIRED)
        return left

    def _signature(self, key: str, expires: str) -> str:
        digest = hmac.digest(self._secret, f"{expires}\n{key}".encode(errors="replace"), hashlib.sha256)
        return urlsafe_b64encode(digest[:SIGNATURE_BYTES]).rstrip(b"=").decode()
