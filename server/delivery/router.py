"""Events to wherever the person listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import assert_never

import structlog

from server.bulkhead import bulkhead
from server.delivery.live import LiveReply
from server.errors import ConnectionGone
from server.model import Accepted, Delta, Event, Frame, Replied, RunStarted, Snapshot, ToolUsed
from server.ports import Connections, Pusher

logger = structlog.get_logger()


class Router:
    """Implements the port Delivery: every device of the person gets every event.

    A reply's first words go out at once; those that follow within `window` seconds of the last go out together at its
    end, while `run` runs. Nothing else waits, and nothing is overtaken.
    """

    def __init__(
        self,
        connections: Connections,
        pusher: Pusher,
        encode: Callable[[Event], Frame],
        *,
        window: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connections = connections
        self._pusher = pusher
        self._encode = encode
        self._window = window
        self._clock = clock
        self._live: dict[str, dict[str, LiveReply]] = {}
        self._pending: dict[str, LiveReply] = {}
        self._stirred = asyncio.Event()

    async def send(self, person: str, event: Event, attempt: int = 0) -> None:
        match event:
            case Delta():
                await self._speak(person, event, attempt)
                return
            case RunStarted(conversation_id):
                self._pending.pop(conversation_id, None)
                self._live.setdefault(person, {})[conversation_id] = LiveReply(person, event, attempt)
            case ToolUsed(conversation_id):
                await self._flush(conversation_id)
            case Replied(conversation_id):
                await self._flush(conversation_id)
                self.forget(person, conversation_id, attempt)
            case Accepted():
                pass
            case _:
                assert_never(event)
        await self._push(person, event, attempt)

    def forget(self, person: str, conversation_id: str, attempt: int) -> None:
        theirs = self._live.get(person, {})
        reply = theirs.get(conversation_id)
        if reply is None or reply.attempt > attempt:
            return
        del theirs[conversation_id]
        self._pending.pop(conversation_id, None)
        if not theirs:
            del self._live[person]

    def under_way(self, person: str) -> Sequence[Snapshot]:
        """What was sent so far of the person's replies that are under way here."""
        return [reply.snapshot() for reply in self._live.get(person, {}).values()]

    async def run(self) -> None:
        """Send what is pending when its window ends, until cancelled."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            await asyncio.sleep(self._window)
            for conversation_id in list(self._pending):
                with bulkhead("words_not_sent", conversation=conversation_id):
                    await self._flush(conversation_id)

    async def _speak(self, person: str, delta: Delta, attempt: int) -> None:
        reply = self._live[person][delta.conversation_id]
        if attempt != reply.attempt:
            return
        reply.pending.append(delta.text)
        if self._clock() - reply.sent_at >= self._window:
            await self._flush_reply(reply)
        elif delta.conversation_id not in self._pending:
            self._pending[delta.conversation_id] = reply
            self._stirred.set()

    async def _flush(self, conversation_id: str) -> None:
        reply = self._pending.get(conversation_id)
        if reply is not None:
            await self._flush_reply(reply)

    async def _flush_reply(self, reply: LiveReply) -> None:
        delta = reply.take(self._clock())
        self._pending.pop(delta.conversation_id, None)
        try:
            await self._push(reply.person, delta, reply.attempt)
        except asyncio.CancelledError:
            # A turn that is cancelled while it speaks has said this. A socket that has it already drops it.
            reply.put_back(delta)
            if reply.pending:
                self._pending[delta.conversation_id] = reply
                self._stirred.set()
            raise

    async def _push(self, person: str, event: Event, attempt: int) -> None:
        frame = None
        fresh = not isinstance(event, Delta | ToolUsed)
        for connection_id in await self._connections.of(person, fresh=fresh):
            frame = frame or self._encode(event)
            try:
                await self._pusher.push(connection_id, frame, attempt)
            except ConnectionGone:
                logger.debug("connection_gone", connection=connection_id)
