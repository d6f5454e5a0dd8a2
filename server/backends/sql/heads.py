"""What need not be read again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from server.model import Conversation


class Heads:
    """The current conversation of each person, exactly as the database has it, of at most so many people.

    Every change of one happens within `moving`, and everything learned was read since the `moves` it is given.
    """

    def __init__(self, most: int) -> None:
        self.moves = 0
        self._most = most
        self._known: dict[str, Conversation] = {}
        self._moving: Counter[str] = Counter()

    def get(self, person: str, channel: str) -> Conversation | None:
        known = self._known.get(person)
        return known if known is not None and known.channel == channel else None

    def learn(self, read: Conversation, moves: int) -> None:
        """Nothing, if anything moved meanwhile: it may have been read before that."""
        if moves != self.moves or self._moving[read.person]:
            return
        self._known.pop(read.person, None)
        self._known[read.person] = read
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]

    @contextmanager
    def moving(self, person: str) -> Iterator[None]:
        """Nothing is known of the person until the end; nor ever again if that is a cancellation, because then the
        change may be yet to come.
        """
        self._forget(person)
        self._moving[person] += 1
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._moved(person)
            raise
        self._moved(person)

    def _moved(self, person: str) -> None:
        self._forget(person)
        self._moving[person] -= 1
        if not self._moving[person]:
            del self._moving[person]

    def _forget(self, person: str) -> None:
        self.moves += 1
        self._known.pop(person, None)
