"""One question answered. Start reading here.

A turn: tell the person that it begins, show the model the conversation, pass its words on as they come, store the
reply, say that it is stored. Whatever goes wrong ends in one of two ways, and this file alone decides which: the
question keeps its place and is tried again, or the person is told, as the turn's one stored reply.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from server.bulkhead import bulkhead, insist
from server.errors import LeaseLost, ProviderFailed, Refused, ServerError, TooMany, Unavailable
from server.inbox.notices import NOTICE, NOTICES
from server.inbox.words import wish_of
from server.metrics import Metrics
from server.model import (
    NO_PICTURES,
    OUTBOX_FULL,
    PHONES,
    REQUEUED,
    Caller,
    Delta,
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
from server.ports import Bell, Catalog, Delivery, Engine, Leases, Log, Painter, Runs
from server.turns.brevity import brief
from server.turns.facts import age, announced, ids, notice_asked
from server.turns.history import TokenScale, recent_exchanges, size_of
from server.turns.progress import Progress, progress_of
from server.turns.speaker import CANCEL_SECONDS, Speaker, Turn

logger = structlog.get_logger()

CANCELLED = "cancelled"
MOST_FAILURES = 5
MOST_TRIES = 10
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0


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
    """Replies to phones go out through the outbox, perhaps by another process; `post` hears of each conversation that
    has one.
    """

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
        post: Callable[[str], None] = lambda _conversation_id: None,
        painter: Painter | None = None,
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
        self._post = post
        self._painter = painter
        self._scale = TokenScale()
        self._speaking: dict[str, Attempt] = {}
        self._ending: set[str] = set()

    async def run(self, lease: Lease) -> Lease | None:
        """Answer the lease's question. The lease on the next one, or None when the conversation was let go."""
        try:
            outcome = await self._attempt(lease)
            self._ending.add(lease.conversation_id)
            return await self._end(lease, outcome)
        finally:
            self._ending.discard(lease.conversation_id)
            self._delivery.forget(lease.person, lease.conversation_id, lease.attempt)

    async def _end(self, lease: Lease, outcome: Outcome) -> Lease | None:
        match outcome:
            case Retry(delay):
                await insist(lambda: self._leases.fail(lease, delay), ids(lease))
                await self._bell.ring(lease.conversation_id, delay)
                return None
            case Draft() as draft:
                settled = await self._store(lease, draft)
                if lease.channel in PHONES:
                    self._post(lease.conversation_id)
                if settled.unposted:
                    self._metrics.messages_failed.labels(lease.channel, OUTBOX_FULL).inc()
                    logger.error(OUTBOX_FULL, **ids(lease))
                await self._delivery.send(lease.person, Replied(lease.conversation_id, settled.reply), lease.attempt)
                self._metrics.turns.labels(draft.finish_reason, draft.code or "").inc()
                self._metrics.turn_seconds.observe(age(lease))
                logger.info("turn_ended", **ids(lease), finish_reason=draft.finish_reason, code=draft.code)
                return settled.next

    async def _attempt(self, lease: Lease) -> Outcome:
        """It may be cancelled from its first moment on."""
        notice = notice_asked(lease)
        if notice is not None and notice != "picture":
            return Draft(NOTICES[notice], NOTICE)
        attempt = self._speaking[lease.conversation_id] = Attempt(Progress(), cancelled=lease.cancelled)
        try:
            return await self._outcome(lease, attempt)
        finally:
            del self._speaking[lease.conversation_id]

    async def _outcome(self, lease: Lease, attempt: Attempt) -> Outcome:
        """The retry policy: all of it."""
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
        # What is left of one that was cancelled is to say so.
        delay = 0 if attempt.cancelled else delay_after(lease.failures, error.retry_after)
        logger.warning("turn_failed", **ids(lease), code=error.code, retry_in=round(delay, 2))
        return Retry(delay)

    async def _reply(self, lease: Lease, attempt: Attempt) -> Draft:
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
            attempt.deadline = None
        await self._abandon(lease, attempt)
        await self._show_anew(lease, attempt)
        label = attempt.turn.assistant.label if attempt.turn else ""
        return Draft(attempt.said(), CANCELLED, assistant=label, images=attempt.progress.images())

    def cancel(self, conversation_id: str) -> None:
        """End the run under way there, if one is; what it has said so far becomes its reply. Again changes nothing."""
        attempt = self._speaking.get(conversation_id)
        if attempt is not None:
            attempt.cancelled = True
            if attempt.deadline is not None and not attempt.deadline.expired():
                attempt.deadline.reschedule(asyncio.get_running_loop().time())

    def is_ending(self, conversation_id: str) -> bool:
        """Whether its run is over there, and what came of it is being stored and told."""
        return conversation_id in self._ending

    async def _begin(self, lease: Lease, attempt: Attempt) -> None:
        """A turn goes on with the version that it was begun with."""
        progress = attempt.progress
        assistant = await self._catalog.find(progress.assistant or lease.assistant, lease.channel)
        # Nobody watches a phone while the words come.
        mode = assistant.definition.run_mode or ("background" if lease.channel in PHONES else self._mode)
        attempt.turn = Turn(lease, assistant, mode, progress, thread=lease.thread)
        if lease.tries == 1 and lease.question.message_id.startswith(REQUEUED):
            # An operator put it there, past the door that announces what comes in.
            await self._delivery.send(lease.person, announced(lease))
        await self._start(lease, assistant.label)

    async def _start(self, lease: Lease, label: str) -> None:
        started = RunStarted(lease.conversation_id, lease.question, label)
        await self._delivery.send(lease.person, started, lease.attempt)

    async def _show_anew(self, lease: Lease, attempt: Attempt) -> None:
        """An earlier attempt may have shown words that are not kept: a reply's words, joined, are the reply."""
        if attempt.turn is None and lease.tries > 1:
            await self._start(lease, attempt.progress.assistant or lease.assistant)
        kept = attempt.said()
        if kept and not (attempt.turn and attempt.turn.said):
            delta = Delta(lease.conversation_id, lease.question.offset, 0, kept)
            await self._delivery.send(lease.person, delta, lease.attempt)

    async def _speak(self, lease: Lease, turn: Turn) -> Draft:
        if notice_asked(lease) == "picture":
            return await self._paint(lease, turn)
        turn.exchanges = await self._exchanges(lease, turn)
        draft = await self._speaker.speak(turn)
        if draft.usage is not None and not turn.progress.rounds:
            self._scale.learn(self._size(turn), draft.usage.input_tokens)
        # Where words are shown as they come, none of them can be taken back.
        return brief(draft, turn.assistant.definition.max_reply_tokens) if lease.channel in PHONES else draft

    async def _paint(self, lease: Lease, turn: Turn) -> Draft:
        """A picture that was ordered by a command: no model is asked what to do."""
        if self._painter is None:
            return Draft(NO_PICTURES, NOTICE)
        caller = Caller(lease.person, lease.conversation_id, lease.channel, turn.id)
        try:
            key = await self._painter.picture(wish_of(lease.question.text), caller)
        except (Refused, TooMany) as error:
            # The server's own answer: nothing failed that another try, or an operator, could mend.
            return Draft(error.message, NOTICE)
        return Draft(NOTICES["picture"], NOTICE, images=(key,))

    async def _abandon(self, lease: Lease, attempt: Attempt) -> None:
        """Nobody waits for the provider's run any more; unless the lease was lost: then another worker goes on with it,
        and the store takes nothing more from this one.
        """
        if attempt.progress.handle is None:
            return
        with bulkhead("run_not_cancelled", **ids(lease)):
            async with asyncio.timeout(CANCEL_SECONDS):
                await self._leases.renew(lease)
                await self._engine.cancel(attempt.progress.handle)

    async def _exchanges(self, lease: Lease, turn: Turn) -> tuple[Exchange, ...]:
        window = self._engine.window(turn.assistant)
        room = self._scale.bytes_in(window.tokens) - window.preamble - len(lease.asked.text.encode())
        keep_opening = bool(turn.assistant.definition.keep_opening)
        return await recent_exchanges(self._log, lease.conversation_id, room, keep_opening=keep_opening)

    def _size(self, turn: Turn) -> int:
        preamble = self._engine.window(turn.assistant).preamble
        return preamble + sum(map(size_of, turn.exchanges)) + len(turn.lease.asked.text.encode())

    async def _store(self, lease: Lease, draft: Draft) -> Settled:
        post = lease.channel in PHONES and draft.finish_reason != CANCELLED
        # The run is paid for, and its lease would keep others away.
        return await insist(lambda: self._leases.answer(lease, draft, post=post), ids(lease))


def will_retry(error: ServerError, lease: Lease) -> bool:
    """A provider that wants to be left alone for longer than we retry has answered, in effect, no."""
    return error.retryable and lease.failures + 1 < MOST_FAILURES and (error.retry_after or 0) <= LONGEST_DELAY


def delay_after(failures: int, hint: float | None) -> float:
    """Seconds: doubling, half of it at random so that failed turns spread; never less than the provider asked for."""
    delay: float = min(FIRST_DELAY * 2**failures, LONGEST_DELAY)
    return max(delay * random.uniform(0.5, 1), hint or 0)  # noqa: S311


def failure(error: ServerError) -> Draft:
    return Draft(error.message, "error", code=error.code, retryable=error.retryable or error.code == "expired")
