"""One question answered. Start reading here.

A turn: tell the person that it begins, show the model the conversation, pass its words on as they come, store the
reply, say that it is stored. Whatever goes wrong ends in one of two ways, and this file alone decides which: the
question keeps its place and is tried again, or the person is told, as the turn's one stored reply.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import structlog

from server.errors import LeaseLost, ProviderFailed, ServerError, Unavailable
from server.model import (
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

MOST_FAILURES = 5
MOST_TRIES = 10
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STORE_DELAYS = (0.1, 0.5, 2.0, 5.0)


class Runner:
    def __init__(
        self, log: Log, leases: Leases, bell: Bell, engine: Engine, delivery: Delivery, *, deadline_seconds: float
    ) -> None:
        self._log = log
        self._leases = leases
        self._bell = bell
        self._engine = engine
        self._delivery = delivery
        self._deadline = deadline_seconds
        self._scale = TokenScale()

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
                logger.info("turn_ended", **ids(lease), finish_reason=draft.finish_reason, code=draft.code)
                return settled.next

    async def _outcome(self, lease: Lease) -> Outcome:
        """The retry policy: all of it."""
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
        if not will_retry(error, lease):
            return failure(error)
        delay = delay_after(lease.failures, error.retry_after)
        logger.warning("turn_failed", **ids(lease), code=error.code, retry_in=round(delay, 2))
        return Retry(delay)

    async def _draft(self, lease: Lease) -> Draft:
        started = RunStarted(lease.conversation_id, lease.question, self._engine.assistant)
        await self._delivery.send(lease.person, started, lease.attempt)
        prompt = await self._prompt(lease)
        try:
            async with asyncio.timeout(self._deadline):
                return await self._speak(lease, prompt)
        except TimeoutError:
            # No second run: the person has waited for a whole deadline already.
            raise ProviderFailed("The assistant took too long to answer. Please try again.", code="timeout") from None

    async def _speak(self, lease: Lease, prompt: Prompt) -> Draft:
        said: list[str] = []
        at = 0
        async with aclosing(self._engine.respond(prompt)) as events:
            async for event in events:
                match event:
                    case Words(text):
                        delta = Delta(lease.conversation_id, lease.question.offset, at, text)
                        await self._delivery.send(lease.person, delta, lease.attempt)
                        said.append(text)
                        at += len(text)
                    case Finished(finish_reason, usage):
                        if usage is not None:
                            self._scale.learn(self._size(prompt), usage.input_tokens)
                        if not said:
                            raise ProviderFailed("The assistant had nothing to say.", code="empty_reply")
                        return Draft("".join(said), finish_reason, usage)
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


def ids(lease: Lease) -> dict[str, object]:
    return {"conversation": lease.conversation_id, "question": lease.question.offset, "attempt": lease.attempt}
