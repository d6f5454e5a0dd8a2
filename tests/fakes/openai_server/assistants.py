"""/v1/assistants, and what guards all routes of the Assistants API."""

from __future__ import annotations

import time
from uuid import uuid4

from starlette.routing import Route

from tests.fakes.openai_server.asking import wants
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Denied
from tests.fakes.openai_server.kept import keep
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.paging import page
from tests.fakes.openai_server.serving import Asked, Desk, Handle, Told, whole
from tests.fakes.openai_server.thread_objects import ASSISTANT_DEFAULTS, assistant_object, deleted

_NO_BETA = Denial(
    400,
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. "
    "Please try again by setting the header 'OpenAI-Beta: assistants=v2'.",
    code="invalid_beta",
)
_CHANGEABLE = frozenset({"model", *ASSISTANT_DEFAULTS})


class BetaDesk:
    """A desk that wants `OpenAI-Beta: assistants=v2`, and serves nothing where the Assistants API is gone."""

    def __init__(self, fake: FakeOpenAI, desk: Desk) -> None:
        self._fake = fake
        self._desk = desk

    def route(self, method: str, path: str, handle: Handle) -> Route:
        def guarded(asked: Asked) -> Told:
            if self._fake.assistants_gone:
                raise Denied(Denial(404, f"Invalid URL ({asked.where})"))
            if asked.headers.get("openai-beta") != "assistants=v2":
                raise Denied(_NO_BETA)
            if asked.violation:
                raise Denied(Denial(400, asked.violation))
            return handle(asked)

        return self._desk.route(method, path, guarded)


def assistants_routes(fake: FakeOpenAI, desk: BetaDesk) -> list[Route]:
    assistants = Assistants(fake)
    one = "/assistants/{assistant_id}"
    return [
        desk.route("POST", "/assistants", assistants.create),
        desk.route("GET", "/assistants", assistants.list_assistants),
        desk.route("GET", one, assistants.retrieve),
        desk.route("POST", one, assistants.modify),
        desk.route("DELETE", one, assistants.delete),
    ]


class Assistants:
    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def create(self, asked: Asked) -> Told:
        wants(asked.body, "model")
        assistant = assistant_object(asked.body, f"asst_{uuid4().hex}", int(time.time()))
        keep(self._fake.kept.assistants, assistant["id"], assistant)
        return whole(assistant)

    def list_assistants(self, asked: Asked) -> Told:
        return whole(page(list(self._fake.kept.assistants.values()), asked.query))

    def retrieve(self, asked: Asked) -> Told:
        return whole(assistant_of(self._fake, asked.path["assistant_id"]))

    def modify(self, asked: Asked) -> Told:
        assistant = assistant_of(self._fake, asked.path["assistant_id"])
        assistant.update({name: value for name, value in asked.body.items() if name in _CHANGEABLE})
        return whole(assistant)

    def delete(self, asked: Asked) -> Told:
        assistant = assistant_of(self._fake, asked.path["assistant_id"])
        del self._fake.kept.assistants[assistant["id"]]
        return whole(deleted("assistant", assistant["id"]))


def assistant_of(fake: FakeOpenAI, assistant_id: str) -> Json:
    assistant = fake.kept.assistants.get(assistant_id)
    if assistant is None:
        raise Denied(Denial(404, f"No assistant found with id '{assistant_id}'."))
    return assistant
