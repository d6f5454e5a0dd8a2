"""One reply sent to a phone. A message costs money and cannot be taken back, so none is ever sent on a mere suspicion
that it was not: each part is noted before it goes out and after, and one that is in doubt is asked for first.

Whatever goes wrong ends in one of two ways, and this file alone decides which: the reply is tried again later, or it is
given up.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import structlog

from server.bulkhead import insist
from server.errors import InDoubt, ProviderFailed, ServerError, Unavailable
from server.metrics import Metrics
from server.model import OPTED_OUT, Doubt, Outgoing, Part, Piece, number_of
from server.ports import OptOuts, Outbox, Sender

logger = structlog.get_logger()

Result = TypeVar("Result")
# From the key of a file to a URL where the provider can fetch it for a while, from a moment on, in ms since 1970.
Sign: TypeAlias = Callable[[str, int], str]

# Seconds. The first is what a provider needs until it knows what it was asked; the longest spares one that is down.
FIRST_DELAY = 2.0
LONGEST_DELAY = 300.0
# A request that we no longer listen to may still be on its way, and then the provider does not know of it yet.
DOUBT_SECONDS = 10.0
# An answer that comes an hour after its time is of no use to somebody who stands there with a phone.
MOST_AGE_MS = 3_600_000
# With the delays above about as long, for what was never in doubt.
MOST_TRIES = 20
# Entries of the log before a reply, in which others are that may be mistaken for it: about those of a minute.
NEARBY = 32


UNHEARD = InDoubt("The provider did not say whether it was sent.")


class Trouble(Exception):
    """Not the store's: something with the message, or at its provider."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.code)
        self.error = error


@dataclass(frozen=True, slots=True)
class Message:
    """One part of a reply, and where it goes."""

    sender: Sender
    number: str
    index: int
    text: str
    images: tuple[str, ...]
    key: str


