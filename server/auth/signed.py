"""A JSON Web Token, taken apart with suspicion: its form, its header, its signature, its times.

A key of python-jose checks the signature, and only that: left to itself the library tries every key when a kid is
unknown, passes over `crit` and duplicate header keys, decodes loose base64, and takes a token that never expires. So
nothing reaches it that was not found to be in order before, and nothing it lets through is believed before the claims
are.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from typing import Final, NoReturn, TypeVar

import structlog

from server.auth.keys import ALGORITHM, KeySource
from server.errors import Unauthorized, Unavailable

logger = structlog.get_logger()

LARGEST_TOKEN: Final = 8 * 1024
LONGEST_NAME: Final = 128
# More brackets than any token has: they bound how deep the parser can be led, on every Python alike.
MOST_BRACKETS: Final = 128
# Our clock may run behind the issuer's; by more than this it is not the clock.
CLOCK_SKEW_SECONDS: Final = 60
# The year 9999: what comes after cannot be shown as a date.
END_OF_TIME: Final = 253_402_300_799

_SUBJECT = re.compile(r"[A-Za-z0-9._:@+=,-]{1,128}")
# Base64url to base64. What only the latter has becomes foreign.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/   ")
HEADER_KEYS: Final = frozenset({"alg", "kid", "typ"})
_TYPES = frozenset({"jwt", "at+jwt"})

Made = TypeVar("Made")


async def judged(judgement: Awaitable[Made]) -> Made:
    """Its result; `Unauthorized`, and a word in the log, for whatever is wrong with the token. Raises `Unavailable` if
    nobody can say.
    """
    try:
        return await judgement
    except Fault as fault:
        reason = fault.reason
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - what upsets a check has not passed it
        # A hostile token can make a parser raise TypeError, OverflowError, RecursionError and who knows what. No
        # failing dependency hides behind it: all that a key source raises is let through above.
        reason = f"upset:{type(error).__name__}"
    # Raised out here, because the errors above hold pieces of the token, and a traceback would print them.
    logger.info("token_refused", reason=reason)
    if reason == "expired":
        raise Unauthorized("the token has expired", code="expired_token")
    raise Unauthorized("the token is not accepted", code="bad_token")


async def signed_claims(
    token: object, keys: KeySource, *, header_keys: frozenset[str] = HEADER_KEYS
) -> dict[str, object]:
    """The claims of a token whose form, header and signature are in order. Raises `Fault`, and anything."""
    header, payload, signature = _segments(token)
    kid, claims, signed_with = _kid(header, header_keys), _decode(payload), _decode(signature)
    key = await keys.find(kid)
    if key is None:
        refuse("unknown_key")
    require(key.verify(f"{header}.{payload}".encode(), signed_with) is True, "signature")
    return _object(claims, "payload")


def subject_of(claims: Mapping[str, object]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
        refuse("subject")
    return subject


def expiry_of(claims: Mapping[str, object], now: float) -> int:
    """Last of all checks, so that only who holds a genuine token is told that it is merely too old."""
    for name, latest in (("nbf", now), ("iat", now + CLOCK_SKEW_SECONDS)):
        require(name not in claims or 0 <= _seconds(claims, name) <= latest, name)
    expires = _seconds(claims, "exp")
    require(0 < expires <= END_OF_TIME, "exp")
    require(now < expires, "expired")
    return expires


class Fault(Exception):
    """What is wrong with a token, as a stable word for our log. Never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refuse(reason: str) -> NoReturn:
    raise Fault(reason)


def require(holds: bool, reason: str) -> None:
    if not holds:
        raise Fault(reason)


def _segments(token: object) -> list[str]:
    """Header, payload and signature of a token in compact form: ASCII, not large."""
    if not isinstance(token, str):
        refuse("type")
    require(len(token) <= LARGEST_TOKEN, "size")
    require(token.isascii(), "form")
    segments = token.split(".", 3)
    require(len(segments) == 3 and all(segments), "form")
    return segments


def _decode(segment: str) -> bytes:
    """Of canonical base64url."""
    standard = segment.encode().translate(_TO_STANDARD) + b"=" * (-len(segment) % 4)
    try:
        decoded = a2b_base64(standard)
    except ValueError:
        refuse("base64")
    # The decoder passes over padding, foreign characters and left-over bits; what it made of them reads otherwise.
    require(b2a_base64(decoded, newline=False) == standard, "base64")
    return decoded


def _object(data: bytes, part: str) -> dict[str, object]:
    require(data.count(b"{") + data.count(b"[") <= MOST_BRACKETS, f"{part}_nesting")
    try:
        value = _JSON.decode(data.decode())
    except ValueError:
        refuse(f"{part}_json")
    if not isinstance(value, dict):
        refuse(f"{part}_json")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    require(len(made) == len(pairs), "duplicate_key")
    return made


def _not_a_number(_: str) -> NoReturn:
    refuse("not_a_number")


# Made once: json.loads with these arguments would build a decoder for every token.
_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_a_number)


# Tokens of one key begin alike.
@lru_cache(maxsize=64)
def _kid(segment: str, header_keys: frozenset[str]) -> str:
    """The key that a header names, which is in order otherwise too."""
    header = _object(_decode(segment), "header")
    require(header.keys() <= header_keys, "header_keys")
    require(header.get("alg") == ALGORITHM, "algorithm")
    kind = header.get("typ", "JWT")
    require(isinstance(kind, str) and kind.lower() in _TYPES, "typ")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_NAME:
        refuse("kid")
    return kid


def is_name(value: object) -> bool:
    # Printable shuts out control characters, and lone surrogates, which no store could write.
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _seconds(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    # Not isinstance, which would take True.
    if type(value) is not int:
        refuse(name)
    return value
