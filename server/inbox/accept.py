"""The door: a message gets in once, and is acknowledged only when it is durable."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from server.bulkhead import bulkhead
from server.errors import BadInput
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.model import REQUEUED, Accepted, InboundMessage
from server.ports import Bell, Delivery, Log

logger = structlog.get_logger()

MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A ring that is early by a hair is heard for nothing, and then only the sweep finds the conversation.
LATE_SECONDS = 0.05


Look: TypeAlias = Callable[[str], Awaitable[None]]


async def nobody(_conversation_id: str) -> None:
    """No worker in this process."""


class Inbox:
    """`look`: tells whoever may be at work on the conversation that its turn may have been cancelled. The bell tells
    them too, but may take its time: nobody waits for it first.
    """

    def __init__(
        self,
        log: Log,
        bell: Bell,
        delivery: Delivery,
        rate: Rate,
        metrics: Metrics,
        *,
        most_bytes: int,
        look: Look = nobody,
    ) -> None:
        self._log = log
        self._bell = bell
        self._delivery = delivery
        self._rate = rate
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._look = look

    async def accept(self, message: InboundMessage, *, limited: bool = True) -> Accepted:
        """Log it, ring, and tell every device of the person, unless it is a duplicate.

        Raises what `Log.accept` raises, `BadInput` and, if it is `limited` by the rate, `TooMany`.
        """
        check(message, self._most_bytes)
        if limited:
            self._rate.spend(message.person)
        accepted = await self._log.accept(message)
        if accepted.duplicate:
            return accepted
        self._metrics.accepted.inc()
        await self._announce(message)
        await self._delivery.send(message.person, accepted)
        logger.info("message_accepted", conversation=accepted.conversation_id, offset=accepted.offset)
        return accepted

    async def _announce(self, message: InboundMessage) -> None:
        """That it is due, and that what it interrupts is over."""
        if message.when_busy == "interrupt":
            await self._look(message.conversation_id)
        if message.quiet:
            await self._ring(message.conversation_id, message.quiet + LATE_SECONDS)
        if message.when_busy == "interrupt" or not message.quiet:
            await self._ring(message.conversation_id)

    def check(self, message: InboundMessage) -> None:
        """Raises what `accept` would of what is limited, as far as can be told without the log."""
        check(message, self._most_bytes)
        self._rate.check(message.person)

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        """Cancel a question that waits, the oldest if none is named. Its one end is on its way then."""
        await self._log.cancel(person, conversation_id, message_id)
        await self._look(conversation_id)
        await self._ring(conversation_id)
        logger.info("message_cancelled", conversation=conversation_id)

    async def _ring(self, conversation_id: str, delay: float = 0) -> None:
        # The message is durable; the sweep will find it.
        with bulkhead("ring_failed", conversation=conversation_id):
            await self._bell.ring(conversation_id, delay)


def check(message: InboundMessage, most_bytes: int) -> None:
    if not all(MESSAGE_ID.fullmatch(one) and not one.startswith(REQUEUED) for one in message.ids):
        raise BadInput(
            f"messageId must be 1 to 64 of A-Z a-z 0-9 _ - and not begin with {REQUEUED}.", code="bad_message_id"
        )
    if not message.text.strip():
        raise BadInput("message is empty; say something.", code="empty_message")
    if "\0" in message.text:
        raise BadInput("message holds a NUL character; leave it out.", code="bad_message")
    if (size := len(message.text.encode())) > most_bytes:
        raise BadInput(
            f"message has {size} bytes, at most {most_bytes} are taken; shorten it.", code="message_too_long"
        )
