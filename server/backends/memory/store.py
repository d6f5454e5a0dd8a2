"""Conversations, logs and leases."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from server.backends.memory.assistants import MemoryAssistants
from server.backends.memory.connections import MemoryConnections
from server.backends.memory.kept import Kept, reply_to, text_of
from server.backends.memory.notes import MemoryNotes
from server.errors import Conflict, LeaseLost, NotFound, TooMany
from server.model import (
    Accepted,
    Conversation,
    DeadLetter,
    Draft,
    Entry,
    InboundMessage,
    Lease,
    Page,
    Question,
    Reply,
    Settled,
    SignOut,
    Step,
    requeued_id,
)

CLAIM_MS = 7 * 86_400_000


class MemoryStore(MemoryAssistants, MemoryConnections, MemoryNotes):
    """Implements the ports Conversations, Log, Leases, Runs, SignOuts and DeadLetters, beside those of the
    assistants, of connections and of notes. Nothing outlives the process.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        lease_seconds: float,
        most_waiting: int,
        page_bytes: int = 256 * 1024,
    ) -> None:
        super().__init__(clock)
        self._lease_ms = int(lease_seconds * 1000)
        self._most_waiting = most_waiting
        self._page_bytes = page_bytes
        self._kept: dict[str, Kept] = {}
        self._current: dict[tuple[str, str], str] = {}
        self._claims: dict[tuple[str, str], Accepted] = {}
        self._sign_outs: dict[str, int] = {}
        self._letters: dict[tuple[str, int], DeadLetter] = {}

    # --- Conversations ---

    async def current(self, person: str, channel: str, assistant: str) -> Conversation:
        known = self._current.get((person, channel))
        return self._kept[known].conversation if known else await self.create(person, channel, assistant)

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
        self._claims = {key: one for key, one in self._claims.items() if one.conversation_id != conversation_id}
        self._letters = {key: one for key, one in self._letters.items() if key[0] != conversation_id}

    # --- Log ---

    async def accept(self, message: InboundMessage) -> Accepted:
        earlier = self._claims.get((message.person, message.message_id))
        if earlier is not None and earlier.created_at > self._now() - CLAIM_MS:
            if earlier.text != message.text:
                raise Conflict("This messageId was used before with another text; take a new one.", code="id_conflict")
            return replace(earlier, duplicate=True)
        kept = self._of(message.person, message.conversation_id)
        waiting = kept.waiting()
        if waiting and message.when_busy == "reject":
            raise TooMany("The assistant is still answering; wait for it.", code="busy", retry_after=1)
        if len(waiting) >= self._most_waiting:
            raise TooMany(
                f"{len(waiting)} messages of this conversation wait for their answer; wait for one.",
                code="too_many_waiting",
                retry_after=5,
            )
        if message.when_busy == "interrupt":
            self._mark_cancelled(kept, waiting)
        question = Question(len(kept.entries) + 1, message.message_id, message.text, self._now())
        kept.append(question, answered=kept.conversation.answered)
        accepted = Accepted(
            message.conversation_id, message.message_id, question.offset, message.text, question.created_at
        )
        self._claims[message.person, message.message_id] = accepted
        return accepted

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        kept = self._of(person, conversation_id)
        waiting = [one for one in kept.waiting() if message_id in {None, one.message_id}]
        if not waiting:
            raise NotFound("Nothing waits for an answer here.", code="nothing_to_cancel")
        self._mark_cancelled(kept, waiting[:1])

    def _mark_cancelled(self, kept: Kept, questions: Sequence[Question]) -> None:
        kept.cancelled.update(question.offset for question in questions)
        kept.due_at = 0

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
        if kept is None or kept.lease_until > now or kept.due_at > now or not (waiting := kept.waiting()):
            return None
        kept.attempt += 1
        kept.tries += 1
        kept.owner = owner
        return self._lend(kept, waiting[0])

    async def owner(self, conversation_id: str) -> str | None:
        kept = self._kept.get(conversation_id)
        return kept.owner if kept is not None and kept.lease_until > self._now() else None

    def _lend(self, kept: Kept, question: Question) -> Lease:
        one = kept.conversation
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
        )
        return kept.lease

    async def renew(self, lease: Lease) -> Lease:
        kept = self._held(lease)
        kept.lease_until = self._now() + self._lease_ms
        return replace(lease, cancelled=lease.question.offset in kept.cancelled)

    async def answer(self, lease: Lease, draft: Draft) -> Settled:
        kept, question = self._kept.get(lease.conversation_id), lease.question
        if kept and kept.attempt == lease.attempt and kept.conversation.answered >= question.offset:
            return Settled(reply_to(kept, question.offset), kept.lease)
        kept = self._held(lease)
        reply = Reply(len(kept.entries) + 1, question.offset, question.message_id, draft, self._now())
        kept.append(reply, answered=question.offset)
        if draft.code is not None:
            self._letters[lease.conversation_id, question.offset] = DeadLetter(
                lease.conversation_id, lease.person, question, draft.code, kept.tries, reply.created_at
            )
        kept.steps.clear()
        kept.failures = kept.due_at = 0
        if waiting := kept.waiting():
            kept.tries = 1
            return Settled(reply, self._lend(kept, waiting[0]))
        kept.tries = 0
        self._let_go(kept)
        return Settled(reply, None)

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

    # --- SignOuts ---

    async def sign_out(self, person: str) -> None:
        self._sign_outs[person] = self._now()

    async def signed_out_since(self, moment: int) -> Sequence[SignOut]:
        return [SignOut(person, at) for person, at in self._sign_outs.items() if at > moment]

    # --- DeadLetters ---

    async def dead_letters(self, limit: int) -> Sequence[DeadLetter]:
        return list(reversed(self._letters.values()))[:limit]

    async def dead_letter(self, conversation_id: str, offset: int) -> DeadLetter:
        try:
            return self._letters[conversation_id, offset]
        except KeyError:
            raise NotFound("There is no such dead letter.") from None

    async def requeue(self, letter: DeadLetter) -> Accepted:
        message = InboundMessage(letter.person, letter.conversation_id, requeued_id(letter), letter.question.text)
        accepted = await self.accept(message)
        self._letters.pop((letter.conversation_id, letter.question.offset), None)
        return accepted

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
            raise NotFound("No such conversation; listConversations shows yours.", code="unknown_conversation")
        return kept
