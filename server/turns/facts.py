"""What a lease tells of its turn."""

from __future__ import annotations

import time

from server.inbox.notices import notice_of
from server.inbox.words import wish_of
from server.model import PHONES, REQUEUED, Accepted, Lease


def age(lease: Lease) -> float:
    """Seconds since the question was accepted."""
    return max(0.0, time.time() - lease.question.created_at / 1000)


def announced(lease: Lease) -> Accepted:
    question = lease.question
    return Accepted(lease.conversation_id, question.message_id, question.offset, question.text, question.created_at)


def notice_asked(lease: Lease) -> str | None:
    if lease.channel not in PHONES:
        return None
    asked = lease.question
    # An order of a picture that an operator puts there again has lost the id that says so.
    if asked.message_id.startswith(REQUEUED) and wish_of(asked.text):
        return "picture"
    return notice_of(asked.message_id)


def ids(lease: Lease) -> dict[str, object]:
    return {"conversation": lease.conversation_id, "question": lease.question.offset, "attempt": lease.attempt}
