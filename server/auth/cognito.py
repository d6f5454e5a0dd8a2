"""Tokens of an Amazon Cognito user pool, or of one that looks like it.

A key of python-jose checks the signature, and only that: left to itself the library tries every key when a kid is
unknown, passes over `crit` and duplicate header keys, decodes loose base64, and takes a token that never expires. So
nothing reaches it that was not found to be in order before, and nothing it lets through is believed before the claims
are.
"""

from __future__ import annotations

import json
import re
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NoReturn, cast

import structlog

from server.auth.keys import ALGORITHM, KeySource
from server.errors import ConfigError, Unauthorized
from server.model import Principal

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
_HEADER_KEYS = frozenset({"alg", "kid", "typ"})
_TYPES = frozenset({"jwt", "at+jwt"})
# Which claim of which kind of token names the app client that it was made for.
_CLIENT_CLAIM = {"access": "client_id", "id": "aud"}


class CognitoVerifier:
    """`ports.Verifier` for one user pool and its listed app clients.

    Expired tokens that are in order otherwise are refused with the code `expired_token`, all others with `bad_token`.
    Raises `ConfigError` without an issuer, without clients, or for a `token_uses` other than access and id.
    """

    def __init__(
        self,
        issuer: str,
        client_ids: frozenset[str],
        keys: KeySource,
        clock: Callable[[], float] = time.time,
        *,
        token_uses: frozenset[str] = frozenset({"access"}),
    ) -> None:
        if not issuer:
            raise ConfigError("the issuer of tokens is not set")
        if not client_ids or "" in client_ids:
            raise ConfigError(
                "the app client ids are not set: tokens of every client of the user pool would be accepted"
            )
        if not token_uses or not token_uses <= _CLIENT_CLAIM.keys():
            raise ConfigError(f"token uses must be access, id or both, not {sorted(token_uses)}")
        self._issuer = issuer
        self._client_ids = client_ids
        self._keys = keys
        self._clock = clock
        self._token_uses = token_uses

    async def verify(self, token: str) -> Principal:
        try:
            return self._principal(await self._signed(token))
        except _Fault as fault:
            reason = fault.reason
        except Exception as error:  # noqa: BLE001 - what upsets a check has not passed it
            # A hostile token can make a parser raise TypeError, OverflowError, RecursionError and who knows what. No
            # failing dependency hides behind it: a key source never raises.
            reason = f"upset:{type(error).__name__}"
        # Raised out here, because the errors above hold pieces of the token, and a traceback would print them.
        logger.info("token_refused", reason=reason)
        if reason == "expired":
            raise Unauthorized("the token has expired", code="expired_token")
        raise Unauthorized("the token is not accepted", code="bad_token")

    async def _signed(self, token: str) -> dict[str, object]:
        """The claims of a token whose form, header and signature are in order."""
        header, payload, signature = _segments(token)
        kid, claims, signed_with = _kid(header), _decode(payload), _decode(signature)
        key = await self._keys.find(kid)
        if key is None:
            _refuse("unknown_key")
        _require(key.verify(f"{header}.{payload}".encode(), signed_with) is True, "signature")
        return _object(claims, "payload")

    def _principal(self, claims: Mapping[str, object]) -> Principal:
        _require(claims.get("iss") == self._issuer, "issuer")
        self._check_client(claims)
        subject = claims.get("sub")
        if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
            _refuse("subject")
        username = claims.get("username", claims.get("cognito:username", subject))
        if not _is_name(username):
            _refuse("username")
        groups = _groups(claims)
        expires = self._expiry(claims)
        issued = cast(int, claims.get("iat", 0))
        return Principal(subject, str(username), expires, issued, groups)

    def _check_client(self, claims: Mapping[str, object]) -> None:
        use = claims.get("token_use")
        if not isinstance(use, str) or use not in self._token_uses:
            _refuse("token_use")
        _require(self._is_ours(claims.get(_CLIENT_CLAIM[use])), "client")
        # An access token seldom has an audience; one that has it is for whom it says (RFC 7519, 4.1.3).
        _require("aud" not in claims or self._is_ours(claims["aud"]), "audience")

    def _is_ours(self, client: object) -> bool:
        return isinstance(client, str) and client in self._client_ids

    def _expiry(self, claims: Mapping[str, object]) -> int:
        """Last of all checks, so that only who holds a genuine token is told that it is merely too old."""
        now = self._clock()
        for name, latest in (("nbf", now), ("iat", now + CLOCK_SKEW_SECONDS)):
            _require(name not in claims or 0 <= _seconds(claims, name) <= latest, name)
        expires = _seconds(claims, "exp")
        _require(0 < expires <= END_OF_TIME, "exp")
        _require(now < expires, "expired")
        return expires


class _Fault(Exception):
    """What is wrong with a token, as a stable word for our log. Never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _refuse(reason: str) -> NoReturn:
    raise _Fault(reason)


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise _Fault(reason)


def _segments(token: object) -> list[str]:
    """Header, payload and signature of a token in compact form: ASCII, not large."""
    if not isinstance(token, str):
        _refuse("type")
    _require(len(token) <= LARGEST_TOKEN, "size")
    _require(token.isascii(), "form")
    segments = token.split(".", 3)
    _require(len(segments) == 3 and all(segments), "form")
    return segments


def _decode(segment: str) -> bytes:
    """Of canonical base64url."""
    standard = segment.encode().translate(_TO_STANDARD) + b"=" * (-len(segment) % 4)
    try:
        decoded = a2b_base64(standard)
    except ValueError:
        _refuse("base64")
    # The decoder passes over padding, foreign characters and left-over bits; what it made of them reads otherwise.
    _require(b2a_base64(decoded, newline=False) == standard, "base64")
    return decoded


def _object(data: bytes, part: str) -> dict[str, object]:
    _require(data.count(b"{") + data.count(b"[") <= MOST_BRACKETS, f"{part}_nesting")
    try:
        value = _JSON.decode(data.decode())
    except ValueError:
        _refuse(f"{part}_json")
    if not isinstance(value, dict):
        _refuse(f"{part}_json")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    _require(len(made) == len(pairs), "duplicate_key")
    return made


def _not_a_number(_: str) -> NoReturn:
    _refuse("not_a_number")


# Made once: json.loads with these arguments would build a decoder for every token.
_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_not_a_number)


# Tokens of one key begin alike.
@lru_cache(maxsize=64)
def _kid(segment: str) -> str:
    """The key that a header names, which is in order otherwise too."""
    header = _object(_decode(segment), "header")
    _require(header.keys() <= _HEADER_KEYS, "header_keys")
    _require(header.get("alg") == ALGORITHM, "algorithm")
    kind = header.get("typ", "JWT")
    _require(isinstance(kind, str) and kind.lower() in _TYPES, "typ")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_NAME:
        _refuse("kid")
    return kid


def _groups(claims: Mapping[str, object]) -> tuple[str, ...]:
    groups = claims.get("cognito:groups", [])
    if not isinstance(groups, list) or not all(map(_is_name, groups)):
        _refuse("groups")
    return tuple(groups)


def _is_name(value: object) -> bool:
    # Printable shuts out control characters, and lone surrogates, which no store could write.
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _seconds(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    # Not isinstance, which would take True.
    if type(value) is not int:
        _refuse(name)
    return value
