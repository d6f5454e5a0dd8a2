"""Conversations, logs and leases."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from server.backends.memory.kept import Kept, reply_to, text_of
from server.backends.memory.phones import MemoryPhones
from server.errors import Conflict, LeaseLost, NotFound
from server.model import (
    MOST_UNSENT,
    PHONES,
    Accepted,
    Conversation,
    DeadLetter,
    Draft,
    Entry,
    InboundMessage,
    Lease,
    Page,
    Question,
    Settled,
    Step,
)

CLAIM_MS = 7 * 86_400_000


class MemoryLog(MemoryPhones):
    """Implements the ports Conversations, Log, Claims, Leases and Runs, beside those of phones."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        lease_seconds: float,
        most_waiting: int,
        most_unsent: int = MOST_UNSENT,
        page_bytes: int = 256 * 1024,
    ) -> None:
        super().__init__(clock, int(lease_seconds * 1000), most_unsent)
        self._most_waiting = most_waiting
        self._page_bytes = page_bytes
        self._kept: dict[str, Kept] = {}
        self._current: dict[tuple[str, str], str] = {}
        self._claims: dict[tuple[str, str], Accepted] = {}
        self._sign_outs: dict[str, int] = {}
        self._letters: dict[tuple[str, int], DeadLetter] = {}

    # --- Conversations ---

    async def current(
        self, person: str, channel: str, assistant: str, *, since: int = 0, ended: str | None = None
    ) -> Conversation:
        known = self._current.get((person, channel))
        if known is None or not self._kept[known].conversation.goes_on(since, ended):
            return await self.create(person, channel, assistant)
        return self._kept[known].conversation

    async def create(self, person: str, channel: str, assistant: str) -> Conversation:
        now = self._now()
        new = Conversation(
            f"c_{secrets.token_hex(12)}", person, channel, assistant, secrets.token_hex(6), 0, 0, now, now
        )
        self._kept[new.id] = Kept(new)
        self._current[person, channel] = new.id
        return new

    async def find(self, person: str, conversation_id: str) -> Conversation:
        return self._of(person, conversation_id).conversation

    async def recent(self, person: str, limit: int) -> Sequence[Conversation]:
        mine = [kept.conversation for kept in self._kept.values() if kept.conversation.person == person]
        return sorted(mine, key=lambda one: (one.updated_at, one.created_at), reverse=True)[:limit]

    async def delete(self, person: str, conversation_id: str) -> None:
        kept = self._of(person, conversation_id)
        del self._kept[conversation_id]
        if self._current.get((person, kept.conversation.channel)) == conversation_id:
            del self._current[person, kept.conversation.channel]
        self._forget_claims(kept.conversation)
        self._letters = {key: one for key, one in self._letters.items() if key[0] != conversation_id}
        self._forget_outgoing(conversation_id)

    def _forget_claims(self, gone: Conversation) -> None:
        """Of what phones sent, all but that it was sent."""
        for key, one in list(self._claims.items()):
            if one.conversation_id != gone.id:
                continue
            if gone.channel in PHONES:
                self._claims[key] = replace(one, text="")
            else:
                del self._claims[key]

    # --- Log ---

    async def accept(self, message: InboundMessage) -> Accepted:
        if (earlier := self._claimed(message)) is not None:
            return earlier
        kept = self._of(message.person, message.conversation_id)
        waiting = kept.waiting()
        message.check_room(len(waiting), self._most_waiting)
        if message.when_busy == "interrupt":
            for one in waiting:
                kept.cancel(one.offset)
        question = Question(len(kept.entries) + 1, message.message_id, message.text, self._now())
        kept.ask(question, message.quiet_ms)
        accepted = Accepted(
            message.conversation_id, message.message_id, question.offset, message.text, question.created_at
        )
        self._claims.update({(message.person, one): accepted for one in message.ids})
        return replace(accepted, joins=len(kept.turns()[-1]) > 1)

    def _claimed(self, message: InboundMessage) -> Accepted | None:
        for one in message.ids:
            earlier = self._claims.get((message.person, one))
            if earlier is None or earlier.created_at <= self._now() - CLAIM_MS:
                continue
            if earlier.conversation_id not in self._kept:
                return replace(earlier, message_id=message.message_id, text=message.text, duplicate=True)
            if earlier.message_id == message.message_id and earlier.text != message.text:
                raise Conflict(
                    "This messageId or key was used before with another text; take a new one.", code="id_conflict"
                )
            return replace(earlier, duplicate=True)
        return None

    async def knows(self, person: str, message_ids: Sequence[str]) -> bool:
        earlier = (self._claims.get((person, one)) for one in message_ids)
        return any(one is not None and one.created_at > self._now() - CLAIM_MS for one in earlier)

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        kept = self._of(person, conversation_id)
        waiting = [one for one in kept.waiting() if message_id in {None, one.message_id}]
        if not waiting:
            raise NotFound("Nothing waits for an answer here.", code="nothing_to_cancel")
        kept.cancel(waiting[0].offset)

    async def after(self, conversation_id: str, offset: int, limit: int) -> Page:
        return self._cut(self._entries(conversation_id)[offset:], limit)

    async def before(self, conversation_id: str, offset: int | None, limit: int) -> Page:
        entries = self._entries(conversation_id)
        page = self._cut(entries[: None if offset is None else max(0, offset - 1)][::-1], limit)
        return Page(page.entries[::-1], page.more)

    def _entries(self, conversation_id: str) -> Sequence[Entry]:
        kept = self._kept.get(conversation_id)
        return kept.entries if kept else ()

    def _cut(self, entries: Sequence[Entry], limit: int) -> Page:
        kept: list[Entry] = []
        size = 0
        for entry in entries:
            size += len(text_of(entry).encode())
            if len(kept) == limit or (kept and size > self._page_bytes):
                return Page(tuple(kept), more=True)
            kept.append(entry)
        return Page(tuple(kept), more=False)

    async def waiting(self, limit: int) -> Sequence[str]:
        now = self._now()
        idle = (
            one.conversation.id
            for one in self._kept.values()
            if one.lease_until <= now and one.due_at <= now and one.waiting()
        )
        return [conversation_id for conversation_id, _ in zip(idle, range(limit), strict=False)]

    # --- Leases ---

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        kept, now = self._kept.get(conversation_id), self._now()
        if kept is None or kept.lease_until > now or kept.due_at > now or not (asked := kept.next_turn(now)):
            return None
        kept.attempt += 1
        kept.tries += 1
        kept.owner = owner
        return self._lend(kept, asked)

    async def owner(self, conversation_id: str) -> str | None:
        kept = self._kept.get(conversation_id)
        return kept.owner if kept is not None and kept.lease_until > self._now() else None

    def _lend(self, kept: Kept, asked: Sequence[Question]) -> Lease:
        one, (question, *more) = kept.conversation, asked
        kept.lease_until = self._now() + self._lease_ms
        cancelled = question.offset in kept.cancelled
        kept.lease = Lease(
            conversation_id=one.id,
            person=one.person,
            channel=one.channel,
            assistant=one.assistant,
            attempt=kept.attempt,
            question=question,
            tries=kept.tries,
            failures=kept.failures,
            cancelled=cancelled,
            steps=len(kept.steps),
            thread=kept.thread,
            more=tuple(more),
        )
        return kept.lease

    async def renew(self, lease: Lease) -> Lease:
        kept = self._held(lease)
        kept.lease_until = self._now() + self._lease_ms
        return replace(lease, cancelled=lease.question.offset in kept.cancelled)

    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        kept, question = self._kept.get(lease.conversation_id), lease.question
        if kept and kept.attempt == lease.attempt and kept.conversation.answered >= question.offset:
            return Settled(reply_to(kept, question.offset), kept.lease)
        kept = self._held(lease)
        reply = lease.reply(len(kept.entries) + 1, draft, self._now())
        kept.append(reply, answered=reply.last)
        unposted = post and not self._file(lease, reply)
        if draft.code is not None:
            self._letters[lease.conversation_id, question.offset] = DeadLetter(
                lease.conversation_id, lease.person, lease.asked, draft.code, kept.tries, reply.created_at
            )
        kept.steps.clear()
        kept.failures = kept.due_at = kept.through = 0
        if asked := kept.next_turn(reply.created_at):
            kept.tries = 1
            return Settled(reply, self._lend(kept, asked), unposted)
        kept.tries = 0
        self._let_go(kept)
        return Settled(reply, None, unposted)

    async def fail(self, lease: Lease, retry_after: float) -> None:
        kept = self._held(lease)
        kept.failures += 1
        kept.due_at = self._now() + int(retry_after * 1000)
        self._let_go(kept)

    async def hand_back(self, lease: Lease) -> None:
        self._let_go(self._held(lease))

    # --- Runs ---

    async def note(self, lease: Lease, step: Step) -> None:
        self._held(lease).steps.append(step)

    async def steps(self, lease: Lease) -> Sequence[Step]:
        return tuple(self._held(lease).steps)

    async def bind(self, lease: Lease, thread: str) -> None:
        kept = self._held(lease)
        kept.thread, kept.conversation = thread, replace(kept.conversation, thread=thread)

    def _let_go(self, kept: Kept) -> None:
        kept.lease, kept.lease_until = None, 0

    def _held(self, lease: Lease) -> Kept:
        kept = self._kept.get(lease.conversation_id)
        if kept is None or kept.lease is None or kept.attempt != lease.attempt or kept.lease.question != lease.question:
            raise LeaseLost(f"attempt {lease.attempt} no longer holds conversation {lease.conversation_id}")
        return kept

    def _of(self, person: str, conversation_id: str) -> Kept:
        kept = self._kept.get(conversation_id)
        if kept is None or kept.conversation.person != person:
            raise no_conversation()
        return kept


def no_conversation() -> NotFound:
    return NotFound("No such conversation; listConversations shows yours.", code="unknown_conversation")
