"""The door: a message gets in once, and is acknowledged only when it is durable."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

from server.errors import BadInput, ServerError
from server.inbox.rate import Rate
from server.metrics import Metrics
from server.model import REQUEUED, Accepted, InboundMessage
from server.ports import Bell, Delivery, Log

logger = structlog.get_logger()

MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


Alert: TypeAlias = Callable[[str], Awaitable[None]]


async def nobody_else(_conversation_id: str) -> None:
    """The only process that runs turns has heard the bell."""


class Inbox:
    """`alert`: the turn under way in a conversation may have to stop, whichever process runs it."""

    def __init__(
        self,
        log: Log,
        bell: Bell,
        delivery: Delivery,
        rate: Rate,
        metrics: Metrics,
        *,
        most_bytes: int,
        alert: Alert = nobody_else,
    ) -> None:
        self._log = log
        self._bell = bell
        self._delivery = delivery
        self._rate = rate
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._alert = alert

    async def accept(self, message: InboundMessage) -> Accepted:
        """Log it, ring, and tell every device of the person, unless it is a duplicate.

        Raises what `Log.accept` raises, `BadInput` and `TooMany`.
        """
        check(message, self._most_bytes)
        self._rate.spend(message.person)
        accepted = await self._log.accept(message)
        if accepted.duplicate:
            return accepted
        self._metrics.accepted.inc()
        await self._ring(accepted.conversation_id)
        if message.when_busy == "interrupt":
            await self._alert(accepted.conversation_id)
        await self._delivery.send(message.person, accepted)
        logger.info("message_accepted", conversation=accepted.conversation_id, offset=accepted.offset)
        return accepted

    async def cancel(self, person: str, conversation_id: str, message_id: str | None) -> None:
        """Cancel a question that waits, the oldest if none is named. Its one end is on its way then."""
        await self._log.cancel(person, conversation_id, message_id)
        await self._ring(conversation_id)
        await self._alert(conversation_id)
        logger.info("message_cancelled", conversation=conversation_id)

    async def _ring(self, conversation_id: str) -> None:
        try:
            await self._bell.ring(conversation_id)
        except ServerError as error:
            # The message is durable; the sweep will find it.
            logger.warning("ring_failed", conversation=conversation_id, code=error.code)


def check(message: InboundMessage, most_bytes: int) -> None:
    if not MESSAGE_ID.fullmatch(message.message_id) or message.message_id.startswith(REQUEUED):
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
