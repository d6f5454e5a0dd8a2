"""Values to rows and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from sqlalchemy import Row

from server.model import Conversation, DeadLetter, Draft, Entry, Lease, Question, Reply, Step, Usage, Waiting

STEPS = {kind.__name__: kind for kind in get_args(Step)}
NO_REPLY = dict.fromkeys(
    (
        *("question", "finish_reason", "code", "retryable", "input_tokens", "output_tokens", "assistant"),
        *("through", "message_ids", "images"),
    )
)


def conversation(row: Row[Any]) -> Conversation:
    return Conversation(
        id=row.id,
        person=row.person,
        channel=row.channel,
        assistant=row.assistant,
        epoch=row.epoch,
        offset=row.head,
        answered=row.answered,
        created_at=row.created_at,
        updated_at=row.updated_at,
        thread=row.thread,
    )


def entry(row: Row[Any]) -> Entry:
    return question(row) if row.question is None else reply(row)


def question(row: Row[Any]) -> Question:
    return Question(row.offset, row.message_id, row.text, row.created_at)


def dead_letter(row: Row[Any]) -> DeadLetter:
    asked = Question(row.offset, row.message_id, row.question_text, row.asked_at)
    return DeadLetter(row.conversation_id, row.person, asked, row.code, row.tries, row.created_at)


def reply(row: Row[Any]) -> Reply:
    usage = None if row.input_tokens is None else Usage(row.input_tokens, row.output_tokens)
    assistant, images = row.assistant or "", words(row.images)
    draft = Draft(row.text, row.finish_reason, usage, row.code, bool(row.retryable), assistant, images)
    ids = words(row.message_ids)
    return Reply(row.offset, row.question, row.message_id, draft, row.created_at, ids, row.through or 0)


def waiting(row: Row[Any]) -> Waiting:
    return Waiting(row.offset, row.created_at, row.quiet, bool(row.cancelled))


def words(column: str | None) -> tuple[str, ...]:
    return () if column is None else msgspec.json.decode(column, type=tuple[str, ...])


def column(words: Sequence[str]) -> str | None:
    return msgspec.json.encode(words).decode() if words else None


def step_row(conversation_id: str, number: int, step: Step) -> dict[str, Any]:
    body = msgspec.json.encode(step).decode()
    return {"conversation_id": conversation_id, "number": number, "kind": type(step).__name__, "body": body}


def step(row: Row[Any]) -> Step:
    decoded: Step = msgspec.json.decode(row.body, type=STEPS[row.kind])
    return decoded


def conversation_row(new: Conversation) -> dict[str, Any]:
    return {
        **{name: getattr(new, name) for name in ("id", "person", "channel", "assistant", "epoch")},
        **dict.fromkeys(("head", "answered", "waiting", "attempt", "lease_until", "due_at", "tries", "failures"), 0),
        "steps": 0,
        "through": 0,
        "thread": None,
        "lease_owner": "",
        "created_at": new.created_at,
        "updated_at": new.updated_at,
    }


def reply_row(lease: Lease, reply: Reply) -> dict[str, Any]:
    draft = reply.draft
    return {
        "conversation_id": lease.conversation_id,
        "offset": reply.offset,
        "message_id": reply.message_id,
        "text": draft.text,
        "created_at": reply.created_at,
        "question": reply.question,
        "finish_reason": draft.finish_reason,
        "code": draft.code,
        "retryable": draft.retryable,
        "input_tokens": draft.usage.input_tokens if draft.usage else None,
        "output_tokens": draft.usage.output_tokens if draft.usage else None,
        "assistant": draft.assistant,
        "quiet": 0,
        "through": reply.through or None,
        "message_ids": column(reply.message_ids),
        "images": column(draft.images),
    }


def dead_letter_row(lease: Lease, code: str, now: int) -> dict[str, Any]:
    return {
        "conversation_id": lease.conversation_id,
        "offset": lease.question.offset,
        "person": lease.person,
        "code": code,
        "tries": lease.tries,
        "created_at": now,
        "text": lease.asked.text if lease.more else None,
    }
