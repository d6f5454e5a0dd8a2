"""One question answered. Start reading here.

A turn: tell the person that it begins, show the model the conversation, pass its words on as they come, store the
reply, say that it is stored. Whatever goes wrong ends in one of two ways, and this file alone decides which: the
question keeps its place and is tried again, or the person is told, as the turn's one stored reply.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from server.errors import LeaseLost, ProviderFailed, ServerError, Unavailable
from server.metrics import Metrics
from server.model import (
    REQUEUED,
    Accepted,
    Delta,
    Draft,
    Finished,
    Lease,
    Outcome,
    Prompt,
    Replied,
    Retry,
    RunStarted,
    Settled,
    Words,
    reply_id,
)
from server.ports import Bell, Delivery, Engine, Leases, Log
from server.turns.history import TokenScale, recent_exchanges, size_of

logger = structlog.get_logger()

CANCELLED = "cancelled"
MOST_FAILURES = 5
MOST_TRIES = 10
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STORE_DELAYS = (0.1, 0.5, 2.0, 5.0)


@dataclass(slots=True)
class Speech:
    """A run under way."""

    said: list[str] = field(default_factory=list)
    cancelled: bool = False
    deadline: asyncio.Timeout | None = None


class Runner:
    def __init__(
        self,
        log: Log,
        leases: Leases,
        bell: Bell,
        engine: Engine,
        delivery: Delivery,
        metrics: Metrics,
        *,
        deadline_seconds: float,
    ) -> None:
        self._log = log
        self._leases = leases
        self._bell = bell
        self._engine = engine
        self._delivery = delivery
        self._metrics = metrics
        self._deadline = deadline_seconds
        self._scale = TokenScale()
        self._speaking: dict[str, Speech] = {}

    async def run(self, lease: Lease) -> Lease | None:
        """Answer the lease's question. The lease on the next one, or None when the conversation was let go."""
        match await self._outcome(lease):
            case Retry(delay):
                await self._leases.fail(lease, delay)
                await self._bell.ring(lease.conversation_id, delay)
                return None
            case Draft() as draft:
                settled = await self._store(lease, draft)
                await self._delivery.send(lease.person, Replied(lease.conversation_id, settled.reply), lease.attempt)
                self._metrics.turns.labels(draft.finish_reason, draft.code or "").inc()
                self._metrics.turn_seconds.observe(age(lease))
                logger.info("turn_ended", **ids(lease), finish_reason=draft.finish_reason, code=draft.code)
                return settled.next

    async def _outcome(self, lease: Lease) -> Outcome:
        """The retry policy: all of it."""
        if lease.cancelled:
            return Draft("", CANCELLED)
        if lease.tries > MOST_TRIES:
            return failure(ProviderFailed("This message could not be answered.", code="too_many_tries"))
        try:
            return await self._draft(lease)
        except LeaseLost:
            raise
        except ServerError as known:
            error = known
        except Exception:
            # A fault of ours may be a passing one too; it must neither end the worker nor be tried for ever.
            logger.exception("turn_crashed", **ids(lease))
            error = Unavailable("Something went wrong here. Please try again.", code="internal")
        self._metrics.failures.labels(error.code).inc()
        if not will_retry(error, lease):
            return failure(error)
        delay = delay_after(lease.failures, error.retry_after)
        logger.warning("turn_failed", **ids(lease), code=error.code, retry_in=round(delay, 2))
        return Retry(delay)

    async def _draft(self, lease: Lease) -> Draft:
        speech = self._speaking[lease.conversation_id] = Speech()
        try:
            if lease.tries == 1 and lease.question.message_id.startswith(REQUEUED):
                # An operator put it there, past the door that announces what comes in.
                await self._delivery.send(lease.person, announced(lease))
            started = RunStarted(lease.conversation_id, lease.question, self._engine.assistant)
            await self._delivery.send(lease.person, started, lease.attempt)
            prompt = await self._prompt(lease)
            async with asyncio.timeout(self._deadline) as speech.deadline:
                if not speech.cancelled:
                    return await self._speak(lease, prompt, speech)
        except TimeoutError:
            if not speech.cancelled:
                # No second run: the person has waited for a whole deadline already.
                late = "The assistant took too long to answer. Please try again."
                raise ProviderFailed(late, code="timeout") from None
        finally:
            del self._speaking[lease.conversation_id]
        return Draft("".join(speech.said), CANCELLED)

    def cancel(self, conversation_id: str) -> None:
        """End the run under way there, if one is; what it has said so far becomes its reply."""
        speech = self._speaking.get(conversation_id)
        if speech is not None:
            speech.cancelled = True
            if speech.deadline is not None:
                speech.deadline.reschedule(asyncio.get_running_loop().time())

    def is_speaking(self, conversation_id: str) -> bool:
        """Whether a run is under way there, rather than its reply being stored."""
        return conversation_id in self._speaking

    async def _speak(self, lease: Lease, prompt: Prompt, speech: Speech) -> Draft:
        at = 0
        async with aclosing(self._engine.respond(prompt)) as events:
            async for event in events:
                match event:
                    case Words(text):
                        if not at:
                            self._metrics.first_words.observe(age(lease))
                        speech.said.append(text)
                        delta = Delta(lease.conversation_id, lease.question.offset, at, text)
                        at += len(text)
                        await self._delivery.send(lease.person, delta, lease.attempt)
                    case Finished(finish_reason, usage):
                        if usage is not None:
                            self._scale.learn(self._size(prompt), usage.input_tokens)
                        if not speech.said:
                            raise ProviderFailed("The assistant had nothing to say.", code="empty_reply")
                        return Draft("".join(speech.said), finish_reason, usage)
        raise Unavailable("The assistant's answer broke off.", code="provider_broke_off")

    async def _prompt(self, lease: Lease) -> Prompt:
        window = self._engine.window
        room = self._scale.bytes_in(window.tokens) - window.preamble - len(lease.question.text.encode())
        exchanges = await recent_exchanges(self._log, lease.conversation_id, room)
        run_id = f"{reply_id(lease.conversation_id, lease.question.offset)}.{lease.attempt}"
        return Prompt(run_id, lease.person, exchanges, lease.question.text)

    def _size(self, prompt: Prompt) -> int:
        return self._engine.window.preamble + sum(map(size_of, prompt.exchanges)) + len(prompt.question.encode())

    async def _store(self, lease: Lease, draft: Draft) -> Settled:
        """The run is paid for: a store that fails for a moment is asked again."""
        for delay in STORE_DELAYS:
            try:
                return await self._leases.answer(lease, draft)
            except Unavailable:
                logger.warning("store_failed", **ids(lease), retry_in=delay)
                await asyncio.sleep(delay)
        return await self._leases.answer(lease, draft)


def will_retry(error: ServerError, lease: Lease) -> bool:
    """A provider that wants to be left alone for longer than we retry has answered, in effect, no."""
    return error.retryable and lease.failures + 1 < MOST_FAILURES and (error.retry_after or 0) <= LONGEST_DELAY


def delay_after(failures: int, hint: float | None) -> float:
    """Seconds: doubling, half of it at random so that failed turns spread; never less than the provider asked for."""
    delay: float = min(FIRST_DELAY * 2**failures, LONGEST_DELAY)
    return max(delay * random.uniform(0.5, 1), hint or 0)  # noqa: S311


def failure(error: ServerError) -> Draft:
    return Draft(error.message, "error", code=error.code, retryable=error.retryable or error.code == "timeout")


def announced(lease: Lease) -> Accepted:
    question = lease.question
    return Accepted(lease.conversation_id, question.message_id, question.offset, question.text, question.created_at)


def age(lease: Lease) -> float:
    """Seconds since the question was accepted."""
    return max(0.0, time.time() - lease.question.created_at / 1000)


def ids(lease: Lease) -> dict[str, object]:
    return {"conversation": lease.conversation_id, "question": lease.question.offset, "attempt": lease.attempt}
