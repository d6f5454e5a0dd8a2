"""Who asks, what wakes the workers, and how words reach a person."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from server.model import (
    Event,
    Frame,
    Principal,
)


class Verifier(Protocol):
    """Who holds this token?"""

    async def verify(self, token: str) -> Principal:
        """Raises `Unauthorized` for every token that is not entirely in order, whatever is wrong with it."""
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

    async def of(self, person: str) -> Sequence[str]:
        """Connection ids, the oldest first."""
        ...


class Pusher(Protocol):
    """Bytes to a socket: API Gateway's @connections contract."""

    async def push(self, connection_id: str, frame: Frame, attempt: int = 0) -> None:
        """Frames arrive in the order pushed. Never waits for a slow reader. Raises `ConnectionGone`.

        A turn's frame carries its attempt; one of a lower attempt than was seen before is dropped.
        """
        ...


class Delivery(Protocol):
    """Events to wherever the person listens."""

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        """To every device of the person, in the order of the calls. A device that is gone is no error: what was said is
        in the log. `attempt`: the one of the turn that says it.
        """
        ...
