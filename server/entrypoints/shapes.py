"""What is answered about conversations."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from server.model import PartState, ReceiptStatus


class ConversationSummary(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A conversation. Times are milliseconds since 1970; `offset` is its newest message's."""

    conversation_id: str
    channel: str
    assistant: str
    created_at: int
    updated_at: int
    offset: int
    phone_number: str | None = None


class ConversationList(Struct, frozen=True):
    """One's own conversations, the one last spoken in first; and for administrators a page of the phones that have
    any. `more`: there are others behind the last one, `?after=` that one.
    """

    phone_numbers: list[str]
    conversations: list[ConversationSummary]
    more: bool


class Delivery(Struct, frozen=True):
    """What became of a message to a phone: as its provider says, or while that says nothing, as far as it is known
    here. `code`: why it failed.
    """

    status: Literal[ReceiptStatus, PartState]
    code: str | None


class Said(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A message. `role` is user or assistant. `deliveries`, of a reply to a phone: of each message that it was sent as;
    of none while none was begun.
    """

    role: str
    content: str
    offset: int
    created_at: int
    conversation_id: str
    deliveries: list[Delivery] | None = None


class ConversationShown(Struct, frozen=True, omit_defaults=True):
    """Messages, oldest first; fewer than asked for where they are long. `before`, where there are earlier ones, asks
    for them: `?before=`.
    """

    conversation: list[Said]
    before: str | None = None


class Deleted(Struct, frozen=True):
    """Every conversation of the phone is gone, and what was noted in them."""

    message: str
