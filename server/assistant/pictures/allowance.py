"""How many pictures a person may have painted in a day."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from server.errors import TooMany
from server.model import Caller
from server.ports import Accounts

DAY_MS = 24 * 3600 * 1000


class Allowance:
    """`most` is per person and day, UTC, over all processes; 0: no bound. What was asked for counts, also in vain; once
    for a call, however often it is tried.
    """

    def __init__(self, accounts: Accounts, most: int, clock: Callable[[], float] = time.time) -> None:
        self._accounts = accounts
        self._most = most
        self._clock = clock

    async def spend(self, caller: Caller) -> None:
        """One picture. Raises `TooMany`."""
        # A call's id is the provider's, and of any length.
        call = f"picture {hashlib.sha256(caller.key.encode()).hexdigest()}"
        if not self._most or await self._accounts.charged(call):
            return
        now = self._clock()
        day = f"pictures {datetime.fromtimestamp(now, UTC):%Y-%m-%d} {caller.person}"
        until = int(now * 1000) + 2 * DAY_MS
        if not await self._accounts.charge(day, 1, self._most, until):
            raise TooMany(
                f"No more than {self._most} new pictures a day; the next can be made tomorrow.",
                code="too_many_pictures",
            )
        await self._accounts.charge(call, 1, 1, until)
