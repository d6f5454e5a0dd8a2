"""Events to wherever the person listens."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from server.errors import ConnectionGone
from server.model import Event, Frame
from server.ports import Connections, Pusher

logger = structlog.get_logger()


class Router:
    """Implements the port Delivery: every device of the person gets every event."""

    def __init__(self, connections: Connections, pusher: Pusher, encode: Callable[[Event], Frame]) -> None:
        self._connections = connections
        self._pusher = pusher
        self._encode = encode

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        frame = None
        for connection_id in await self._connections.of(person):
            frame = frame or self._encode(event)
            try:
                await self._pusher.push(connection_id, frame, attempt)
            except ConnectionGone:
                logger.debug("connection_gone", connection=connection_id)
