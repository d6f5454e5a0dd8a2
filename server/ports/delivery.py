"""Who asks, what wakes the workers, and how words reach a person."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from server.model import (
    Event,
    Frame,
    Place,
    Principal,
    Snapshot,
)


class Verifier(Protocol):
    """Who holds this token?"""

    async def verify(self, token: str) -> Principal:
        """Raises `Unauthorized` for every token that is not entirely in order, whatever is wrong with it; `Unavailable`
        for one that cannot be judged because its issuer's keys cannot be had.
        """
        ...


class Ring(Protocol):
    """One conversation has work. Where others listen too, it is on loan to who heard it: none of them hears of the
    conversation until it is done, but all may, within 45 s, if the process that heard it is gone.
    """

    @property
    def conversation_id(self) -> str: ...

    async def done(self) -> None:
        """Never raises: at worst it is heard once more."""
        ...


class Bell(Protocol):
    """Says that a conversation has work, and nothing else. Rings may be lost, doubled, late or out of order."""

    async def ring(self, conversation_id: str, delay: float = 0) -> None:
        """`delay` is seconds. What this process itself has on loan is heard by it at once."""
        ...

    def rings(self) -> AsyncGenerator[Ring]:
        """For ever. Closing it gives back what was not yet heard."""
        ...


class Connections(Protocol):
    """Which sockets a person has open."""

    async def of(self, person: str, *, fresh: bool = True) -> Sequence[str]:
        """For `Pusher.push`, the oldest first. Not `fresh`: one that was opened in the last ten seconds may be missing,
        unless it was shown a snapshot.
        """
        ...


class Registry(Protocol):
    """Where sockets are, over all processes. What ran out is not there, nor what a dead process held."""

    async def register(self, place: Place, expires_at_seconds: float) -> None:
        """Again is no error. Whoever asks after it returns is told of the socket."""
        ...

    async def unregister(self, place: Place) -> None:
        """One that is not there is no error."""
        ...

    async def places(self, person: str) -> Sequence[Place]: ...

    async def place(self, connection_id: str) -> Place | None:
        """One that was registered just now may be missing."""
        ...


class Members(Protocol):
    """The processes, and what each is at work on."""

    async def owner(self, conversation_id: str) -> str | None:
        """Who has it on lease, under the name given to `Leases.take`."""
        ...

    async def beat(self, node: str, seconds: float) -> bool:
        """The process there lives, for so long from now. False if it was not known to: then its sockets are forgotten.
        What dead processes held is let go of minutes later: whose clock is a little ahead does no harm.
        """
        ...


class Pusher(Protocol):
    """Bytes to a socket: API Gateway's @connections contract."""

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        """Frames arrive in the order pushed. Never waits for a slow reader. Raises `ConnectionGone`.

        A turn's frame carries its attempt; one of a lower attempt than was seen before is dropped.
        """
        ...


class Nodes(Protocol):
    """The other processes, by their URLs. One that does not answer is not asked again for some seconds; what it is to
    be sent waits until it answers, within bounds.
    """

    def push(self, place: Place, frame: Frame, attempt: int) -> None:
        """Never waits. Frames of a place arrive in the order pushed; those that are lost are not told of."""
        ...

    async def hand(self, place: Place, frame: Frame) -> None:
        """One frame, past those that wait; the socket had it when it returns. Raises `ConnectionGone`, and
        `Unavailable` where nobody knows.
        """
        ...

    async def replies(self, node: str, person: str) -> Sequence[Snapshot]:
        """What was sent so far of the person's replies under way there; what is sent later goes to every socket that
        was registered before.
        """
        ...

    def look(self, node: str, conversation_id: str) -> None:
        """Have it see whether the turn under way there was cancelled, as soon as it answers. Never waits."""
        ...


class Delivery(Protocol):
    """Events to wherever the person listens."""

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        """To every device of the person, in the order of the calls. A device that is gone is no error: what was said is
        in the log. `attempt`: the one of the turn that says it.
        """
        ...

    def forget(self, person: str, conversation_id: str, attempt: int) -> None:
        """The attempt is over here, with or without a reply: its words are shown to nobody any more. One that is over
        already, or has made way for a later one, is no error.
        """
        ...
