"""One question answered. Start reading here.

A turn: tell the person that it begins, show the model the conversation, pass its words on as they come, store the
reply, say that it is stored. Whatever goes wrong ends in one of two ways, and this file alone decides which: the
question keeps its place and is tried again, or the person is told, as the turn's one stored reply.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import structlog

from server.errors import LeaseLost, ProviderFailed, ServerError, Unavailable
from server.metrics import Metrics
from server.model import (
    REQUEUED,
    Accepted,
    Draft,
    Exchange,
    Lease,
    Outcome,
    Replied,
    Retry,
    RunMode,
    RunStarted,
    Settled,
)
from server.ports import Bell, Catalog, Delivery, Engine, Leases, Log, Runs
from server.turns.history import TokenScale, recent_exchanges, size_of
from server.turns.progress import Progress, progress_of
from server.turns.speaker import CANCEL_SECONDS, Speaker, Turn, age

logger = structlog.get_logger()

CANCELLED = "cancelled"
MOST_FAILURES = 5
MOST_TRIES = 10
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STORE_DELAYS = (0.1, 0.5, 2.0, 5.0)


@dataclass(slots=True)
class Attempt:
    """A turn being run. `cancelled`: the person wants no more of it; `deadline` then ends it."""

    progress: Progress
    turn: Turn | None = None
    cancelled: bool = False
    deadline: asyncio.Timeout | None = None

    def said(self) -> str:
        return "".join(self.turn.said) if self.turn and self.turn.said else self.progress.said()


class Runner:
    def __init__(
        self,
        log: Log,
        leases: Leases,
        runs: Runs,
        bell: Bell,
        catalog: Catalog,
        engine: Engine,
        speaker: Speaker,
        delivery: Delivery,
        metrics: Metrics,
        *,
        mode: RunMode,
        deadline_seconds: float,
    ) -> None:
        self._log = log
        self._leases = leases
        self._runs = runs
        self._bell = bell
        self._catalog = catalog
        self._engine = engine
        self._speaker = speaker
        self._delivery = delivery
        self._metrics = metrics
        self._mode = mode
        self._deadline = deadline_seconds
        self._scale = TokenScale()
        self._speaking: dict[str, Attempt] = {}

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
        attempt = Attempt(Progress())
        try:
            if lease.steps:
                attempt.progress = progress_of(await self._runs.steps(lease))
            if lease.cancelled or lease.tries <= MOST_TRIES:
                return await self._reply(lease, attempt)
            error: ServerError = ProviderFailed("This message could not be answered.", code="too_many_tries")
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
            await self._abandon(lease, attempt)
            return failure(error)
        delay = delay_after(lease.failures, error.retry_after)
        logger.warning("turn_failed", **ids(lease), code=error.code, retry_in=round(delay, 2))
        return Retry(delay)

    async def _reply(self, lease: Lease, attempt: Attempt) -> Draft:
        attempt.cancelled = lease.cancelled
        self._speaking[lease.conversation_id] = attempt
        try:
            if not attempt.cancelled:
                await self._begin(lease, attempt)
            async with asyncio.timeout(self._deadline) as attempt.deadline:
                if attempt.turn and not attempt.cancelled:
                    attempt.turn.end_by(attempt.deadline)
                    return await self._speak(lease, attempt.turn)
        except TimeoutError:
            if not attempt.cancelled:
                # No second run: the person has waited for a whole deadline already.
                late = "The assistant took too long to answer. Please try again."
                raise ProviderFailed(late, code="expired") from None
        finally:
            del self._speaking[lease.conversation_id]
        await self._abandon(lease, attempt)
        return Draft(attempt.said(), CANCELLED, assistant=attempt.turn.assistant.label if attempt.turn else "")

    def cancel(self, conversation_id: str) -> None:
        """End the run under way there, if one is; what it has said so far becomes its reply."""
        attempt = self._speaking.get(conversation_id)
        if attempt is not None:
            attempt.cancelled = True
            if attempt.deadline is not None:
                attempt.deadline.reschedule(asyncio.get_running_loop().time())

    def is_speaking(self, conversation_id: str) -> bool:
        """Whether a run is under way there, rather than its reply being stored."""
        return conversation_id in self._speaking

    async def _begin(self, lease: Lease, attempt: Attempt) -> None:
        """A turn goes on with the version that it was begun with."""
        progress = attempt.progress
        assistant = await self._catalog.find(progress.assistant or lease.assistant, lease.channel)
        mode = assistant.definition.run_mode or self._mode
        attempt.turn = Turn(lease, assistant, mode, progress, thread=lease.thread)
        if lease.tries == 1 and lease.question.message_id.startswith(REQUEUED):
            # An operator put it there, past the door that announces what comes in.
            await self._delivery.send(lease.person, announced(lease))
        started = RunStarted(lease.conversation_id, lease.question, assistant.label)
        await self._delivery.send(lease.person, started, lease.attempt)

    async def _speak(self, lease: Lease, turn: Turn) -> Draft:
        turn.exchanges = await self._exchanges(lease, turn)
        draft = await self._speaker.speak(turn)
        if draft.usage is not None and not turn.progress.rounds:
            self._scale.learn(self._size(turn), draft.usage.input_tokens)
        return draft

    async def _abandon(self, lease: Lease, attempt: Attempt) -> None:
        """Nobody waits for the provider's run any more."""
        if attempt.progress.handle is None:
            return
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._engine.cancel(attempt.progress.handle)
        except (ServerError, TimeoutError):
            logger.warning("run_not_cancelled", **ids(lease))

    async def _exchanges(self, lease: Lease, turn: Turn) -> tuple[Exchange, ...]:
        window = self._engine.window(turn.assistant)
        room = self._scale.bytes_in(window.tokens) - window.preamble - len(lease.question.text.encode())
        return await recent_exchanges(self._log, lease.conversation_id, room)

    def _size(self, turn: Turn) -> int:
        preamble = self._engine.window(turn.assistant).preamble
        return preamble + sum(map(size_of, turn.exchanges)) + len(turn.lease.question.text.encode())

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
    return Draft(error.message, "error", code=error.code, retryable=error.retryable or error.code == "expired")


def announced(lease: Lease) -> Accepted:
    question = lease.question
    return Accepted(lease.conversation_id, question.message_id, question.offset, question.text, question.created_at)


def ids(lease: Lease) -> dict[str, object]:
    return {"conversation": lease.conversation_id, "question": lease.question.offset, "attempt": lease.attempt}
