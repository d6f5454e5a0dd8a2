"""What processes say to each other, in MessagePack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from server.model import Frame, Place, Snapshot

PUSHES = "/@connections"
REPLIES = "/@replies"
# The most that is read of one call.
CALL_BYTES = 16 * 1024 * 1024


class Push(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A frame for a socket over there."""

    connection_id: str
    person: str
    attempt: int
    data: bytes
    conversation_id: str
    offset: int
    turn: int
    delta: bool
    at: int | None
    end: int | None
    rich: bytes | None
    through: int = 0

    def frame(self) -> Frame:
        rich = self.rich
        return Frame(
            self.data,
            self.conversation_id,
            self.offset,
            self.turn,
            self.delta,
            self.at,
            self.end,
            None if rich is None else lambda: rich,
            self.through,
        )


class Look(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The turn of a conversation over there may have been cancelled."""

    conversation_id: str


class Missed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Entries of a conversation did not reach a socket over there. They are in the log."""

    connection_id: str
    conversation_id: str


class Gone(msgspec.Struct, frozen=True, array_like=True):
    """The answer: which sockets are there no more."""

    connections: list[tuple[str, str]]


Parcel: TypeAlias = Push | Look | Missed

encode = msgspec.msgpack.Encoder().encode
_parcels: msgspec.msgpack.Decoder[list[Parcel]] = msgspec.msgpack.Decoder(list[Parcel])
_gone = msgspec.msgpack.Decoder(Gone)
_snapshots = msgspec.msgpack.Decoder(list[Snapshot])


def push(place: Place, frame: Frame, attempt: int) -> Push:
    return Push(
        place.connection_id,
        place.person,
        attempt,
        frame.data,
        frame.conversation_id,
        frame.offset,
        frame.turn,
        frame.delta,
        frame.at,
        frame.end,
        frame.rich() if frame.rich else None,
        frame.through,
    )


def read_parcels(body: bytes) -> Sequence[Parcel]:
    """Raises `msgspec.MsgspecError`, as all that read here."""
    return _parcels.decode(body)


def read_gone(body: bytes) -> Gone:
    return _gone.decode(body)


def read_snapshots(body: bytes) -> Sequence[Snapshot]:
    return _snapshots.decode(body)
