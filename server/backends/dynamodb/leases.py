"""Who works on what."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from server.backends.dynamodb import keys, texts, values
from server.backends.dynamodb.base import AGAIN, held
from server.backends.dynamodb.errors import ConditionFailed, read_and_change
from server.backends.dynamodb.items import key_of
from server.backends.dynamodb.log import DynamoLog
from server.backends.dynamodb.outbox import Filing, OutboxFull, filed, outbox_full, refused, unfiled
from server.backends.dynamodb.table import Write, put, update
from server.backends.dynamodb.values import Head
from server.bulkhead import insist
from server.errors import Unavailable
from server.model import Draft, Lease, Reply, Settled, due

TAKEN = (
    "#attempt = #attempt + :one, #tries = #tries + :one, #owner = :owner, #leaseUntil = :until, #dueAt = :until,"
    " #through = if_not_exists(#through, #offset)"
)
FREE = "attribute_exists(#waiting[0]) AND #leaseUntil <= :now AND #retryAt <= :now"
RENEWED = "#leaseUntil = :until, #dueAt = :until"
FAILED = "#failures = #failures + :one, #leaseUntil = :none, #retryAt = :due, #dueAt = :due"
LET_GO = "#leaseUntil = :none, #dueAt = :now"
ANSWERED = (
    "#offset = :offset, #answered = :answered, #waiting = :rest, #updatedAt = :now, #tries = :tries,"
    " #leaseUntil = :until, #failures = :none, #retryAt = :retry, #steps = :none"
)
AS_READ = "#offset = :seen AND #attempt = :attempt AND #leaseUntil > :none"
NOT_CANCELLED = "NOT contains(#cancelled, :first)"


class DynamoLeases(DynamoLog):
    """Implements the port Leases."""

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        now = self._now()
        until = now + self._lease_ms
        try:
            named = {"one": 1, "now": now, "until": until, "owner": owner}
            head = await self._change(conversation_id, TAKEN, FREE, again=AGAIN, **named)
        except ConditionFailed as error:
            if error.item.get("deleted") and error.item["dueAt"] <= now:
                await self._delete(conversation_id)
            return None
        return await insist(lambda: self._lend(head), {"conversation": conversation_id}, AGAIN)

    async def _lend(self, head: Head) -> Lease | None:
        """For the oldest question; None if the conversation has just been deleted."""
        questions = await self._questions(head.conversation.id, head.asked())
        return head.lease(questions) if questions else None

    async def owner(self, conversation_id: str) -> str | None:
        item = await self._table.get(keys.head(conversation_id))
        return item["owner"] if item is not None and item["leaseUntil"] > self._now() else None

    async def renew(self, lease: Lease) -> Lease:
        head = await self._change_held(lease, RENEWED, until=self._now() + self._lease_ms)
        return replace(lease, cancelled=lease.question.offset in head.cancelled)

    async def fail(self, lease: Lease, retry_after: float) -> None:
        await self._change_held(lease, FAILED, one=1, due=self._now() + int(retry_after * 1000))

    async def hand_back(self, lease: Lease) -> None:
        await self._change_held(lease, LET_GO, now=self._now())

    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        async with self._in_turn(lease.conversation_id):
            if not post:
                return await read_and_change(lambda: self._answer(lease, draft, unfiled))
            try:
                return await read_and_change(lambda: self._answer(lease, draft, self._filed))
            except OutboxFull:
                settled = await read_and_change(lambda: self._answer(lease, draft, refused))
                return replace(settled, unposted=True)

    def _filed(self, lease: Lease, reply: Reply) -> list[Write]:
        return filed(lease, reply, self._most_unsent)

    async def _answer(self, lease: Lease, draft: Draft, file: Filing) -> Settled:
        head = await self._head(lease.conversation_id)
        if head is not None and (settled := await self._settled_before(lease, head)) is not None:
            return settled
        head = held(head, lease)
        reply = lease.reply(head.conversation.offset + 1, draft, self._now())
        after = self._after(head, reply)
        entry = values.reply_item(lease.conversation_id, reply)
        parts = await texts.packed(entry, draft.text)
        with outbox_full(lease):
            await self._table.transact(
                answered(head, after),
                put(entry, "attribute_not_exists(#pk)"),
                *parts,
                *buried(lease, reply),
                *file(lease, reply),
            )
        if head.steps:
            await self._forget_steps(lease)
        return Settled(reply, await self._lend(after) if after.lease_until else None)

    def _after(self, head: Head, reply: Reply) -> Head:
        """The head when the reply is stored."""
        rest = tuple(offset for offset in head.waiting if offset > reply.last)
        quiet = tuple(one for one in head.quiet if one.offset > reply.last)
        one = replace(head.conversation, offset=reply.offset, answered=reply.last, updated_at=reply.created_at)
        after = replace(head, conversation=one, waiting=rest, quiet=quiet, through=0, failures=0, steps=0)
        wait = due(after.turns()[0]) if quiet else 0
        if not rest or wait > reply.created_at:
            return replace(after, lease_until=0, tries=0, retry_at=wait)
        return replace(after, lease_until=reply.created_at + self._lease_ms, tries=1, retry_at=0, through=reply.offset)

    async def _settled_before(self, lease: Lease, head: Head) -> Settled | None:
        """The same again, for a caller that could not know that its answer had been stored."""
        if head.conversation.answered < lease.question.offset or head.attempt != lease.attempt:
            return None
        holds = head.lease_until > 0 and head.waiting
        return Settled(await self._reply_to(lease), await self._lend(head) if holds else None)

    async def _reply_to(self, lease: Lease) -> Reply:
        item = await self._table.first(
            "#pk = :pk AND #sk BETWEEN :first AND :last",
            only="#question = :asked",
            pk=keys.conversation(lease.conversation_id),
            first=keys.entry(lease.conversation_id, lease.question.offset + 1).sk,
            last=keys.entry(lease.conversation_id, keys.NEWEST).sk,
            asked=lease.question.offset,
        )
        await texts.unpack(self._table, [item])
        return values.reply(item)

    async def _forget_steps(self, lease: Lease) -> None:
        """They are out of reach already: the next question's have other keys."""
        with suppress(Unavailable):
            found = await self._table.query(
                "#pk = :pk AND begins_with(#sk, :steps)",
                fields="#pk, #sk, #parts",
                pk=keys.conversation(lease.conversation_id),
                steps=keys.steps(lease.question.offset),
            )
            await self._table.delete_many([key for item in found for key in (*texts.part_keys(item), key_of(item))])


