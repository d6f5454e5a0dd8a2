"""What a lease tells of its turn."""

from __future__ import annotations

import time

from server.inbox.notices import notice_of
from server.model import PHONES, Accepted, Lease


def age(lease: Lease) -> float:
    """Seconds since the question was accepted."""
    return max(0.0, time.time() - lease.question.created_at / 1000)


def announced(lease: Lease) -> Accepted:
    question = lease.question
    return Accepted(lease.conversation_id, question.message_id, question.offset, question.text, question.created_at)


def notice_asked(lease: Lease) -> str | None:
    return notice_of(lease.question.message_id) if lease.channel in PHONES else None


def ids(lease: Lease) -> dict[str, object]:
    return {"conversation": lease.conversation_id, "question": lease.question.offset, "attempt": lease.attempt}
