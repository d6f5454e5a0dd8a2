"""How many texts people may write, and what all answers together may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from server.model import Text
from server.ports import Accounts

MINUTE, HOUR, DAY = 60, 3_600, 86_400
# In all, each day: they are sent when nothing is left to pay them from.
SPEND_NOTICES = 10
# What the account of a single text holds.
PAID, REFUSED = 1, 2

Limit: TypeAlias = Literal["minute", "hour", "day", "spend"]
# `free`: it was charged when it came before. `refused`: it was over a limit then. Else the limit that it is over.
Verdict: TypeAlias = Limit | Literal["paid", "free", "refused"]

WINDOWS: Mapping[Limit, int] = {"minute": MINUTE, "hour": HOUR, "day": DAY, "spend": DAY}


@dataclass(frozen=True, slots=True)
class Limits:
    """0: none. `segments_per_day` is what all replies together may cost; each reserves `segments_per_reply`, and one
    of the server itself a single one. Beyond it are only the `SPEND_NOTICES` which say that it is used up.
    """

    per_minute: int
    per_day: int
    per_hour_in_all: int
    segments_per_day: int
    segments_per_reply: int

    @property
    def are_off(self) -> bool:
        return not (self.per_minute or self.per_day or self.per_hour_in_all or self.segments_per_day)


class Meter:
    """Windows are those of UTC: this minute, this hour, this day. `at` is in seconds since 1970, and the same for all
    that is done about one delivery of a text.
    """

    def __init__(self, accounts: Accounts, limits: Limits) -> None:
        self._accounts = accounts
        self._limits = limits

    async def charge(self, text: Text, segments: int, at: float) -> Verdict:
        """Once for each text, however often it comes within a day. What breaks off in between leaves it free: rather
        that than lost.
        """
        if self._limits.are_off:
            return "paid"
        account, until = f"paid:{text.message_id}", int((at + DAY) * 1000)
        if not await self._accounts.charge(account, 1, PAID, until):
            return "free" if await self._accounts.charged(account) == PAID else "refused"
        over = await self._over(text.person, segments, at)
        if over is not None:
            await self._accounts.charge(account, 1, REFUSED, until)
        return over or "paid"

    async def _over(self, person: str, segments: int, at: float) -> Limit | None:
        limits, texts = self._limits, f"texts:{person}"
        # A day that is over says so once; its minutes would each say so again.
        if await self._is_spent(texts, limits.per_day, DAY, at):
            return "day"
        if not await self._spend(texts, 1, limits.per_minute, MINUTE, at):
            return "minute"
        if not await self._spend(texts, 1, limits.per_day, DAY, at):
            return "day"
        if not await self._spend("texts", 1, limits.per_hour_in_all, HOUR, at):
            return "hour"
        return None if await self._reserve(segments, at) else "spend"

    async def give_back(self, segments: int, at: float) -> None:
        """They were reserved, and no answer will need them."""
        await self._reserve(-segments, at)

    async def tells(self, text: Text, limit: Limit, at: float) -> bool:
        """Whether the person is to be told: once in each window, where that can be paid."""
        told = f"notices:{limit}:{text.person}:{text.channel}"
        if not await self._spend(told, 1, 1, WINDOWS[limit], at):
            return False
        if limit == "spend":
            return await self._spend("notices:spend", 1, SPEND_NOTICES, DAY, at)
        return await self._reserve(1, at)

    async def _reserve(self, segments: int, at: float) -> bool:
        return await self._spend("segments", segments, self._limits.segments_per_day, DAY, at)

    async def _spend(self, account: str, amount: int, most: int, window: int, at: float) -> bool:
        if not most:
            return True
        until = (int(at) // window + 1) * window * 1000
        return await self._accounts.charge(in_window(account, window, at), amount, most, until)

    async def _is_spent(self, account: str, most: int, window: int, at: float) -> bool:
        return most > 0 and await self._accounts.charged(in_window(account, window, at)) >= most


def in_window(account: str, window: int, at: float) -> str:
    return f"{account}:{window}:{int(at) // window}"
