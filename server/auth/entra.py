"""Tokens with which Microsoft Entra ID lets one application call another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from server.auth.keys import KeySource
from server.auth.signed import HEADER_KEYS, expiry_of, judged, require, signed_claims
from server.errors import ConfigError

# Where a tenant publishes its keys.
KEYS = "discovery/v2.0/keys"
# The older kind of token also names its key by a thumbprint, which nothing needs.
_HEADER_KEYS = HEADER_KEYS | {"x5t"}


class EntraCallers:
    """Applications of one tenant that may call ours. `authority`: who issues tokens, without the tenant.

    Raises `ConfigError` without a tenant, an application of ours, or one that may call it.
    """

    def __init__(
        self,
        authority: str,
        tenant: str,
        app_id: str,
        callers: frozenset[str],
        keys: KeySource,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not tenant or not app_id or not callers or "" in callers:
            raise ConfigError("the tenant, our application in it, and the applications that may call it must be set")
        self._tenant = tenant
        self._issuers = {f"https://sts.windows.net/{tenant}/", f"{authority}/{tenant}/v2.0"}
        self._audiences = {app_id, f"api://{app_id}"}
        self._callers = callers
        self._keys = keys
        self._clock = clock

    async def verify(self, token: str) -> None:
        """Raises `Unauthorized`, with the code `expired_token` for one that is in order otherwise; `Unavailable` while
        the tenant's keys cannot be had.
        """
        await judged(self._verify(token))

    async def _verify(self, token: str) -> None:
        self._check(await signed_claims(token, self._keys, header_keys=_HEADER_KEYS))

    def _check(self, claims: Mapping[str, object]) -> None:
        require(_word(claims, "iss") in self._issuers, "issuer")
        require(_word(claims, "tid") == self._tenant, "tenant")
        require(_word(claims, "aud") in self._audiences, "audience")
        # The older kind of token says `appid`, the newer one `azp`.
        require(_word(claims, "azp" if "azp" in claims else "appid") in self._callers, "client")
        require("azp" not in claims or "appid" not in claims, "client")
        expiry_of(claims, self._clock())


def _word(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
