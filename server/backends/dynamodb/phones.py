"""What is known of phones: receipts, opt-outs, and what was spent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from server.backends.dynamodb import keys
from server.backends.dynamodb.base import DynamoBase, ttl
from server.backends.dynamodb.errors import ConditionFailed, contend, read_and_change
from server.backends.dynamodb.items import Item, Key
from server.backends.dynamodb.table import put
from server.model import RANKS, Consent, Receipt, ReceiptStatus, after_opt_in, after_opt_out

RECEIPT_DAYS = 30
# DynamoDB deletes by its own clock: what it deletes must be over by ours.
LATE_SECONDS = 86_400
NEWS = "attribute_not_exists(#pk) OR #rank < :rank OR #at <= :oldest"
CHARGED = "#amount = if_not_exists(#amount, :none) + :amount, #ttl = :ttl"
# A client that asks again by itself does so under the same mark.
ROOM = "attribute_not_exists(#amount) OR (#amount <= :room AND #mark <> :mark)"


class DynamoPhones(DynamoBase):
    """Implements the ports Receipts, OptOuts and Accounts."""

    # --- Receipts ---

    async def keep_receipt(self, channel: str, provider_id: str, status: ReceiptStatus, code: str | None) -> bool:
        item = {
            **keys.receipt(channel, provider_id)._asdict(),
            "status": status,
            "rank": RANKS[status],
            "code": code,
            "at": self._now(),
            "ttl": ttl(RECEIPT_DAYS) + LATE_SECONDS,
        }
        news = put(item, NEWS, rank=RANKS[status], oldest=self._oldest_receipt())
        try:
            # A transaction, because the client's own retries of one do nothing twice.
            await contend(lambda: self._table.transact(news))
        except ConditionFailed:
            return False
        return True

    async def receipt(self, channel: str, provider_id: str) -> Receipt | None:
        item = await self._table.get(keys.receipt(channel, provider_id))
        if item is None or item["at"] <= self._oldest_receipt():
            return None
        return Receipt(channel, provider_id, item["status"], item.get("code"), item["at"])

    def _oldest_receipt(self) -> int:
        return self._now() - RECEIPT_DAYS * 86_400_000

    # --- OptOuts ---

    async def opt_out(self, person: str, channel: str, at: int, message_id: str = "") -> bool:
        new = await self._hear(keys.opt_out(person, channel), partial(after_opt_out, at=at, message_id=message_id))
        return new.was_begun_by(message_id)

    async def opt_in(self, person: str, channel: str, at: int, message_id: str) -> bool:
        new = await self._hear(keys.opt_out(person, channel), partial(after_opt_in, at=at, message_id=message_id))
        return new.ended_by == message_id

    async def _hear(self, key: Key, change: Callable[[Consent | None], Consent]) -> Consent:
        return await read_and_change(lambda: self._change_consent(key, change))

    async def _change_consent(self, key: Key, change: Callable[[Consent | None], Consent]) -> Consent:
        item = await self._table.get(key)
        known = consent(item)
        new = change(known)
        if new != known:
            condition, before = as_it_was(item)
            await self._table.transact(put({**key._asdict(), **consent_item(new)}, condition, **before))
        return new

    async def opted_out(self, person: str, channel: str) -> bool:
        known = consent(await self._table.get(keys.opt_out(person, channel)))
        return known is not None and known.opted_out

    # --- Accounts ---

    async def charge(self, account: str, amount: int, most: int, until: int) -> bool:
        if amount > most:
            return False
        key = keys.account(account)
        named: dict[str, Any] = {"none": 0, "amount": amount, "room": most - amount}
        async with self._in_turn(key.pk):
            try:
                await self._change_item(key, CHARGED, ROOM, ttl=until // 1000 + LATE_SECONDS, **named)
            except ConditionFailed:
                return False
        return True

    async def charged(self, account: str) -> int:
        item = await self._table.get(keys.account(account))
        return 0 if item is None else int(item["amount"])


def consent(item: Item | None) -> Consent | None:
    if item is None:
        return None
    return Consent(item["at"], item.get("endedBy"), item.get("begunBy", ""), tuple(item.get("heard", ())))


def consent_item(one: Consent) -> Item:
    """Without its key."""
    return {
        "at": one.at,
        "endedBy": one.ended_by,
        "begunBy": one.begun_by or None,
        "heard": list(one.heard) or None,
    }


def as_it_was(item: Item | None) -> tuple[str, dict[str, Any]]:
    """The condition that the consent has not changed."""
    if item is None:
        return "attribute_not_exists(#pk)", {}
    known: dict[str, Any] = {name: item[name] for name in ("at", "endedBy", "begunBy", "heard") if name in item}
    missing = [f"attribute_not_exists(#{name})" for name in ("endedBy", "begunBy", "heard") if name not in item]
    return " AND ".join([*(f"#{name} = :{name}" for name in known), *missing]), known
