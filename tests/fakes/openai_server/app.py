"""The fake's routes under /v1: from a request to the steps of its answer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from uuid import uuid4

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.openai_server.asking import body_denial, key_denial, parse_object, question
from tests.fakes.openai_server.control import control_routes
from tests.fakes.openai_server.encoding import encoded
from tests.fakes.openai_server.events import Telling
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial, Fault
from tests.fakes.openai_server.objects import Json, model_list
from tests.fakes.openai_server.plan import denied, plan
from tests.fakes.openai_server.script import ECHO, Answer
from tests.fakes.openai_server.steps import Body, Step
from tests.fakes.openai_server.validation import Violation
from tests.fakes.openai_server.wire import Played

_NOT_JSON = Denial(400, "We could not parse the JSON body of your request.")


def make_app(fake: FakeOpenAI) -> Starlette:
    api = Api(fake)
    routes = [
        Route("/v1/responses", api.create_response, methods=["POST"]),
        Route("/v1/models", api.list_models, methods=["GET"]),
        *control_routes(fake),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route, ClientDisconnect: _nobody_there})


class Api:
    """Every answer, a refusal too, is recorded, held against the description, and played step by step."""

    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    async def create_response(self, request: Request) -> Played:
        body = parse_object(await request.body())
        violation = self._fake.inspector.request("POST", "/responses", body) if body is not None else None
        told, answer = self._response(request.headers, body, violation)
        return self._played(request, body, "/responses", told, answer)

    async def list_models(self, request: Request) -> Played:
        denial = key_denial(request.headers)
        told = denied(denial) if denial else Body(200, model_list(self._fake.models))
        return self._played(request, None, "/models", [told], ECHO)

    def _response(
        self, headers: Mapping[str, str], body: Json | None, violation: Violation | None
    ) -> tuple[Iterable[Step], Answer]:
        denial = key_denial(headers)
        if denial is not None or body is None:
            return [denied(denial or _NOT_JSON)], ECHO
        denial = body_denial(body) or (Denial(400, violation.message) if violation else None)
        if denial is not None:
            return [denied(denial)], ECHO
        answer = self._fake.answer(body)
        telling = Telling(body, uuid4().hex, int(time.time()), refusing=answer.fault is Fault.REFUSAL)
        return plan(telling, answer, answer.tokens_for(question(body)), stream=bool(body.get("stream"))), answer

    def _played(self, request: Request, body: Json | None, path: str, told: Iterable[Step], answer: Answer) -> Played:
        """`path`: as the description has it."""
        record = self._fake.record(request.method, request.url.path, request.headers, body)
        checked = self._fake.inspector.checked(request.method, path, told)
        wire = encoded(checked, answer.fault, answer.interval)
        return Played(wire, partial(self._fake.begin, record), partial(self._fake.end, record))


async def _no_route(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    denial = Denial(status, f"Invalid URL ({request.method} {request.url.path})")
    return JSONResponse(denial.body(), status)


async def _nobody_there(request: Request, exc: Exception) -> Response:
    return Response(status_code=499)  # Never sent: the client left while it was still asking.
