"""/v1/responses: made at once or in the background, looked at, cancelled, deleted."""

from __future__ import annotations

import time
from uuid import uuid4

from starlette.routing import Route

from tests.fakes.openai_server.asking import body_denial, question, unanswered
from tests.fakes.openai_server.events import Telling
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Denied
from tests.fakes.openai_server.kept import keep
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.outputs import calls, output
from tests.fakes.openai_server.plan import at_creation, creates, plan, shown
from tests.fakes.openai_server.runs import GONE, Run
from tests.fakes.openai_server.script import Answer
from tests.fakes.openai_server.serving import Asked, Desk, Told, whole

_UNDERWAY = frozenset({"queued", "in_progress", "cancelled"})


def responses_routes(fake: FakeOpenAI, desk: Desk) -> list[Route]:
    responses = Responses(fake)
    one = "/responses/{response_id}"
    return [
        desk.route("POST", "/responses", responses.create),
        desk.route("GET", one, responses.retrieve),
        desk.route("DELETE", one, responses.delete),
        desk.route("POST", f"{one}/cancel", responses.cancel),
    ]


class Responses:
    """The last ten thousand are kept, but for those with `store: false`."""

    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def create(self, asked: Asked) -> Told:
        body = asked.body
        denial = body_denial(body) or (Denial(400, asked.violation) if asked.violation else None)
        denial = denial or self._unanswered(body)
        if denial is not None:
            raise Denied(denial)
        answer = self._fake.answer(body)
        return self._in_background(body, answer) if body.get("background") else self._at_once(body, answer)

    def retrieve(self, asked: Asked) -> Told:
        run, telling = self._kept(asked.path["response_id"])
        fault = run.polled()
        steps = shown(self._shown(run, telling), fault, run.answer.retry_after, run.answer.poll_headers)
        return Told(steps, fault)

    def cancel(self, asked: Asked) -> Told:
        run, telling = self._kept(asked.path["response_id"])
        if not telling.background:
            raise Denied(Denial(400, "Cannot cancel a synchronous response."))
        run.cancel()
        return whole(self._shown(run, telling))

    def delete(self, asked: Asked) -> Told:
        run, _ = self._kept(asked.path["response_id"])
        del self._fake.kept.responses[run.id]
        return whole({"id": run.id, "object": "response", "deleted": True})

    def _at_once(self, body: Json, answer: Answer) -> Told:
        stream = bool(body.get("stream"))
        _, telling = self._made(body, answer, stream=stream)
        return Told(plan(telling, answer, stream=stream), answer.fault, answer.interval)

    def _in_background(self, body: Json, answer: Answer) -> Told:
        _, telling = self._made(body, answer, stream=False)
        queued = telling.underway("queued")
        return Told(shown(queued, at_creation(answer.fault), answer.retry_after, answer.poll_headers), answer.fault)

    def _made(self, body: Json, answer: Answer, *, stream: bool) -> tuple[Run, Telling]:
        unique, now = uuid4().hex, time.time()
        items = output(answer, question(body), unique, stream=stream)
        telling = Telling(body, unique, int(now), items)
        run = Run(telling.id, "response", dict(body.get("metadata") or {}), now, answer, items)
        if creates(answer.fault, stream=stream):
            self._fake.begin_run(run)
            if body.get("store") is not False:
                keep(self._fake.kept.responses, run.id, (run, telling))
        return run, telling

    def _kept(self, response_id: str) -> tuple[Run, Telling]:
        kept = self._fake.kept.responses.get(response_id)
        if kept is None:
            raise Denied(Denial(404, f"Response with id '{response_id}' not found."))
        return kept

    def _shown(self, run: Run, telling: Telling) -> Json:
        status = run.status
        if status == GONE:
            raise Denied(Denial(404, f"Response with id '{run.id}' not found."))
        return telling.underway(status) if status in _UNDERWAY else telling.ended(run.answer.fault)

    def _unanswered(self, body: Json) -> Denial | None:
        previous = body.get("previous_response_id")
        kept = self._fake.kept.responses.get(previous) if previous else None
        if previous and kept is None:
            message = f"Previous response with id '{previous}' not found."
            return Denial(400, message, code="previous_response_not_found", param="previous_response_id")
        earlier = [call.call_id for call in calls(kept[1].items)] if kept else []
        return unanswered(body["input"] if isinstance(body["input"], list) else [], earlier)
