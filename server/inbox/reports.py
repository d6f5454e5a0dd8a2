"""What providers report of messages that were sent to phones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from server.model import OPTED_OUT, Part, Receipt, ReceiptStatus, person_of
from server.ports import OptOuts, Outbox, Receipts

# Replies of one page that are looked up together.
AT_ONCE = 16


class Sent(NamedTuple):
    """A reply that was for a phone, by its place in the log."""

    channel: str
    conversation_id: str
    offset: int


class Reports:
    """Keeps them, and tells them beside what we know ourselves. Who told the provider to stop is sent nothing more by
    us either. `clock` tells seconds since 1970.
    """

    def __init__(self, receipts: Receipts, outbox: Outbox, opt_outs: OptOuts, clock: Callable[[], float]) -> None:
        self._receipts = receipts
        self._outbox = outbox
        self._opt_outs = opt_outs
        self._clock = clock

    async def take(
        self,
        channel: str,
        provider_id: str,
        status: ReceiptStatus,
        code: str | None,
        *,
        number: str | None = None,
        at: int | None = None,
    ) -> bool:
        """Durable when it returns; False if it tells nothing new. `number`: whom it was for, and `at`: when that was
        so, in ms since 1970, if these are told.
        """
        if number is not None and code == OPTED_OUT and not await self._knows(channel, provider_id, code):
            # Before the receipt is kept: what comes again after that tells nothing new.
            since = int(self._clock() * 1000) if at is None else at
            await self._opt_outs.opt_out(person_of(number), channel, since)
        return await self._receipts.keep_receipt(channel, provider_id, status, code)

    async def _knows(self, channel: str, provider_id: str, code: str) -> bool:
        """Then the person may have come back since."""
        known = await self._receipts.receipt(channel, provider_id)
        return known is not None and known.code == code

    async def deliveries(self, replies: Sequence[Sent]) -> Mapping[Sent, Sequence[Receipt | Part]]:
        """What became of each message that a reply was sent as, in their order: its receipt, or what we know while
        there is none. Nothing of a reply of which no message was begun.
        """
        found: dict[Sent, Sequence[Receipt | Part]] = {}
        for first in range(0, len(replies), AT_ONCE):
            some = replies[first : first + AT_ONCE]
            found.update(zip(some, await asyncio.gather(*map(self._deliveries, some)), strict=True))
        return found

    async def _deliveries(self, reply: Sent) -> Sequence[Receipt | Part]:
        parts = await self._outbox.parts_of(reply.conversation_id, reply.offset)
        return [await self._newest(reply.channel, part) for part in parts]

    async def _newest(self, channel: str, part: Part) -> Receipt | Part:
        if part.provider_id is None:
            return part
        return await self._receipts.receipt(channel, part.provider_id) or part