def answered(head: Head, after: Head) -> Write:
    one = after.conversation
    named: dict[str, Any] = {
        "offset": one.offset,
        "answered": one.answered,
        "now": one.updated_at,
        "tries": after.tries,
        "until": after.lease_until,
        "retry": after.retry_at,
        "none": 0,
        "rest": list(after.waiting),
        "done": set(head.waiting) - set(after.waiting),
        "seen": head.conversation.offset,
        "attempt": head.attempt,
    }
    sets, gone, condition = [ANSWERED], [], AS_READ
    if not after.waiting:
        gone += ["#waitingShard", "#dueAt", "#through"]
    elif after.lease_until:
        sets += ["#dueAt = :until", "#through = :offset"]
    else:
        sets, gone, condition = [*sets, "#dueAt = :retry"], ["#through"], f"{condition} AND {NOT_CANCELLED}"
        named["first"] = after.waiting[0]
    if after.quiet:
        sets.append("#quiet = :quiet")
        named["quiet"] = list(map(values.pause, after.quiet))
    elif head.quiet:
        gone.append("#quiet")
    removed = f" REMOVE {', '.join(gone)}" if gone else ""
    change = f"SET {', '.join(sets)}{removed} DELETE #cancelled :done"
    return update(keys.head(one.id), change, condition, **named)


def buried(lease: Lease, reply: Reply) -> list[Write]:
    """The dead letter of a reply that is an error."""
    code, now = reply.draft.code, reply.created_at
    if code is None:
        return []
    listing = keys.letter_listing(lease.conversation_id, lease.question.offset, now)
    return [put(values.letter_item(lease, code, now)), put(dict(listing._asdict()))]
