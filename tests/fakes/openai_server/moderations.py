"""/v1/moderations: what is flagged is what the script says."""

from __future__ import annotations

from uuid import uuid4

from starlette.routing import Route

from tests.fakes.openai_server.asking import wants
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Denied
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.plan import after, shown
from tests.fakes.openai_server.script import Verdict
from tests.fakes.openai_server.serving import Asked, Desk, Told

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def moderations_routes(fake: FakeOpenAI, desk: Desk) -> list[Route]:
    return [desk.route("POST", "/moderations", Moderations(fake).create)]


class Moderations:
    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def create(self, asked: Asked) -> Told:
        wants(asked.body, "input")
        if asked.violation:
            raise Denied(Denial(400, asked.violation))
        verdict = self._fake.moderations.answer(asked.body)
        body = _moderation(asked.body, verdict)
        return Told(after(verdict.delay, shown(body, verdict.fault, verdict.retry_after, {})), verdict.fault)


def _moderation(body: Json, verdict: Verdict) -> Json:
    """One result for each text of a list, one for all parts of a message."""
    asked = body["input"]
    texts = sum(isinstance(one, str) for one in asked) if isinstance(asked, list) else 1
    model = body.get("model") or "omni-moderation-latest"
    return {"id": f"modr-{uuid4().hex}", "model": model, "results": [_result(verdict)] * max(1, texts)}


def _result(verdict: Verdict) -> Json:
    return {
        "flagged": bool(verdict.flagged),
        "categories": {name: name in verdict.flagged for name in CATEGORIES},
        "category_scores": {name: 0.98 if name in verdict.flagged else 0.0001 for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
