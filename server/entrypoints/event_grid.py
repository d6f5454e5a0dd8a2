"""What Azure Event Grid delivers: translate, call, translate back.

Event Grid drops an event at once that is answered with 400, 401, 403 or 413, and delivers it again after any other
failure. So only trouble of ours that may pass is a 503; what was taken before it is a duplicate then.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.channels import azure_sms
from server.channels.azure_sms import Event, Handshake, Ignored, Received, Reported, Spoiled
from server.entrypoints import schemas
from server.entrypoints.answers import answer, error_body, headers_of
from server.entrypoints.bodies import body_of
from server.entrypoints.gate import bearer_of, query, status_of
from server.errors import BadInput, ServerError, Unavailable
from server.wiring.azure import AzureSms
from server.wiring.server import Server

logger = structlog.get_logger()

PATH = "/api/sms/webhook"
SECRET = "x-eventgrid-secret"  # noqa: S105  the name of a header
# It waits for thirty.
ANSWER_SECONDS = 25
ORIGIN = re.compile(r"[A-Za-z0-9*_-][A-Za-z0-9*._:-]{0,252}")
MEDIA = {"", "application/json", "application/cloudevents+json", "application/cloudevents-batch+json"}


@dataclass(slots=True)
class Taken:
    """What became of a delivery's events. `trouble` of ours: they are to come again; `behind` are people some of whose
    texts are, so that no later one overtakes them.
    """

    validation: str | None = None
    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    spoiled: list[schemas.SpoiledEvent] = field(default_factory=list)
    trouble: ServerError | None = None
    behind: set[str] = field(default_factory=set)


def routes(server: Server) -> Sequence[Route]:
    """None where Azure is not set up."""
    if server.azure is None:
        return ()
    return (
        Route(PATH, partial(delivered, server, server.azure), methods=["POST"]),
        Route(PATH, welcome, methods=["OPTIONS"]),
    )


async def welcome(request: Request) -> Response:
    """CloudEvents' handshake: whoever asks may deliver, and is then asked who they are. Nothing is called back."""
    origin = request.headers.get("webhook-request-origin", "")
    if not ORIGIN.fullmatch(origin):
        return problem(BadInput("WebHook-Request-Origin is missing, or no name of a host.", code="bad_origin"))
    headers = {"webhook-allowed-origin": origin, "webhook-allowed-rate": "*", "allow": "POST, OPTIONS"}
    return Response(headers=headers)


async def delivered(server: Server, azure: AzureSms, request: Request) -> Response:
    taken = Taken()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await admit(server, azure, request)
            check_kind(request)
            body = await body_of(request, server.settings.event_grid_bytes)
            headers = dict(request.headers.items())
            events = azure_sms.read_delivery(headers, body)
            await take(server, azure, events, taken)
    except ServerError as error:
        return problem(error)
    except TimeoutError:
        return problem(slow())
    return told(taken, len(events), batch=azure_sms.is_batch(headers, body))


async def admit(server: Server, azure: AzureSms, request: Request) -> None:
    """Before the body is read."""
    if server.draining.is_set():
        raise Unavailable("The server is about to stop; come again.", code="draining", retry_after=5)
    secret = request.headers.get(SECRET, query(request.scope).get("secret"))
    await azure.guard.check(secret, bearer_of(request.scope))


async def take(server: Server, azure: AzureSms, events: Sequence[Event], taken: Taken) -> None:
    for index, event in enumerate(events):
        match event:
            case Handshake(code):
                taken.validation = code
            case Received(to) if to != azure.number:
                taken.ignored += 1
            case Received():
                await take_text(server, event, taken)
            case Reported():
                await take_report(server, event, taken)
            case Ignored():
                taken.ignored += 1
            case Spoiled(why):
                taken.spoiled.append(schemas.SpoiledEvent(index, why))
            case _:
                assert_never(event)


async def take_text(server: Server, event: Received, taken: Taken) -> None:
    person = event.text.person
    if person in taken.behind:
        return
    try:
        outcome = await server.door.take(event.text)
    except ServerError as error:
        taken.trouble = error
        taken.behind.add(person)
        return
    if outcome == "duplicate":
        taken.duplicates += 1
    elif outcome == "accepted":
        taken.accepted += 1
    else:
        taken.ignored += 1


async def take_report(server: Server, event: Reported, taken: Taken) -> None:
    try:
        is_news = await server.reports.take(
            azure_sms.NAME, event.message_id, event.status, event.code, number=event.number, at=event.at
        )
    except ServerError as error:
        taken.trouble = error
        return
    taken.accepted += is_news
    taken.duplicates += not is_news


def told(taken: Taken, events: int, *, batch: bool) -> Response:
    if taken.trouble is not None:
        return problem(Unavailable("Something is wrong here. Please come again.", retry_after=1))
    if taken.spoiled and len(taken.spoiled) == events:
        return problem(BadInput("; ".join(f"event {one.index}: {one.reason}" for one in taken.spoiled[:10])))
    if taken.spoiled:
        logger.warning("events_spoiled", count=len(taken.spoiled))
    what = f"Batch of {events} events" if batch else "SMS event"
    return answer(
        schemas.EventsTaken(
            status="success",
            message=f"{what} received and processing",
            validation_response=taken.validation,
            accepted=taken.accepted,
            duplicates=taken.duplicates,
            ignored=taken.ignored,
            spoiled=taken.spoiled,
        )
    )


def problem(error: ServerError) -> Response:
    """`status` and `message`, and the error as our other routes tell it."""
    status = status_of(error)
    logger.info("delivery_refused", code=error.code, status=status)
    return answer(schemas.EventsRefused("error", error.message, error_body(error).error), status, headers_of(error))


def slow() -> Unavailable:
    return Unavailable("That took too long. Please come again.", code="slow", retry_after=1)


def check_kind(request: Request) -> None:
    """Raises `BadInput` for what is known to be no JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MEDIA or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadInput("Events come as JSON, not packed.", code="bad_media")
