"""How long a socket may stay: as long as its token is good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import attrgetter

from server.bulkhead import bulkhead
from server.delivery.connection import Connection
from server.delivery.hub import Hub
from server.errors import Unauthorized
from server.model import Frame, Principal
from server.ports import SignOuts

WARNING_SECONDS = 60
LOOK_SECONDS = 1.0
# No token of ours or Cognito's is good for longer.
REMEMBERED_MS = 31 * 86_400_000
# A sign-out carries the time of who wrote it, whose clock may be behind.
OVERLAP_MS = 300_000
TOKEN_OVER = 4401


class Tenure:
    """Warns before a token runs out, and closes what outlives its token or was signed out; within two looks."""

    def __init__(
        self,
        hub: Hub,
        sign_outs: SignOuts,
        expiring: Callable[[Connection], Frame],
        clock: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._sign_outs = sign_outs
        self._expiring = expiring
        self._clock = clock
        self._signed_out: dict[str, int] = {}
        self._looked_at = int(clock() * 1000) - REMEMBERED_MS

    def check(self, who: Principal) -> None:
        """Raises `Unauthorized` for a token from before the person was signed out."""
        if who.issued_at_seconds * 1000 <= self._signed_out.get(who.person, -1):
            raise Unauthorized("You were signed out; sign in again.", code="signed_out")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with bulkhead("sign_outs_unknown"):
                await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        self._close_what_ran_out()
        now = int(self._clock() * 1000)
        for one in sorted(await self._sign_outs.signed_out_since(self._looked_at), key=attrgetter("at")):
            self._signed_out.pop(one.person, None)
            self._signed_out[one.person] = one.at
            self._close_signed_out(one.person)
        self._looked_at = now - OVERLAP_MS
        self._forget(now - REMEMBERED_MS)

    def _forget(self, before: int) -> None:
        """The oldest come first."""
        while self._signed_out and next(iter(self._signed_out.values())) < before:
            del self._signed_out[next(iter(self._signed_out))]

    def _close_what_ran_out(self) -> None:
        now = self._clock()
        for connection in self._hub:
            left = connection.who.expires_at_seconds - now
            if left <= 0:
                connection.wire.close(TOKEN_OVER, "token expired")
            elif left <= WARNING_SECONDS and not connection.warned:
                connection.warned = True
                connection.offer(self._expiring(connection))

    def _close_signed_out(self, person: str) -> None:
        for connection in self._hub.connections(person):
            try:
                self.check(connection.who)
            except Unauthorized:
                connection.wire.close(TOKEN_OVER, "signed out")
