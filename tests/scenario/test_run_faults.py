"""Whatever goes wrong at the provider, in whatever way a reply is run: one end, the right one, and paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.openai_server import Answer, FakeOpenAI, Fault
from tests.fakes.openai_server.asking import question
from tests.scenario.client import Frame, client
from tests.scenario.modes import MODES, settings_for
from tests.scenario.process import ServerProcess, Start
from tests.scenario.test_faults import asked_once

SCRIPTED = Answer(tokens=("one", " two", " three"), at=2, retry_after=0.2)
CODES = {
    Fault.INSUFFICIENT_QUOTA: "provider_quota",
    Fault.CONTEXT_LENGTH_EXCEEDED: "message_too_long",
    Fault.UNAUTHORIZED: "provider_key",
    Fault.MODEL_NOT_FOUND: "unknown_model",
    Fault.FAILED_PROMPT: "provider_refused",
    Fault.MODERATION_BLOCKED: "provider_refused",
    Fault.EMPTY: "empty_reply",
}
# Of a run that outlives its request.
NEVER_OVER = {Fault.STUCK, Fault.ENDLESS, Fault.UNKNOWN_STATUS}
REASONS = {
    Fault.INCOMPLETE_LENGTH: "length",
    Fault.INCOMPLETE_FILTER: "content_filter",
    Fault.REFUSAL: "refusal",
}
# These runs came to nothing, and another one has to be paid for.
FRUITLESS = {Fault.FAILED, Fault.FAILED_RATE_LIMITED, Fault.ERROR_EVENT, Fault.VANISHED, Fault.EXPIRED}
# The answer breaks off, and with it a streamed run; of any other nobody can say whether it is there, unless the
# provider can be asked for the runs of a thread.
IN_DOUBT = {
    *(Fault.LOST_BY_RESET, Fault.LOST_BY_STALL),
    *(Fault.STALL, Fault.RESET, Fault.EOF, Fault.MALFORMED_JSON),
}


class Trouble:
    """Each question names the fault that its first run meets."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        asked = question(dict(body))
        first = asked not in self._met
        self._met.add(asked)
        return replace(SCRIPTED, fault=Fault(asked)) if first else SCRIPTED


def code_of(fault: Fault, mode: str) -> str | None:
    if (fault in NEVER_OVER and mode != "stream") or (fault is Fault.EXPIRED and mode == "threads"):
        return "expired"
    if fault is Fault.THREAD_VANISHED and mode != "threads":
        return "unknown_model"
    return CODES.get(fault)


def may_be_paid_twice(fault: Fault, mode: str) -> bool:
    return fault in FRUITLESS or (fault in IN_DOUBT and mode != "threads")


async def ask(server: ServerProcess, fault: Fault) -> tuple[Fault, Frame]:
    async with client(server, f"person-{fault}") as person:
        return fault, await asked_once(person, fault.value)


@pytest.mark.parametrize("mode", MODES)
async def test_every_fault_ends_once_and_rightly_and_costs_no_second_run(
    start: Start, provider: FakeOpenAI, mode: str
) -> None:
    assert len(Fault) >= 24
    settings = await settings_for(mode, provider)
    provider.script(normal=Trouble())
    async with start(**settings, PROVIDER_SILENCE_IN_SECONDS=2, RESPONSE_TIMEOUT_IN_SECONDS=20) as server:
        replies = await asyncio.gather(*(ask(server, fault) for fault in Fault))
    wrong = [(fault, reply) for fault, reply in replies if not is_right(fault, reply, mode)]
    assert wrong == []
    paid = {name: count for name, count in provider.runs_per_run_id().items() if count > 1}
    excused = {
        reply["replyId"] + ("" if mode == "threads" else ".0")
        for fault, reply in replies
        if may_be_paid_twice(fault, mode)
    }
    assert set(paid) <= excused
    assert all(count == 2 for count in paid.values())


def is_right(fault: Fault, reply: Frame, mode: str) -> bool:
    code = code_of(fault, mode)
    if code is not None:
        return (reply["error"], reply.get("code")) == (True, code)
    if fault in REASONS:
        said = (reply["message"].startswith("one two"), reply["finishReason"])
        return said == (True, REASONS[fault]) and not reply["error"]
    return (reply["message"], reply["finishReason"]) == ("one two three", "stop")
