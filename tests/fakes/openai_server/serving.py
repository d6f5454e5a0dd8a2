"""What all routes under /v1 have in common: a request is read, judged, handled, recorded and answered step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from starlette.requests import Request
from starlette.routing import Route

from tests.fakes.openai_server.asking import key_denial, parse_object
from tests.fakes.openai_server.encoding import encoded
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Denied, Fault
from tests.fakes.openai_server.objects import Json
from tests.fakes.openai_server.plan import LOST, denied, in_place_of_answer
from tests.fakes.openai_server.steps import Body, Step
from tests.fakes.openai_server.wire import Played

NOT_JSON = Denial(400, "We could not parse the JSON body of your request.")


@dataclass(frozen=True, slots=True)
class Asked:
    """`where`: "GET /v1/models". `body` is empty where there was none; `violation`: of the description."""

    where: str
    body: Json
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    violation: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An answer; `fault` and `interval` (seconds) say how it is framed."""

    steps: Iterable[Step]
    fault: Fault | None = None
    interval: float = 0.0


Handle: TypeAlias = Callable[[Asked], Told]
"""May raise `Denied`."""


def whole(body: Json) -> Told:
    return Told([Body(200, body)])


def _troubled(fault: Fault | None, handle: Handle, asked: Asked) -> Told:
    """What is lost is done all the same."""
    instead = in_place_of_answer(fault, 1.0)
    if instead is None:
        return handle(asked)
    if fault in LOST:
        handle(asked)
    return Told([instead])


class Desk:
    """Makes routes of handlers. Every answer, a refusal too, is held against the description and recorded."""

    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    def route(self, method: str, path: str, handle: Handle) -> Route:
        """`path`: as the description has it."""

        async def endpoint(request: Request) -> Played:
            data = await request.body()
            body = parse_object(data) if data else {}
            told = self._told(request, path, body, handle)
            return self._played(request, path, body if data else None, told)

        return Route(f"/v1{path}", endpoint, methods=[method])

    def _told(self, request: Request, path: str, body: Json | None, handle: Handle) -> Told:
        denial = key_denial(request.headers) or (NOT_JSON if body is None else None)
        if denial is not None or body is None:
            return Told([denied(denial or NOT_JSON)])
        violation = self._fake.inspector.request(request.method, path, body)
        message = violation.message if violation else None
        try:
            where = f"{request.method} {request.url.path}"
            asked = Asked(where, body, request.path_params, request.query_params, request.headers, message)
            return _troubled(self._fake.trouble_at(f"{request.method} {path}"), handle, asked)
        except Denied as refusal:
            return Told([denied(refusal.denial)])

    def _played(self, request: Request, path: str, body: Json | None, told: Told) -> Played:
        record = self._fake.record(request.method, request.url.path, request.headers, body)
        checked = self._fake.inspector.checked(request.method, path, told.steps)
        wire = encoded(checked, told.fault, told.interval)
        return Played(wire, partial(self._fake.begin, record), partial(self._fake.end, record))
