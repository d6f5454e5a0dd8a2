"""The debate endpoint, both directions: bytes to a request, what was said to an answer or to events. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from server.errors import BadInput
from server.model import Draft

NAME = "http_chat"
MOST_SHOWN = 5

# The key of a file to a link to it that is good from now on. Computes, and waits for nothing.
Sign: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Told:
    """A question, and what was told in answer."""

    question: str
    reply: Draft


class ChatRequest(Struct, frozen=True):
    """Say something in a conversation; without a conversation_id, a new one begins."""

    message: str
    conversation_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class ChatMessage(Struct, frozen=True, omit_defaults=True):
    role: Literal["user", "bot"]
    message: str
    images: Annotated[tuple[str, ...], Meta(description="pictures; links end, the same request gives new ones")] = ()


class ChatAnswer(Struct, frozen=True):
    """The newest 5 messages of both sides together; the last one is the answer to yours."""

    conversation_id: str
    message: list[ChatMessage]


class ChatBegun(Struct, frozen=True):
    """The event `accepted`: the message is durable and will be answered."""

    conversation_id: str


class ChatDelta(Struct, frozen=True):
    """The event `delta`: the next words of the answer. After an event `restart` it begins anew."""

    text: str


class ChatRestart(Struct, frozen=True):
    """The event `restart`: forget the words so far."""


EVENTS = (ChatBegun, ChatDelta, ChatRestart)

decoder: msgspec.json.Decoder[ChatRequest] = msgspec.json.Decoder(ChatRequest)
encoder = msgspec.json.Encoder()
EXAMPLE = '{"conversation_id": null, "message": "..."}'
HEARTBEAT = b":\n\n"


def parse(body: bytes) -> ChatRequest:
    """Raises `BadInput` that says what is wrong with it."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadInput(f"The request does not fit: {error}. Send {EXAMPLE}", code="bad_body") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadInput(f"The request is not JSON; send {EXAMPLE}", code="bad_json") from None


def answer(conversation_id: str, story: Sequence[Told], sign: Sign) -> ChatAnswer:
    """`story`: the newest of it, oldest first."""
    said: list[ChatMessage] = []
    for told in story:
        images = tuple(map(sign, told.reply.images))
        said += ChatMessage("user", told.question), ChatMessage("bot", told.reply.text, images)
    return ChatAnswer(conversation_id, said[-MOST_SHOWN:])


def event(name: str, data: Struct) -> bytes:
    """One server-sent event. JSON has no line breaks of its own."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encoder.encode(data))
