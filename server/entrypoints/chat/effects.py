"""What `Talk` wants done: frames to send, things to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from server.channels.websocket import frames


@dataclass(frozen=True, slots=True)
class Welcome:
    """Connected for the first time. `offset`: how much was said in this conversation before."""

    user_id: str
    offset: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A question has its turn. Not `mine`: another device of the same person asked it."""

    text: str
    mine: bool


@dataclass(frozen=True, slots=True)
class Spoken:
    """More words of the reply to the question shown last."""

    text: str


@dataclass(frozen=True, slots=True)
class Anew:
    """Forget the words shown of this reply: it begins again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a reply: `text` is all of it, the words spoken since it last began; or, `failed`, what went wrong."""

    text: str
    finish_reason: str
    mine: bool
    failed: bool

    @property
    def early(self) -> str:
        """Why the reply ended before its end, if it did."""
        return (
            "" if self.failed or self.finish_reason == "stop" else ENDINGS.get(self.finish_reason, self.finish_reason)
        )


ENDINGS = {
    "cancelled": "cancelled",
    "length": "cut off: it grew too long",
    "content_filter": "cut off by the provider's filter",
    "refusal": "the model would not answer",
}


@dataclass(frozen=True, slots=True)
class Told:
    """A remark of the client itself."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """A page of the conversation, oldest first. `more`: it goes back further."""

    entries: Sequence[frames.HistoryEntry]
    more: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """The person's conversations, the one last spoken in first."""

    entries: Sequence[frames.ConversationEntry]
    current: str

    def lines(self) -> list[str]:
        """One of each; the current one has a star. Times are local."""
        return [f"{'*' if one.conversation_id == self.current else ' '} {line(one)}" for one in self.entries]


Show: TypeAlias = Asked | Spoken | Anew | Ended | Told | Past | Listing


@dataclass(frozen=True, slots=True)
class Send:
    frame: frames.ClientFrame


@dataclass(frozen=True, slots=True)
class Renew:
    """The token runs out."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """This connection answers no more."""


@dataclass(frozen=True, slots=True)
class Leave:
    pass


Effect: TypeAlias = Welcome | Show | Send | Renew | Reconnect | Leave


def line(entry: frames.ConversationEntry) -> str:
    when = datetime.fromisoformat(entry.updated_at).astimezone()
    return f"{when:%Y-%m-%d %H:%M}  {entry.offset:4} entries  {entry.conversation_id}"
