"""One attempt at a reply: run after run at the provider, with the tools that the model wants in between."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import assert_never

from server.errors import ProviderFailed, ServerError, Unavailable
from server.metrics import Metrics
from server.model import (
    Assistant,
    Begun,
    Called,
    Caller,
    Delta,
    Draft,
    Exchange,
    Finished,
    Lease,
    Prompt,
    Returned,
    RunBegun,
    RunMode,
    Step,
    ThreadMade,
    ToolCall,
    ToolResult,
    ToolStatus,
    ToolsWanted,
    ToolUsed,
    Words,
    reply_id,
)
from server.ports import Delivery, Engine, Runs, Toolbox
from server.turns.facts import age
from server.turns.progress import Progress, total

PARAGRAPH = "\n\n"
CANCEL_SECONDS = 5.0
LAST_LOOK_SECONDS = 3.0
ENOUGH = "No more tools can be used for this message. Answer with what you have."
UNKNOWN = "You have no tool of this name."
SILENT = {
    "content_filter": "The assistant's answer was held back by the provider's content filter.",
    "length": "The assistant came to no answer within the length it may have.",
    "refusal": "The assistant did not want to answer this.",
}


@dataclass(slots=True)
class Turn:
    """An attempt under way. `said`: the pieces of its reply that devices were told, `at` code points in all; `spoken`
    of the pieces were there before the present run. `limit` ends it at `ends_at`, a moment of the loop.
    """

    lease: Lease
    assistant: Assistant
    mode: RunMode
    progress: Progress
    exchanges: tuple[Exchange, ...] = ()
    thread: str | None = None
    said: list[str] = field(default_factory=list)
    at: int = 0
    spoken: int = 0
    limit: asyncio.Timeout | None = None
    ends_at: float = math.inf

    @property
    def id(self) -> str:
        return reply_id(self.lease.conversation_id, self.lease.question.offset)

    def prompt(self, *, last: bool) -> Prompt:
        return Prompt(
            run_id=self.id,
            person=self.lease.person,
            assistant=self.assistant,
            mode=self.mode,
            exchanges=self.exchanges,
            question=self.lease.asked.text,
            rounds=tuple(self.progress.rounds),
            thread=self.thread,
            handle=self.progress.handle,
            again=self.lease.tries > 1,
            last=last,
            seconds=self.ends_at - asyncio.get_running_loop().time(),
        )

    def end_by(self, limit: asyncio.Timeout) -> None:
        self.limit, self.ends_at = limit, limit.when() or math.inf

    def allow_last_look(self) -> None:
        """A run that is polled may end just in time, and be seen just after; unless the turn is being ended anyway."""
        if self.limit is not None and self.limit.when() == self.ends_at:
            self.limit.reschedule(self.ends_at + LAST_LOOK_SECONDS)

    def caller(self, call: ToolCall) -> Caller:
        lease = self.lease
        return Caller(lease.person, lease.conversation_id, lease.channel, f"{self.id}-{call.id}")


class Speaker:
    def __init__(
        self,
        runs: Runs,
        engine: Engine,
        toolbox: Toolbox,
        delivery: Delivery,
        metrics: Metrics,
        *,
        most_rounds: int,
        most_calls: int,
    ) -> None:
        self._runs = runs
        self._engine = engine
        self._toolbox = toolbox
        self._delivery = delivery
        self._metrics = metrics
        self._most_rounds = most_rounds
        self._most_calls = most_calls

    async def speak(self, turn: Turn) -> Draft:
        """The whole reply. Raises what the engine and the store raise."""
        if said := turn.progress.said():
            await self._tell(turn, said)
        while True:
            if turn.progress.wanted is not None:
                await self._use_tools(turn)
            finished = await self._run(turn)
            if finished is not None:
                return draft_of(turn, finished)

    async def _run(self, turn: Turn) -> Finished | None:
        """None if the model wants tools before it goes on."""
        last = len(turn.progress.rounds) >= self._most_rounds
        turn.spoken = len(turn.said)
        if turn.progress.handle is not None:
            turn.allow_last_look()
        async with aclosing(self._engine.respond(turn.prompt(last=last))) as events:
            async for event in events:
                match event:
                    case Words(text):
                        await self._say(turn, text)
                    case ThreadMade(thread):
                        await self._bind(turn, thread)
                    case RunBegun(handle):
                        await self._keep(turn, handle)
                    case ToolsWanted():
                        if last:
                            raise ProviderFailed("The assistant lost its way and gave up.", code="too_many_rounds")
                        await self._note(turn, called(turn, event))
                        return None
                    case Finished():
                        return event
                    case _:
                        assert_never(event)
        raise Unavailable("The assistant's answer broke off.", code="provider_broke_off")

    async def _bind(self, turn: Turn, thread: str) -> None:
        try:
            await self._runs.bind(turn.lease, thread)
        except (ServerError, asyncio.CancelledError):
            await end_at_provider(self._engine.forget(thread))
            raise
        turn.thread = thread

    async def _keep(self, turn: Turn, handle: str) -> None:
        try:
            await self._note(turn, Begun(handle, turn.assistant.label))
        except ServerError:
            await end_at_provider(self._engine.cancel(handle))
            raise
        except asyncio.CancelledError:
            await end_at_provider(self._cancel_ours(turn, handle))
            raise
        turn.allow_last_look()

    async def _cancel_ours(self, turn: Turn, handle: str) -> None:
        """Unless the lease was lost: it may have been noted before that, and be another worker's run by now."""
        await self._runs.steps(turn.lease)
        await self._engine.cancel(handle)

    async def _say(self, turn: Turn, text: str) -> None:
        if not turn.at:
            self._metrics.first_words.observe(age(turn.lease))
        elif len(turn.said) == turn.spoken:
            text = PARAGRAPH + text
        await self._tell(turn, text)

    async def _tell(self, turn: Turn, text: str) -> None:
        turn.said.append(text)
        delta = Delta(turn.lease.conversation_id, turn.lease.question.offset, turn.at, text)
        turn.at += len(text)
        await self._delivery.send(turn.lease.person, delta, turn.lease.attempt)

    async def _note(self, turn: Turn, step: Step) -> None:
        await self._runs.note(turn.lease, step)
        turn.progress.take(step)

    async def _use_tools(self, turn: Turn) -> None:
        """All at the same time; each result is kept as soon as it is there."""
        room = self._most_calls - turn.progress.calls() - len(turn.progress.results)
        try:
            async with asyncio.TaskGroup() as calls:
                for number, call in enumerate(turn.progress.unanswered()):
                    calls.create_task(self._use_tool(turn, call, allowed=number < room))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _use_tool(self, turn: Turn, call: ToolCall, *, allowed: bool) -> None:
        if not turn.assistant.definition.may_use(call.name):
            # Its name is the model's own words, and goes no further.
            await self._note(turn, Returned(ToolResult(call.id, UNKNOWN, failed=True)))
            return
        if not allowed:
            await self._note(turn, Returned(ToolResult(call.id, ENOUGH, failed=True)))
            return
        await self._tell_of(turn, call, "started")
        result = await self._toolbox.call(call, turn.caller(call))
        await self._note(turn, Returned(result))
        status: ToolStatus = "failed" if result.failed else "done"
        self._metrics.tool_calls.labels(status).inc()
        await self._tell_of(turn, call, status)

    async def _tell_of(self, turn: Turn, call: ToolCall, status: ToolStatus) -> None:
        used = ToolUsed(turn.lease.conversation_id, turn.lease.question.offset, call.name, status)
        await self._delivery.send(turn.lease.person, used, turn.lease.attempt)


async def end_at_provider(end: Awaitable[None]) -> None:
    """What cannot be noted would be nobody's: it is ended at the provider, as far as that can be reached."""
    with suppress(ServerError, TimeoutError):
        async with asyncio.timeout(CANCEL_SECONDS):
            await end


def called(turn: Turn, wanted: ToolsWanted) -> Called:
    said = "".join(turn.said[turn.spoken :])
    return Called(said, wanted.calls, wanted.trace, wanted.handle, wanted.usage, turn.assistant.label)


def draft_of(turn: Turn, finished: Finished) -> Draft:
    """Never silence: a run that ended without a word is told as what it was."""
    reason, usage = finished.finish_reason, total(turn.progress.usage, finished.usage)
    images = turn.progress.images()
    if turn.said or images:
        return Draft("".join(turn.said), reason, usage, assistant=turn.assistant.label, images=images)
    if reason not in SILENT:
        raise ProviderFailed("The assistant had nothing to say.", code="empty_reply")
    code = "empty_reply" if reason == "length" else reason
    return Draft(SILENT[reason], reason, usage, code=code, assistant=turn.assistant.label)
