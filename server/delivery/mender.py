"""What was lost on its way to a socket is in the log."""

from __future__ import annotations

import asyncio

from server.bulkhead import bulkhead
from server.delivery.hub import Hub

LOOK_SECONDS = 1.0


class Mender:
    """Has sockets catch up with the log where frames are missing. `others`: also where none came, because the process
    that was to send them may be gone.
    """

    def __init__(self, hub: Hub, *, others: bool) -> None:
        self._hub = hub
        self._others = others

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with bulkhead("look_failed"):
                self.look()

    def look(self) -> None:
        for connection in self._hub:
            for conversation_id in connection.behind(overdue=self._others):
                connection.catch_up(conversation_id)
