"""Which sockets there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.backends.memory.base import MemoryBase
from server.model import Place

# No two clocks differ by so much.
CLOCKS_SECONDS = 600


class MemoryConnections(MemoryBase):
    """Implements the port Registry, and a part of Members."""

    def __init__(self, clock: Callable[[], float], lease_ms: int) -> None:
        super().__init__(clock, lease_ms)
        self._places: dict[Place, float] = {}
        self._alive: dict[str, float] = {}

    async def register(self, place: Place, expires_at_seconds: float) -> None:
        self._places[place] = expires_at_seconds

    async def unregister(self, place: Place) -> None:
        self._places.pop(place, None)

    async def places(self, person: str) -> Sequence[Place]:
        return [place for place in self._places if place.person == person and self._is_there(place)]

    async def place(self, connection_id: str) -> Place | None:
        found = (place for place in self._places if place.connection_id == connection_id and self._is_there(place))
        return next(found, None)

    async def beat(self, node: str, seconds: float) -> bool:
        known = self._is_alive(node)
        self._alive[node] = self._clock() + seconds
        lost = self._clock() - CLOCKS_SECONDS
        self._alive = {one: until for one, until in self._alive.items() if until > lost}
        self._places = {
            place: until
            for place, until in self._places.items()
            if until > lost and place.node in self._alive and (known or place.node != node)
        }
        return known

    def _is_alive(self, node: str) -> bool:
        return self._alive.get(node, 0) > self._clock()

    def _is_there(self, place: Place) -> bool:
        return self._places[place] > self._clock() and self._is_alive(place.node)
