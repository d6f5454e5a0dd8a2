"""Conversations, their logs, and who works on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from server.model import (
    Accepted,
    Conversation,
    Draft,
    InboundMessage,
    Lease,
    Page,
    Settled,
    Step,
)


class Conversations(Protocol):
    """Who talks where. A person has one current conversation per channel."""

    async def current(
        self, person: str, channel: str, assistant: str, *, since: int = 0, ended: str | None = None
    ) -> Conversation:
        """The person's current conversation; the first call of a person makes it. Called twice at once, one is made.

        One that was begun before `since`, or has the id `ended`, is over: another takes its place. It begins with what
        is first said in it.
        """
        ...

    async def create(self, person: str, channel: str, assistant: str) -> Conversation:
        """A new one, now the current one."""
        ...

    async def find(self, person: str, conversation_id: str) -> Conversation:
        """Raises `NotFound`, for another person's too."""
        ...

    async def recent(self, person: str, limit: int) -> Sequence[Conversation]:
        """The person's conversations, the one last spoken in first."""
        ...

    async def delete(self, person: str, conversation_id: str) -> None:
        """Forget it and all that was said in it; a lease on it is lost. Raises `NotFound`, for another person's too.

        Of messages from phones it stays known that their ids were used, and nothing else: a provider may still bring
        them again.
        """
        ...


class Log(Protocol):
    """What was said, in which order. Offsets of a conversation begin at 1 and have no gaps."""

    async def accept(self, message: InboundMessage) -> Accepted:
        """Append the message as a question, once. Durable when it returns.

        A `message_id` that the person used within the last 7 days changes nothing: the first answer again, `duplicate`;
        with another text, `Conflict`. The same holds for its `aliases`, whatever the text. `NotFound` if the
        conversation is not the person's, `TooMany` if too many questions of it wait, or one does and the message is not
        to wait. One that interrupts cancels those that wait, and finds room for itself beyond their bound, a few times.
        One with `quiet` is due once the person has said nothing more for so long, or after five times as long in any
        case, with all of the kind that wait by then.
        Messages are accepted in the order of the calls.
        """
        ...

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        """Cancel a question that waits, the oldest if none is named; it is due at once. Durable when it returns.

        With it those that were asked in one breath with it.
        `NotFound` if the conversation is not the person's, or no such question waits.
        """
        ...

    async def after(self, conversation_id: str, offset: int, limit: int) -> Page:
        """The entries that follow `offset`, oldest first; fewer than `limit` if they are large."""
        ...

    async def before(self, conversation_id: str, offset: int | None, limit: int) -> Page:
        """The entries just before `offset` (None: the newest), oldest first; fewer than `limit` if they are large."""
        ...

    async def waiting(self, limit: int) -> Sequence[str]:
        """Conversations with an unanswered question that nobody works on and whose time has come."""
        ...


class Leases(Protocol):
    """Who works on which conversation. At most one lease of a conversation holds at a time.

    Every method but `take` raises `LeaseLost`, and changes nothing, once a later attempt was leased or this one let go.
    """

    async def take(self, conversation_id: str, owner: str) -> Lease | None:
        """Lease the conversation for its oldest unanswered question.

        None if nothing waits, if another lease holds, or if it is not due yet: it failed, or the person may go on
        speaking. It counts as a try.
        """
        ...

    async def renew(self, lease: Lease) -> Lease:
        """Hold it for the lease time again, from now. The lease as it is now: perhaps cancelled."""
        ...

    async def answer(self, lease: Lease, draft: Draft, *, post: bool = False) -> Settled:
        """Append the reply and go on to the next question, or let go if none is due, in one durable step. `post`: which
        also files it in the outbox; where that has no room for it, it is kept as one that was not sent, `unposted`.

        A draft with a code is also filed under dead letters. Asked again with the same lease, it changes nothing and
        gives the stored reply.
        """
        ...

    async def fail(self, lease: Lease, retry_after: float) -> None:
        """Count a failure and let go; the question keeps its place and is due in `retry_after` seconds."""
        ...

    async def hand_back(self, lease: Lease) -> None:
        """Let go without a failure."""
        ...


class Runs(Protocol):
    """What the turn under way has come to so far, for the next attempt at it. Forgotten once its reply is stored.

    Every method raises `LeaseLost`, and changes nothing, once the lease no longer holds.
    """

    async def note(self, lease: Lease, step: Step) -> None:
        """Durable when it returns."""
        ...

    async def steps(self, lease: Lease) -> Sequence[Step]:
        """In the order they were noted."""
        ...

    async def bind(self, lease: Lease, thread: str) -> None:
        """Keep the provider's thread with the conversation, in place of an earlier one. Durable when it returns."""
        ...
