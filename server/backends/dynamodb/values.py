"""Values to items and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

import msgspec

from server.backends.dynamodb import keys
from server.backends.dynamodb.items import Item, Key, key_of
from server.model import Conversation, DeadLetter, Draft, Entry, Lease, Move, Question, Reply, Step, Usage, Version

STEPS = {kind.__name__: kind for kind in get_args(Step)}


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation and its lease.

    `waiting`: the offsets of the questions without a reply, the oldest first; `cancelled`: those of them that are.
    `lease_until` is 0 when it was let go; `retry_at`: a failed question waits until then. `deleted`: only what is left
    of it is still there.
    """

    conversation: Conversation
    waiting: tuple[int, ...]
    cancelled: frozenset[int]
    attempt: int
    lease_until: int
    retry_at: int
    tries: int
    failures: int
    steps: int
    deleted: bool

    def lease(self, question: Question) -> Lease:
        """As it is now, for this question."""
        one = self.conversation
        return Lease(
            conversation_id=one.id,
            person=one.person,
            channel=one.channel,
            assistant=one.assistant,
            attempt=self.attempt,
            question=question,
            tries=self.tries,
            failures=self.failures,
            cancelled=question.offset in self.cancelled,
            steps=self.steps,
            thread=one.thread,
        )


def head_item(new: Conversation) -> Item:
    return {
        **keys.head(new.id)._asdict(),
        **{name: getattr(new, name) for name in ("person", "channel", "assistant", "epoch", "offset", "answered")},
        **dict.fromkeys(("attempt", "leaseUntil", "retryAt", "tries", "failures", "steps"), 0),
        "waiting": [],
        "createdAt": new.created_at,
        "updatedAt": new.updated_at,
    }


def head(item: Item) -> Head:
    return Head(
        conversation=conversation(item),
        waiting=tuple(item["waiting"]),
        cancelled=frozenset(item.get("cancelled", ())),
        attempt=item["attempt"],
        lease_until=item["leaseUntil"],
        retry_at=item["retryAt"],
        tries=item["tries"],
        failures=item["failures"],
        steps=item["steps"],
        deleted=item.get("deleted", False),
    )


def conversation(item: Item) -> Conversation:
    return Conversation(
        id=keys.conversation_id(key_of(item)),
        person=item["person"],
        channel=item["channel"],
        assistant=item["assistant"],
        epoch=item["epoch"],
        offset=item["offset"],
        answered=item["answered"],
        created_at=item["createdAt"],
        updated_at=item.get("updatedAt", 0),
        thread=item.get("thread"),
    )


def question_item(conversation_id: str, asked: Question) -> Item:
    """Without its text."""
    key = keys.entry(conversation_id, asked.offset)
    return {**key._asdict(), "messageId": asked.message_id, "createdAt": asked.created_at}


def reply_item(conversation_id: str, reply: Reply) -> Item:
    """Without its text."""
    draft = reply.draft
    return {
        **keys.entry(conversation_id, reply.offset)._asdict(),
        "messageId": reply.message_id,
        "question": reply.question,
        "createdAt": reply.created_at,
        "finishReason": draft.finish_reason,
        "usage": asdict(draft.usage) if draft.usage else None,
        "code": draft.code,
        "retryable": draft.retryable,
        "assistant": draft.assistant,
    }


def entry(item: Item) -> Entry:
    return reply(item) if "question" in item else question(item)


def question(item: Item) -> Question:
    return Question(keys.offset(key_of(item)), item["messageId"], item["text"], item["createdAt"])


def reply(item: Item) -> Reply:
    usage = Usage(**item["usage"]) if "usage" in item else None
    draft = Draft(item["text"], item["finishReason"], usage, item.get("code"), item["retryable"], item["assistant"])
    return Reply(keys.offset(key_of(item)), item["question"], item["messageId"], draft, item["createdAt"])


def letter_item(lease: Lease, code: str, now: int) -> Item:
    key = keys.letter(lease.conversation_id, lease.question.offset)
    return {**key._asdict(), "person": lease.person, "code": code, "tries": lease.tries, "createdAt": now}


def letter(item: Item, asked: Question) -> DeadLetter:
    conversation_id = keys.conversation_id(key_of(item))
    return DeadLetter(conversation_id, item["person"], asked, item["code"], item["tries"], item["createdAt"])


def step_text(step: Step) -> str:
    return msgspec.json.encode(step).decode()


def step(item: Item) -> Step:
    decoded: Step = msgspec.json.decode(item["text"], type=STEPS[item["kind"]])
    return decoded


def version(name: str, item: Item) -> Version:
    return Version(name, item["sk"].removeprefix("version#"), item["text"], item["createdAt"])


def move_item(key: Key, move: Move) -> Item:
    return {
        **key._asdict(),
        "stage": move.stage,
        "version": move.version,
        "providerId": move.provider_id,
        "movedAt": move.moved_at,
        "undone": move.undone,
    }


def move(name: str, item: dict[str, Any]) -> Move:
    return Move(name, item["stage"], item["version"], item.get("providerId"), item["movedAt"], item["undone"])