class Courier:
    """`call_seconds`: how long a provider may take for one thing; well within the time that a reply is lent for."""

    def __init__(
        self,
        outbox: Outbox,
        opt_outs: OptOuts,
        senders: Mapping[str, Sender],
        sign: Sign,
        metrics: Metrics,
        *,
        call_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._opt_outs = opt_outs
        self._senders = senders
        self._sign = sign
        self._metrics = metrics
        self._call_seconds = call_seconds
        self._clock = clock

    async def deliver(self, outgoing: Outgoing) -> float | None:
        """Send what is not sent of it yet. None: it is over; else in how many seconds to go on with it.

        Raises `LeaseLost`, and then nothing more is sent; `Unavailable` if the store cannot be told what happened.
        """
        try:
            messages = self._messages(outgoing)
        except Trouble as trouble:
            sent = sum(part.state == "sent" for part in outgoing.parts)
            return await self._failed(outgoing, sent, trouble.error)
        for message in messages:
            known = outgoing.part(message.index)
            if known is not None and known.state == "sent":
                continue
            if is_over(outgoing, message.sender) or await self._is_unwanted(outgoing):
                return None
            try:
                outgoing = await self._send(outgoing, message, known)
            except Trouble as trouble:
                return await self._failed(outgoing, message.index, trouble.error)
        return None

    def _messages(self, outgoing: Outgoing) -> Sequence[Message]:
        number, sender = number_of(outgoing.person), self._senders.get(outgoing.channel)
        if number is None:
            raise Trouble(ProviderFailed("This person has no number.", code="no_number"))
        if sender is None:
            # Perhaps another process has one, or this one when it is set up again.
            raise Trouble(Unavailable("Nothing is sent on this channel here.", code="no_sender"))
        links = self._links(outgoing.images, self._now())
        with troubles(Unavailable("The reply could not be cut into messages.", code="internal")):
            pieces = sender.parts(outgoing.text, links)
        name = f"{outgoing.conversation_id}:{outgoing.offset}"
        return [
            Message(sender, number, index, piece.text, shown(outgoing, piece), f"{name}:{index}")
            for index, piece in enumerate(pieces)
        ]

    async def _send(self, outgoing: Outgoing, message: Message, known: Part | None) -> Outgoing:
        """`known`: it may have been sent already, unless it says that it was not."""
        if known is not None and known.state == "sending":
            provider_id = await self._settle(outgoing, message, known)
            if provider_id is not None:
                return await self._was_sent(outgoing, known, provider_id)
        part, noted_at = Part(message.index, "sending", self._now()), self._clock()
        media = self._links(message.images, part.began_at)
        outgoing = await self._outbox.note_part(outgoing, part)
        if self._clock() - noted_at > self._call_seconds:
            # This process was frozen; the reply may be another's by now.
            raise Unavailable("The moment to send it has passed.", code="too_late")
        call = message.sender.send(
            message.number,
            message.text,
            media,
            key=message.key,
            began_at=part.began_at,
            asked_at=outgoing.asked_at,
        )
        try:
            provider_id = await self._within(call, UNHEARD)
        except Trouble as trouble:
            if isinstance(trouble.error, InDoubt):
                self._metrics.messages_in_doubt.labels(outgoing.channel).inc()
            elif isinstance(trouble.error, Unavailable):
                await self._outbox.note_part(outgoing, replace(part, state="unsent"))
            raise
        return await self._was_sent(outgoing, part, provider_id)

    async def _settle(self, outgoing: Outgoing, message: Message, known: Part) -> str | None:
        call = message.sender.settle(
            message.number,
            message.text,
            self._links(message.images, known.began_at),
            Doubt(message.key, known.began_at, outgoing.asked_at, await self._others(outgoing)),
        )
        return await self._within(call, UNHEARD)

    async def _others(self, outgoing: Outgoing) -> frozenset[str]:
        """What was sent shortly before: it may have had the same words."""
        nearby = range(max(1, outgoing.offset - NEARBY), outgoing.offset + 1)
        found = [await self._outbox.parts_of(outgoing.conversation_id, offset) for offset in nearby]
        return frozenset(part.provider_id for parts in found for part in parts if part.provider_id)

    def _links(self, images: Sequence[str], at: int) -> Sequence[str]:
        """Made now because they are not good for long; the same whenever it is the same try."""
        with troubles(Unavailable("The pictures are not ready.")):
            return [self._sign(key, at) for key in images]

    async def _within(self, call: Awaitable[Result], late: ServerError) -> Result:
        with troubles(late):
            async with asyncio.timeout(self._call_seconds):
                return await call

    async def _was_sent(self, outgoing: Outgoing, doubt: Part, provider_id: str) -> Outgoing:
        """The message is paid for."""
        part = replace(doubt, state="sent", provider_id=provider_id)
        self._metrics.messages_sent.labels(outgoing.channel).inc()
        return await insist(lambda: self._outbox.note_part(outgoing, part), ids(outgoing))

    async def _failed(self, outgoing: Outgoing, index: int, error: ServerError) -> float | None:
        """The retry policy: all of it. A provider that wants to be left alone for longer than we retry has said no."""
        now, hint = self._now(), error.retry_after or 0
        delay = delay_after(outgoing.tries, max(hint, DOUBT_SECONDS) if isinstance(error, InDoubt) else hint)
        if will_retry(error, outgoing, now, delay):
            logger.warning("message_postponed", **ids(outgoing), code=error.code, retry_in=round(delay, 2))
            return delay
        if error.code == OPTED_OUT:
            await self._opt_outs.opt_out(outgoing.person, outgoing.channel, now)
        known = outgoing.part(index)
        began_at = known.began_at if known is not None else now
        await self._outbox.note_part(outgoing, Part(index, "failed", began_at, code=error.code))
        self._metrics.messages_failed.labels(outgoing.channel, error.code).inc()
        logger.warning("message_failed", **ids(outgoing), code=error.code)
        return None

    async def _is_unwanted(self, outgoing: Outgoing) -> bool:
        if not await self._opt_outs.opted_out(outgoing.person, outgoing.channel):
            return False
        self._metrics.messages_failed.labels(outgoing.channel, OPTED_OUT).inc()
        logger.info("message_unwanted", **ids(outgoing))
        return True

    def _now(self) -> int:
        return int(self._clock() * 1000)


def is_over(outgoing: Outgoing, sender: Sender) -> bool:
    """Before its last message: one failed, or stands for all that were to follow it."""
    return any(
        part.state == "failed"
        or (part.state == "sent" and sender.stands_for_rest(began_at=part.began_at, asked_at=outgoing.asked_at))
        for part in outgoing.parts
    )


@contextmanager
def troubles(late: ServerError) -> Iterator[None]:
    """`late`: what it is if it took too long, or broke in a way that we know nothing of."""
    try:
        yield
    except ServerError as error:
        raise Trouble(error) from error
    except TimeoutError:
        raise Trouble(late) from None
    except Exception as error:
        logger.exception("sender_crashed")
        raise Trouble(late) from error


def shown(outgoing: Outgoing, piece: Piece) -> tuple[str, ...]:
    """Keys of the pictures that go with it."""
    return () if piece.picture is None else (outgoing.images[piece.picture],)


def will_retry(error: ServerError, outgoing: Outgoing, now: int, delay: float) -> bool:
    may_pass = error.retryable or isinstance(error, InDoubt)
    began_at = min((part.began_at for part in outgoing.parts), default=now)
    return may_pass and outgoing.tries < MOST_TRIES and now - began_at + delay * 1000 <= MOST_AGE_MS


def delay_after(tries: int, least: float) -> float:
    """Seconds: doubling, half of it at random so that replies spread."""
    delay: float = min(FIRST_DELAY * 2 ** (tries - 1), LONGEST_DELAY)
    return max(delay * random.uniform(0.5, 1), least)  # noqa: S311


def ids(outgoing: Outgoing) -> dict[str, object]:
    return {"conversation": outgoing.conversation_id, "reply": outgoing.offset, "try": outgoing.tries}
