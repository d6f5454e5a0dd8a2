"""People at a phone: whom a number stands for, and what is on its way to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

PartState: TypeAlias = Literal["unsent", "sending", "sent", "failed"]
ReceiptStatus: TypeAlias = Literal["queued", "sent", "delivered", "read", "undelivered", "failed"]
# What becomes of a message, in the order in which it may: news of the same rank or a lower one is none.
RANKS: Mapping[ReceiptStatus, int] = {
    "queued": 0,
    "sent": 1,
    "delivered": 2,
    "undelivered": 2,
    "failed": 2,
    "read": 3,
}


# Channels on which nobody watches, and each message is paid for.
PHONES = frozenset({"sms", "whatsapp", "azure_sms"})
# Of a person's words on whether to be written to: so many are known again when they come again.
MOST_HEARD = 20
# Replies that may be on their way to one conversation. Of what comes then it is kept that it failed, for that reason.
MOST_UNSENT = 500
OUTBOX_FULL = "outbox_full"
# They want nothing more, and their provider knows it.
OPTED_OUT = "opted_out"
# What people there are told who ask for one.
NO_PICTURES = "No pictures are made here."


def person_of(number: str) -> str:
    """The person behind an E.164 number, over all the channels of a phone (RFC 3966)."""
    return f"tel:{number}"


def number_of(person: str) -> str | None:
    """None for people who are not known by a number."""
    scheme, _, number = person.partition(":")
    return number if scheme == "tel" else None


def text_id(*parts: str) -> str:
    """An id for a text, or an alias of it, that tells nothing of what it was made of."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


def picture_key(conversation_id: str, url: str) -> str:
    """Of the file that a picture at this URL becomes, which came with a text in this conversation."""
    return f"received/{conversation_id}/{text_id(url)}"


def picture_line(key: str) -> str:
    """What stands for the picture in the question."""
    return f"[picture {key}]"


def pictures_in(conversation_id: str, text: str) -> Sequence[str]:
    """Keys of those that came with a question of this conversation. What a person types leads to nobody else's."""
    return re.findall(rf"\[picture (received/{re.escape(conversation_id)}/[0-9a-f]{{40}})\]", text)


@dataclass(frozen=True, slots=True)
class Text:
    """What a phone sent. `number`: whom it came from; nobody whom we answer if not in E.164. `message_id` is of
    `text_id`; `aliases`: other ids under which it may come again. `media`: URLs of what came with it. `said_at`: when,
    in ms since 1970; None where the provider does not tell.
    """

    channel: str
    number: str
    message_id: str
    text: str
    aliases: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    said_at: int | None = None

    @property
    def person(self) -> str:
        return person_of(self.number)


@dataclass(frozen=True, slots=True)
class Consent:
    """A person's newest word on whether to be written to on a channel, and when it was said.

    `ended_by`: None while they want nothing; else the id of the text that ended an opt-out, empty if there was none.
    `begun_by`: of the text that began the opt-out, empty if none did. `heard`: of the texts that were their last words.
    """

    at: int
    ended_by: str | None = None
    begun_by: str = ""
    heard: tuple[str, ...] = ()

    @property
    def opted_out(self) -> bool:
        return self.ended_by is None

    def was_begun_by(self, message_id: str) -> bool:
        """Whether they want nothing, and this text was the first to say so."""
        return self.opted_out and message_id != "" and self.begun_by == message_id

    def with_heard(self, message_id: str) -> Consent:
        return replace(self, heard=(*self.heard, message_id)[-MOST_HEARD:]) if message_id else self


def after_opt_out(known: Consent | None, at: int, message_id: str) -> Consent:
    """What is known once they have opted out at this time, by this text; empty: a provider said so."""
    if known is None:
        return Consent(at, begun_by=message_id).with_heard(message_id)
    if message_id in known.heard:
        return known
    if known.at > at:
        return known.with_heard(message_id)
    begun_by = (known.opted_out and known.begun_by) or message_id
    return Consent(at, begun_by=begun_by, heard=known.heard).with_heard(message_id)


def after_opt_in(known: Consent | None, at: int, message_id: str) -> Consent:
    """What is known once they have opted in at this time, by this text."""
    if known is None:
        return Consent(at, "").with_heard(message_id)
    if message_id in known.heard:
        return known
    if known.at > at:
        return known.with_heard(message_id)
    return Consent(at, message_id if known.opted_out else "", heard=known.heard).with_heard(message_id)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one message of a reply says. `picture`: which of the reply's pictures goes with it."""

    text: str
    picture: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One message to a phone. `began_at`: when it last went on its way. `provider_id` once the provider has named it.

    `sending` is a doubt: it may or may not have been sent. `unsent`: it surely was not, and is to be tried again.
    """

    index: int
    state: PartState
    began_at: int
    provider_id: str | None = None
    code: str | None = None


def unposted(now: int) -> Part:
    """Of a reply for which there was no room."""
    return Part(0, "failed", now, code=OUTBOX_FULL)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A reply on its way to a phone, on loan to one sender.

    `offset` is the reply's. `images` are keys of files. `asked_at`: when the newest question that it answers was
    accepted. `tries`: how often it was taken, this time included. `attempt` fences.
    """

    conversation_id: str
    person: str
    channel: str
    offset: int
    text: str
    images: tuple[str, ...]
    asked_at: int
    attempt: int
    tries: int
    parts: tuple[Part, ...] = ()

    def part(self, index: int) -> Part | None:
        return next((part for part in self.parts if part.index == index), None)

    def knowing(self, part: Part) -> Outgoing:
        """With this part in place of what was known of it."""
        others = (one for one in self.parts if one.index != part.index)
        return replace(self, parts=tuple(sorted((*others, part), key=lambda one: one.index)))


@dataclass(frozen=True, slots=True)
class Doubt:
    """A message that may have been sent, or not. `key`, `began_at` and `asked_at` are those it was sent with.

    `others`: the provider's ids of messages that are known to be others, though they may have the same words.
    """

    key: str
    began_at: int
    asked_at: int
    others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the provider last said of one message. `code`: the provider's own for why it failed."""

    channel: str
    provider_id: str
    status: ReceiptStatus
    code: str | None
    at: int
