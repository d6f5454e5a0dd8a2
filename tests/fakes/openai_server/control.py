"""The fake in the hands of another process: routes under /_control."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from tests.fakes.openai_server.fake import FakeOpenAI, Recorded
from tests.fakes.openai_server.script_body import parse_script
from tests.fakes.openai_server.validation import Violation

_SHOWN = ("id", "kind", "metadata", "status", "created", "polls")


def control_routes(fake: FakeOpenAI) -> list[BaseRoute]:
    """`POST script`: see `ScriptBody`; `POST reset`; `GET requests`, `GET violations`: lists of objects.

    `GET runs`: how many were `created` in all and `per_run_id`, and the list of them, `runs`.
    """
    control = Control(fake)
    routes = [
        Route("/script", control.script, methods=["POST"]),
        Route("/reset", control.reset, methods=["POST"]),
        Route("/requests", control.requests, methods=["GET"]),
        Route("/runs", control.runs, methods=["GET"]),
        Route("/violations", control.violations, methods=["GET"]),
    ]
    return [Mount("/_control", routes=routes)]


class Control:
    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake

    async def script(self, request: Request) -> Response:
        try:
            script = parse_script(await request.body())
        except msgspec.DecodeError as error:
            return JSONResponse({"error": str(error)}, 400)
        self._fake.follow(script)
        return Response(status_code=204)

    async def reset(self, request: Request) -> Response:
        self._fake.reset()
        return Response(status_code=204)

    async def requests(self, request: Request) -> Response:
        return _listed(self._fake.requests)

    async def runs(self, request: Request) -> Response:
        listed = [{name: getattr(run, name) for name in _SHOWN} for run in self._fake.runs]
        created = {"created": self._fake.runs_created(), "per_run_id": self._fake.runs_per_run_id()}
        return JSONResponse({**created, "runs": listed})

    async def violations(self, request: Request) -> Response:
        return _listed(self._fake.violations)


def _listed(values: Iterable[Recorded | Violation]) -> Response:
    shown: list[dict[str, Any]] = [asdict(value) for value in values]
    return JSONResponse(shown)
