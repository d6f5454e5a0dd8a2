"""What is on its way to phones, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from server.backends.memory.base import MemoryBase
from server.errors import LeaseLost
from server.model import (
    RANKS,
    Consent,
    Lease,
    Outgoing,
    Part,
    Receipt,
    ReceiptStatus,
    Reply,
    after_opt_in,
    after_opt_out,
    unposted,
)

RECEIPT_MS = 30 * 86_400_000


@dataclass(slots=True)
class Unsent:
    """Of `outgoing` the attempt is the newest. It may be taken when it is due, lent or not."""

    outgoing: Outgoing
    due_at: int
    lent: bool = False
    owner: str = ""


class MemoryPhones(MemoryBase):
    """Implements the ports Outbox, Receipts, OptOuts and Accounts."""

    def __init__(self, clock: Callable[[], float], lease_ms: int, most_unsent: int) -> None:
        super().__init__(clock, lease_ms)
        self._most_unsent = most_unsent
        self._unsent: dict[str, list[Unsent]] = {}
        self._parts: dict[tuple[str, int], tuple[Part, ...]] = {}
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._consents: dict[tuple[str, str], Consent] = {}
        self._accounts: dict[str, tuple[int, int]] = {}
        self._endings: list[tuple[int, str]] = []

    # --- Outbox ---

    def _file(self, lease: Lease, reply: Reply) -> bool:
        """False if there is no room for it."""
        outgoing, rows = outgoing_of(lease, reply), self._unsent.get(lease.conversation_id, [])
        if not outgoing.text and not outgoing.images:
            return True
        if len(rows) >= self._most_unsent:
            self._parts[lease.conversation_id, reply.offset] = (unposted(reply.created_at),)
            return False
        self._unsent[lease.conversation_id] = [*rows, Unsent(outgoing, self._now())]
        return True

    def _forget_outgoing(self, conversation_id: str) -> None:
        self._unsent.pop(conversation_id, None)
        self._parts = {key: parts for key, parts in self._parts.items() if key[0] != conversation_id}

    async def unsent(self, limit: int) -> Sequence[str]:
        now = self._now()
        return [one for one, rows in self._unsent.items() if rows[0].due_at <= now][:limit]

    async def take_outgoing(self, conversation_id: str, owner: str) -> Outgoing | None:
        rows = self._unsent.get(conversation_id)
        return self._send_off(rows[0], owner) if rows and rows[0].due_at <= self._now() else None

    def _send_off(self, row: Unsent, owner: str) -> Outgoing:
        one, row.owner = row.outgoing, owner
        row.outgoing = replace(one, attempt=one.attempt + 1, tries=one.tries + 1)
        row.due_at, row.lent = self._now() + self._lease_ms, True
        return row.outgoing

    async def note_part(self, outgoing: Outgoing, part: Part) -> Outgoing:
        row = self._lent(outgoing)
        row.due_at = self._now() + self._lease_ms
        row.outgoing = row.outgoing.knowing(part)
        self._parts[outgoing.conversation_id, outgoing.offset] = row.outgoing.parts
        return row.outgoing

    async def postpone(self, outgoing: Outgoing, seconds: float) -> None:
        row = self._lent(outgoing)
        row.due_at, row.lent = self._now() + int(seconds * 1000), False

    async def sent(self, outgoing: Outgoing) -> Outgoing | None:
        owner = self._lent(outgoing).owner
        rows = self._unsent[outgoing.conversation_id]
        del rows[0]
        if rows:
            return self._send_off(rows[0], owner)
        del self._unsent[outgoing.conversation_id]
        return None

    async def parts_of(self, conversation_id: str, offset: int) -> Sequence[Part]:
        return self._parts.get((conversation_id, offset), ())

    def _lent(self, outgoing: Outgoing) -> Unsent:
        rows = self._unsent.get(outgoing.conversation_id)
        one = rows[0] if rows else None
        if (
            one is None
            or not one.lent
            or (one.outgoing.offset, one.outgoing.attempt) != (outgoing.offset, outgoing.attempt)
        ):
            raise LeaseLost(f"attempt {outgoing.attempt} no longer sends reply {outgoing.offset}")
        return one

    # --- Receipts ---

    async def keep_receipt(self, channel: str, provider_id: str, status: ReceiptStatus, code: str | None) -> bool:
        known = await self.receipt(channel, provider_id)
        if known is not None and RANKS[status] <= RANKS[known.status]:
            return False
        self._receipts.pop((channel, provider_id), None)
        self._receipts[channel, provider_id] = Receipt(channel, provider_id, status, code, self._now())
        self._forget_receipts()
        return True

    def _forget_receipts(self) -> None:
        """The oldest come first."""
        while (oldest := next(iter(self._receipts.values()))).at <= self._now() - RECEIPT_MS:
            del self._receipts[oldest.channel, oldest.provider_id]

    async def receipt(self, channel: str, provider_id: str) -> Receipt | None:
        known = self._receipts.get((channel, provider_id))
        return known if known is not None and known.at > self._now() - RECEIPT_MS else None

    # --- OptOuts ---

    async def opt_out(self, person: str, channel: str, at: int, message_id: str = "") -> bool:
        new = self._consents[person, channel] = after_opt_out(self._consents.get((person, channel)), at, message_id)
        return new.was_begun_by(message_id)

    async def opt_in(self, person: str, channel: str, at: int, message_id: str) -> bool:
        new = self._consents[person, channel] = after_opt_in(self._consents.get((person, channel)), at, message_id)
        return new.ended_by == message_id

    async def opted_out(self, person: str, channel: str) -> bool:
        known = self._consents.get((person, channel))
        return known is not None and known.opted_out

    # --- Accounts ---

    async def charge(self, account: str, amount: int, most: int, until: int) -> bool:
        self._forget_accounts()
        total = await self.charged(account) + amount
        if total > most:
            return False
        if account not in self._accounts:
            heappush(self._endings, (until, account))
        self._accounts[account] = total, until
        return True

    def _forget_accounts(self) -> None:
        while self._endings and self._endings[0][0] <= self._now():
            _, name = heappop(self._endings)
            until = self._accounts[name][1]
            if until > self._now():
                heappush(self._endings, (until, name))
            else:
                del self._accounts[name]

    async def charged(self, account: str) -> int:
        return self._accounts.get(account, (0, 0))[0]


def outgoing_of(lease: Lease, reply: Reply) -> Outgoing:
    """Not taken by anybody yet."""
    newest = (lease.more or (lease.question,))[-1]
    return Outgoing(
        conversation_id=lease.conversation_id,
        person=lease.person,
        channel=lease.channel,
        offset=reply.offset,
        text=reply.draft.text,
        images=reply.draft.images,
        asked_at=newest.created_at,
        attempt=0,
        tries=0,
    )
