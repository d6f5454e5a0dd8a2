"""Work that several want at the same time, done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from server.errors import InDoubt, ServerError

logger = structlog.get_logger()


class Flights:
    """Who waits may leave: the work is done all the same, for it is paid for. `tasks` owns it."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._flying: dict[str, asyncio.Task[ServerError | None]] = {}

    async def join(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Have it done, or wait for the one that is doing it. Raises what the work raises."""
        flight = self._flying.get(name)
        if flight is None:
            flight = self._flying[name] = self._tasks.create_task(self._fly(name, work))
        error = await asyncio.shield(flight)
        if error is not None:
            raise error

    def end(self) -> None:
        for flight in self._flying.values():
            flight.cancel()

    async def _fly(self, name: str, work: Callable[[], Awaitable[None]]) -> ServerError | None:
        try:
            await work()
        except ServerError as error:
            return error
        except Exception:
            logger.exception("picture_crashed")
            return InDoubt("The picture could not be made.", code="internal")
        finally:
            del self._flying[name]
        return None
