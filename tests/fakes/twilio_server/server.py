"""The fake as it listens: the routes, and the ways in which they fail."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeAlias
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.openai_server.wire import HOST, listening
from tests.fakes.twilio_server.fake import ACCOUNT, OURS, TOKEN, FakeTwilio
from tests.fakes.twilio_server.faults import DENIALS, TAKEN, Denial, Fault

MESSAGES = "/2010-04-01/Accounts/{account}/Messages.json"
Handle: TypeAlias = Callable[[Request], Awaitable[Response]]

MEDIA = "/2010-04-01/Accounts/{account}/Messages/{message}/Media/{name}"
STATUSES = ("queued", "sent", "delivered")


@asynccontextmanager
async def twilio_server(
    *numbers: str, token: str = TOKEN, reports: bool = False, port: int = 0
) -> AsyncIterator[FakeTwilio]:
    """Until the block ends; then every connection is cut. `numbers` are ours; none: OURS on both channels."""
    fake = FakeTwilio(numbers or (OURS, f"whatsapp:{OURS}"), reports=reports)
    credentials = "Basic " + base64.b64encode(f"{ACCOUNT}:{token}".encode()).decode()
    async with asyncio.TaskGroup() as reporting:
        create = partial(guarded, fake, credentials, partial(create_message, fake, reporting))
        read = partial(guarded, fake, credentials, partial(list_messages, fake))
        app = Starlette(routes=[Route(MESSAGES, create, methods=["POST"]), Route(MESSAGES, read, methods=["GET"])])
        app.router.routes += [
            Route(MEDIA, partial(guarded, fake, credentials, partial(show_media, fake))),
            Route("/store/{name}", partial(give_media, fake)),
        ]
        async with listening(app, port) as found:
            fake.url = f"http://{HOST}:{found}"
            yield fake
            fake.closing.set()


async def guarded(fake: FakeTwilio, credentials: str, handle: Handle, request: Request) -> Response:
    fake.under_way += 1
    try:
        check_caller(credentials, request)
        return await handle(request)
    except Denial as denial:
        return JSONResponse(denial.body(), denial.status)
    finally:
        fake.under_way -= 1


def check_caller(credentials: str, request: Request) -> None:
    if request.headers.get("authorization") != credentials:
        raise Denial(401, 20003, "Authenticate")
    if request.path_params["account"] != ACCOUNT:
        raise Denial(404, 20404, "The requested resource was not found")


async def create_message(fake: FakeTwilio, reporting: asyncio.TaskGroup, request: Request) -> Response:
    asked = parse_qs((await request.body()).decode(), keep_blank_values=True)
    fake.asked += 1
    await asyncio.sleep(fake.seconds / 2)
    fault = fake.faults.popleft() if fake.faults else fake.weather()
    if fault is None or fault in TAKEN:
        message = await fake.take(asked)
        if fake.reports and message.of("StatusCallback"):
            reporting.create_task(fake.report(message, *STATUSES))
        answer = JSONResponse(message.resource(), 201)
    await asyncio.sleep(fake.seconds / 2)
    if fault is None:
        return answer
    return await failed(fake, fault, request)


async def failed(fake: FakeTwilio, fault: Fault, request: Request) -> Response:
    if fault is Fault.HANG:
        await fake.closing.wait()
    if fault in {Fault.LOST, Fault.RESET}:
        request.scope["extensions"]["tests.transport"]["transport"].abort()
    if fault is Fault.CUT:
        return StreamingResponse(cut(request), headers={"content-length": "1000"})
    if fault is Fault.NO_JSON:
        return Response("<html>", 201)
    if fault is Fault.TAKEN_503:
        return Response("<html>", 503, headers={"retry-after": "1"})
    if fault in DENIALS:
        raise DENIALS[fault]
    return Response(status_code=500)


async def cut(request: Request) -> AsyncIterator[bytes]:
    yield b"half"
    request.scope["extensions"]["tests.transport"]["transport"].abort()
    await asyncio.sleep(0)


async def show_media(fake: FakeTwilio, request: Request) -> Response:
    """Only who we know is led on to where it is."""
    if fake.media_faults:
        return await failed(fake, fake.media_faults.popleft(), request)
    return RedirectResponse(f"{fake.store or fake.url}/store/{request.path_params['name']}")


async def give_media(fake: FakeTwilio, request: Request) -> Response:
    fake.given.append(request.headers.get("authorization"))
    content = fake.media.get(request.path_params["name"])
    return Response(status_code=404) if content is None else Response(content, media_type="image/png")


async def list_messages(fake: FakeTwilio, request: Request) -> Response:
    """The newest first."""
    fake.listed += 1
    asked = request.query_params
    found = [
        one.resource()
        for one in reversed(fake.messages)
        if asked.get("To") in {None, one.of("To")} and asked.get("From") in {None, one.of("From")}
    ]
    size, page = int(asked.get("PageSize", 50)), int(asked.get("Page", 0))
    listed = found[page * size : (page + 1) * size]
    return JSONResponse({"messages": listed, "page": page, "page_size": size, "next_page_uri": None, "uri": ""})
