"""Tokens of an Amazon Cognito user pool, or of one that looks like it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import cast

from server.auth.keys import KeySource
from server.auth.signed import expiry_of, is_name, judged, refuse, require, signed_claims, subject_of
from server.errors import ConfigError
from server.model import Principal

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
        return await judged(self._verify(token))

    async def _verify(self, token: str) -> Principal:
        return self._principal(await signed_claims(token, self._keys))

    def _principal(self, claims: Mapping[str, object]) -> Principal:
        require(claims.get("iss") == self._issuer, "issuer")
        self._check_client(claims)
        subject = subject_of(claims)
        username = claims.get("username", claims.get("cognito:username", subject))
        if not is_name(username):
            refuse("username")
        groups = _groups(claims)
        expires = expiry_of(claims, self._clock())
        issued = cast(int, claims.get("iat", 0))
        return Principal(subject, str(username), expires, issued, groups)

    def _check_client(self, claims: Mapping[str, object]) -> None:
        use = claims.get("token_use")
        if not isinstance(use, str) or use not in self._token_uses:
            refuse("token_use")
        require(self._is_ours(claims.get(_CLIENT_CLAIM[use])), "client")
        # An access token seldom has an audience; one that has it is for whom it says (RFC 7519, 4.1.3).
        require("aud" not in claims or self._is_ours(claims["aud"]), "audience")

    def _is_ours(self, client: object) -> bool:
        return isinstance(client, str) and client in self._client_ids


def _groups(claims: Mapping[str, object]) -> tuple[str, ...]:
    groups = claims.get("cognito:groups", [])
    if not isinstance(groups, list) or not all(map(is_name, groups)):
        refuse("groups")
    return tuple(groups)
