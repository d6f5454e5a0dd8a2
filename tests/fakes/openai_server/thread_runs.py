"""/v1/threads/{thread_id}/runs."""

from __future__ import annotations

import time
from uuid import uuid4

from starlette.routing import Route

from tests.fakes.openai_server.asking import question, wants
from tests.fakes.openai_server.assistants import BetaDesk, assistant_of
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Denied, Fault
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.outputs import calls, output
from tests.fakes.openai_server.paging import page
from tests.fakes.openai_server.plan import at_creation, creates, shown
from tests.fakes.openai_server.runs import ACTIVE, GONE, Run
from tests.fakes.openai_server.script import Answer
from tests.fakes.openai_server.serving import Asked, Told, whole
from tests.fakes.openai_server.thread import Thread, ThreadRun
from tests.fakes.openai_server.threads import no_thread, thread_of


def thread_runs_routes(fake: FakeOpenAI, desk: BetaDesk) -> list[Route]:
    runs = ThreadRuns(fake)
    every, one = "/threads/{thread_id}/runs", "/threads/{thread_id}/runs/{run_id}"
    return [
        desk.route("POST", every, runs.create),
        desk.route("GET", every, runs.list_runs),
        desk.route("GET", one, runs.retrieve),
        desk.route("POST", one, runs.modify),
        desk.route("POST", f"{one}/cancel", runs.cancel),
        desk.route("POST", f"{one}/submit_tool_outputs", runs.submit),
    ]


class ThreadRuns:
    """A run begins with the script's next answer; if that calls functions, it goes on with the one after it.

    A fault that prevents a run from being created keeps outputs from being taken.
    """

    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def create(self, asked: Asked) -> Told:
        thread, body = thread_of(self._fake, asked), self._with_assistant(asked.body)
        active = thread.busy_with()
        if active is not None:
            raise Denied(Denial(400, f"Thread {thread.id} already has an active run {active}."))
        if body.get("stream"):
            raise Denied(Denial(400, "Runs are not streamed here.", code="unsupported_parameter", param="stream"))
        one = self._begun(thread, body)
        return self._queued(thread, one, one.run.answer)

    def list_runs(self, asked: Asked) -> Told:
        there = [one for one in thread_of(self._fake, asked).runs.values() if one.run.status != GONE]
        return whole(page([one.shown() for one in there], asked.query))

    def retrieve(self, asked: Asked) -> Told:
        thread, one = self._run_of(asked)
        fault, answer = one.run.polled(), one.run.answer
        if fault is Fault.THREAD_VANISHED:
            raise self._vanished(thread)
        _, one = self._run_of(asked)  # It may have vanished at this look.
        return Told(shown(one.shown(), fault, answer.retry_after, answer.poll_headers), fault)

    def modify(self, asked: Asked) -> Told:
        _, one = self._run_of(asked)
        one.run.metadata = asked.body.get("metadata") or {}
        return whole(one.shown())

    def cancel(self, asked: Asked) -> Told:
        _, one = self._run_of(asked)
        status = one.run.status
        if status == "cancelling" or status not in ACTIVE:
            raise Denied(Denial(400, f"Cannot cancel run with status '{status}'."))
        one.run.cancel()
        return whole(one.shown("cancelling"))

    def submit(self, asked: Asked) -> Told:
        thread, one = self._run_of(asked)
        wants(asked.body, "tool_outputs")
        outputs = {given.get("tool_call_id"): given.get("output") for given in asked.body["tool_outputs"]}
        self._wanted(one, list(outputs))
        thread.settle()
        exchanged = _exchanged(one, outputs)
        body = {**one.body, **asked.body, "input": [*thread.as_input(), *one.exchanged, *exchanged]}
        answer = self._fake.answer(body)
        if creates(answer.fault, stream=False):
            one.go_on(answer, question(body), exchanged)
        return self._queued(thread, one, answer)

    def _queued(self, thread: Thread, one: ThreadRun, answer: Answer) -> Told:
        if answer.fault is Fault.THREAD_VANISHED:
            raise self._vanished(thread)
        fault = at_creation(answer.fault)
        return Told(shown(one.shown("queued"), fault, answer.retry_after, answer.poll_headers), fault)

    def _begun(self, thread: Thread, body: Json) -> ThreadRun:
        """Kept and counted only if the answer's fault does not prevent it."""
        asked_input = thread.as_input()
        added = body.get("additional_messages") or []
        asked_input += [{"role": one["role"], "content": one["content"]} for one in added]
        body = {**body, "input": asked_input}
        answer = self._fake.answer(body)
        one = self._made(thread, body, answer)
        if creates(answer.fault, stream=False):
            for message in added:
                thread.add(message)
            thread.runs[one.run.id] = one
            self._fake.begin_run(one.run)
        return one

    def _made(self, thread: Thread, body: Json, answer: Answer) -> ThreadRun:
        unique = uuid4().hex
        items = output(answer, question(body), unique)
        metadata = dict(body.get("metadata") or {})
        run = Run(f"run_{unique}", "thread.run", metadata, time.time(), answer, items)
        return ThreadRun(run, thread.id, body)

    def _with_assistant(self, body: Json) -> Json:
        wants(body, "assistant_id")
        assistant = assistant_of(self._fake, body["assistant_id"])
        own = {name: body.get(name) or assistant[name] for name in ("model", "instructions", "tools")}
        said = (own["instructions"], body.get("additional_instructions"))
        return {**body, **own, "instructions": "\n\n".join(filter(None, said))}

    def _run_of(self, asked: Asked) -> tuple[Thread, ThreadRun]:
        thread = thread_of(self._fake, asked)
        one = thread.runs.get(asked.path["run_id"])
        if one is None or one.run.status == GONE:
            raise Denied(Denial(404, f"No run found with id '{asked.path['run_id']}'."))
        return thread, one

    def _vanished(self, thread: Thread) -> Denied:
        del self._fake.kept.threads[thread.id]
        return Denied(no_thread(thread.id))

    def _wanted(self, one: ThreadRun, given: list[str | None]) -> None:
        status = one.run.status
        if status != "requires_action":
            raise Denied(Denial(400, f'Runs in status "{status}" do not accept tool outputs.'))
        if set(given) != set(one.wanted):
            raise Denied(Denial(400, f"Expected tool outputs for call_ids {one.wanted}, got {given}"))


def _exchanged(one: ThreadRun, outputs: Json) -> list[Json]:
    """The calls and their outputs, as the input of a Response would have them."""
    called = [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
        for call in calls(one.run.items)
    ]
    given = [{"type": "function_call_output", "call_id": name, "output": text} for name, text in outputs.items()]
    return [*called, *given]
