"""The fake as an application: all of its routes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from tests.fakes.openai_server.assistants import BetaDesk, assistants_routes
from tests.fakes.openai_server.control import control_routes
from tests.fakes.openai_server.fake import FakeOpenAI
from tests.fakes.openai_server.faults import Denial
from tests.fakes.openai_server.images import images_routes
from tests.fakes.openai_server.moderations import moderations_routes
from tests.fakes.openai_server.objects import model_list
from tests.fakes.openai_server.responses import responses_routes
from tests.fakes.openai_server.serving import Asked, Desk, Told, whole
from tests.fakes.openai_server.thread_runs import thread_runs_routes
from tests.fakes.openai_server.threads import threads_routes


def make_app(fake: FakeOpenAI) -> Starlette:
    desk = Desk(fake)
    beta = BetaDesk(fake, desk)

    def list_models(_: Asked) -> Told:
        return whole(model_list(fake.models))

    routes = [
        *responses_routes(fake, desk),
        *assistants_routes(fake, beta),
        *threads_routes(fake, beta),
        *thread_runs_routes(fake, beta),
        *images_routes(fake, desk),
        *moderations_routes(fake, desk),
        desk.route("GET", "/models", list_models),
        *control_routes(fake),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route, ClientDisconnect: _nobody_there})


async def _no_route(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    denial = Denial(status, f"Invalid URL ({request.method} {request.url.path})")
    return JSONResponse(denial.body(), status)


async def _nobody_there(request: Request, exc: Exception) -> Response:
    return Response(status_code=499)  # Never sent: the client left while it was still asking.
