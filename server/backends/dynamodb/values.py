"""Values to items and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import msgspec

from server.backends.dynamodb import keys
from server.backends.dynamodb.items import Item, Key, key_of
from server.model import (
    Breath,
    Conversation,
    DeadLetter,
    Draft,
    Entry,
    Lease,
    Move,
    Part,
    Question,
    Reply,
    Step,
    Usage,
    Version,
    Waiting,
    as_one,
    breaths,
)

STEPS = {kind.__name__: kind for kind in get_args(Step)}


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation and its lease.

    `waiting`: the offsets of the questions without a reply, the oldest first; `cancelled`: those of them that are.
    `lease_until` is 0 when it was let go; `retry_at`: what waits is not due before. `deleted`: only what is left of it
    is still there. `quiet`: what of it waits for silence. `through`: the newest entry when the turn under way was
    begun; 0: none was.
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
    quiet: tuple[Waiting, ...] = ()
    through: int = 0

    def turns(self) -> Sequence[Breath]:
        """What waits, as turns will answer it."""
        known = {one.offset: one for one in self.quiet}
        line = (known.get(offset, Waiting(offset, 0)) for offset in self.waiting)
        return breaths((replace(one, cancelled=one.offset in self.cancelled) for one in line), self.through)

    def with_another(self, added: Waiting) -> Head:
        """As it is when that has been asked, too."""
        return replace(self, waiting=(*self.waiting, added.offset), quiet=(*self.quiet, added))

    def asked(self) -> tuple[int, ...]:
        """The offsets of the questions that the next turn answers."""
        return tuple(one.offset for one in self.turns()[0]) if self.quiet else self.waiting[:1]

    def lease(self, questions: Sequence[Question]) -> Lease:
        """As it is now, for these questions."""
        one, (question, *more) = self.conversation, questions
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
            more=tuple(more),
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
        quiet=tuple(Waiting(one["offset"], one["askedAt"], one["quiet"]) for one in item.get("quiet", ())),
        through=item.get("through", 0),
    )


def pause(one: Waiting) -> Item:
    """Of a question that waits for silence, as the head keeps it."""
    return {"offset": one.offset, "askedAt": one.asked_at, "quiet": one.quiet}


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


def question_item(conversation_id: str, asked: Question, aliases: Sequence[str] = ()) -> Item:
    """Without its text."""
    key = keys.entry(conversation_id, asked.offset)
    known = {"messageId": asked.message_id, "createdAt": asked.created_at, "aliases": list(aliases) or None}
    return {**key._asdict(), **known}


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
        "images": list(draft.images) or None,
        "messageIds": list(reply.message_ids) or None,
        "through": reply.through or None,
    }


def entry(item: Item) -> Entry:
    return reply(item) if "question" in item else question(item)


def question(item: Item) -> Question:
    return Question(keys.offset(key_of(item)), item["messageId"], item["text"], item["createdAt"])


def reply(item: Item) -> Reply:
    usage = Usage(**item["usage"]) if "usage" in item else None
    draft = Draft(
        text=item["text"],
        finish_reason=item["finishReason"],
        usage=usage,
        code=item.get("code"),
        retryable=item["retryable"],
        assistant=item["assistant"],
        images=tuple(item.get("images", ())),
    )
    return Reply(
        offset=keys.offset(key_of(item)),
        question=item["question"],
        message_id=item["messageId"],
        draft=draft,
        created_at=item["createdAt"],
        message_ids=tuple(item.get("messageIds", ())),
        through=item.get("through", 0),
    )


def letter_item(lease: Lease, code: str, now: int) -> Item:
    key = keys.letter(lease.conversation_id, lease.question.offset)
    known = {"person": lease.person, "code": code, "tries": lease.tries, "createdAt": now}
    return {**key._asdict(), **known, "more": [one.offset for one in lease.more] or None}


def asked_in(item: Item) -> list[Key]:
    """The questions that a letter is about."""
    conversation_id = keys.conversation_id(key_of(item))
    return [keys.entry(conversation_id, offset) for offset in (keys.offset(key_of(item)), *item.get("more", ()))]


def letter(item: Item, questions: Sequence[Question]) -> DeadLetter:
    conversation_id = keys.conversation_id(key_of(item))
    asked = as_one(questions)
    return DeadLetter(conversation_id, item["person"], asked, item["code"], item["tries"], item["createdAt"])


def part_item(conversation_id: str, offset: int, part: Part) -> Item:
    return {
        **keys.message(conversation_id, offset, part.index)._asdict(),
        "index": part.index,
        "state": part.state,
        "beganAt": part.began_at,
        "providerId": part.provider_id,
        "code": part.code,
    }


def part(item: Item) -> Part:
    return Part(item["index"], item["state"], item["beganAt"], item.get("providerId"), item.get("code"))


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
