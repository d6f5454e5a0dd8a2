"""What clients did and saw, what a store kept, what the provider was asked: the checker's input, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from server.model import Entry
from server.ports import Conversations, Log

Frame: TypeAlias = Mapping[str, Any]

MOST_CONVERSATIONS = 1_000
PAGE = 100


@dataclass(frozen=True, slots=True)
class Sent:
    """A `sendMessage`. The same message is sent again, on later sockets, until it was seen to be accepted."""

    message_id: str
    conversation_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A `resume`."""

    conversation_id: str
    after: int
    epoch: str


@dataclass(frozen=True, slots=True)
class Got:
    """A frame from the server."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing was being said any more, all was answered, and a ping sent after that had its pong."""


Event: TypeAlias = Sent | Asked | Got | Settled


@dataclass(slots=True)
class Socket:
    """One connection of a device, in the order that the client saw. `deltas`: it did not ask for whole replies only."""

    device: str
    deltas: bool = True
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation as the store holds it once every server has stopped."""

    person: str
    conversation_id: str
    epoch: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the provider saw it. Times are seconds since 1970; `ended` is None if it never did.

    `life`: which server asked. `prompt`: the texts of all items, the question last. Of many servers: before
    `sure_until`, no other life may begin one in the conversation; `excused`: this life was held up, and may not have
    known yet that another had taken over; `said`: all that it had to say, unlike that of any other.
    """

    conversation_id: str
    question: int
    attempt: int
    life: int
    began: float
    ended: float | None
    prompt: tuple[str, ...]
    sure_until: float = 0.0
    excused: bool = False
    said: str | None = None


class Store(Conversations, Log, Protocol):
    """Where logs are read from."""


async def read_logs(store: Store, people: Iterable[str]) -> list[Kept]:
    """Every conversation of these people."""
    logs = []
    for person in people:
        for found in await store.recent(person, MOST_CONVERSATIONS):
            entries = await read_entries(store, found.id)
            logs.append(Kept(person, found.id, found.epoch, entries))
    return logs


async def read_entries(store: Log, conversation_id: str) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    more = True
    while more:
        page = await store.after(conversation_id, entries[-1].offset if entries else 0, PAGE)
        entries += page.entries
        more = page.more
    return tuple(entries)


def frames_of(sockets: Iterable[Socket], kind: str) -> list[Frame]:
    """All frames of this `messageType`."""
    events = (event for socket in sockets for event in socket.events)
    return [event.frame for event in events if isinstance(event, Got) and event.frame["messageType"] == kind]


def devices_of(sockets: Iterable[Socket]) -> Mapping[str, Sequence[Socket]]:
    """Each device's sockets, in the order given."""
    devices: dict[str, list[Socket]] = {}
    for socket in sockets:
        devices.setdefault(socket.device, []).append(socket)
    return devices
