"""What the server says of its HTTP routes is what they do: each answer of a table is held against `/openapi.json`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from server.entrypoints.asgi import http_app
from server.settings import read_settings
from server.wiring.server import open_server
from tests.fakes.azure_server import OURS, EventGrid, FakeAzure, azure_server
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.twilio_server import FakeTwilio, inbound, signed, twilio_server
from tests.scenario.chat_api import chat, code_of
from tests.scenario.client import client
from tests.scenario.description import Description, description_of
from tests.scenario.phones import PUBLIC, STATUS, TEXTS, twilio_settings
from tests.scenario.process import ServerProcess, Start
from tests.scenario.test_event_grid import APP, TENANT, bearer
from tests.scenario.test_images import paint
from tests.scenario.texting import ANNA, SECRET
from tests.unit.auth.forge import public_jwk
from tests.unit.auth.jwks_server import JwksServer

CHAT, LIST, EVENTS = "/api/chat", "/api/conversations", "/api/sms/webhook"
GRID = EventGrid("")
EVENT = json.dumps([GRID.text(ANNA, "hello")]).encode()
JSON = {"content-type": "application/json"}
KNOWN = {**JSON, "x-eventgrid-secret": SECRET}
PAGE = {"origin": PUBLIC}
HELLO = b'{"message": "hello"}'
TEXT, RECEIPT = inbound("hello"), {**inbound(""), "MessageStatus": "sent"}


@dataclass(frozen=True)
class Ask:
    method: str
    path: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def posted(path: str, status: int, fields: Mapping[str, str], **more: str) -> Ask:
    """A form of Twilio's, signed for what it is."""
    headers = {**signed(PUBLIC + path, fields), **{name.replace("_", "-"): value for name, value in more.items()}}
    return Ask("POST", path, status, headers, urlencode(fields).encode())


def binary(**changes: str) -> dict[str, str]:
    """The headers of a CloudEvent whose data are the body."""
    head = {"specversion": "1.0", "id": "e1", "type": "Microsoft.Communication.SMSReceived", "source": "/acs"}
    return {**KNOWN, **{f"ce-{name}": value for name, value in {**head, **changes}.items()}}


# Who asks what without being anyone, or anyone's.
OPEN = (
    *(Ask("GET", path, 200) for path in ("/", "/healthz", "/readyz", "/metrics", "/asyncapi.json", "/openapi.json")),
    Ask("OPTIONS", CHAT, 204, PAGE),
    Ask("OPTIONS", CHAT, 204),
    Ask("OPTIONS", CHAT, 403, {"origin": "https://evil.example"}),
    Ask("POST", CHAT, 200, {**JSON, **PAGE}, HELLO),
    Ask("POST", CHAT, 200, {**JSON, "accept": "text/event-stream"}, HELLO),
    Ask("POST", CHAT, 400, JSON, b"{"),
    Ask("POST", CHAT, 403, {**JSON, "authorization": "Bearer x"}, HELLO),
    Ask("POST", CHAT, 401, {**JSON, "authorization": "Basic eDp5"}, HELLO),
    Ask("POST", CHAT, 404, JSON, b'{"message": "hello", "conversation_id": "c_1"}'),
    Ask("POST", CHAT, 413, JSON, b" " * 300_000),
    Ask("POST", CHAT, 415, {"content-type": "text/plain"}, HELLO),
    Ask("POST", CHAT, 422, JSON, b'{"message": 1}'),
    *(Ask("GET", path, 401) for path in (LIST, f"{LIST}/c_1")),
    Ask("DELETE", f"{LIST}/c_1", 401),
    *(Ask("GET", path, 403, {"authorization": "Bearer x"}) for path in (LIST, f"{LIST}/c_1")),
    Ask("GET", "/files/images/a?expires=1&signature=a", 403),
    posted(TEXTS, 200, TEXT),
    posted(TEXTS, 403, TEXT, x_twilio_signature="guess"),
    posted(TEXTS, 413, {**TEXT, "Body": "x" * 70_000}),
    posted(STATUS, 204, RECEIPT),
    posted(STATUS, 403, RECEIPT, x_twilio_signature="guess"),
    Ask("OPTIONS", EVENTS, 200, {"webhook-request-origin": "eventgrid.azure.net"}),
    Ask("OPTIONS", EVENTS, 400),
    Ask("POST", EVENTS, 200, KNOWN, EVENT),
    Ask("POST", EVENTS, 200, KNOWN, json.dumps([GRID.validation(), {"eventType": ""}]).encode()),
    Ask("POST", EVENTS, 200, binary(), json.dumps(GRID.text(ANNA, "hello")["data"]).encode()),
    Ask("POST", EVENTS, 200, {**JSON, **bearer()}, EVENT),
    Ask("POST", EVENTS, 400, KNOWN, b"{"),
    Ask("POST", EVENTS, 401, JSON, EVENT),
    Ask("POST", EVENTS, 403, {**JSON, "x-eventgrid-secret": "guess"}, EVENT),
    Ask("POST", EVENTS, 413, KNOWN, b" " * (1024 * 1024 + 1)),
)


def theirs(server: ServerProcess, conversation_id: str) -> tuple[Ask, ...]:
    """What a person asks, and an administrator."""
    anna = {"authorization": f"Bearer {server.token()}"}
    admin = {"authorization": f"Bearer {server.pool.token('boss', groups=('admin',))}"}
    mine = f"{LIST}/{conversation_id}"
    return (
        Ask("GET", LIST, 200, anna),
        Ask("GET", LIST, 200, admin),
        Ask("GET", f"{LIST}?limit=0", 400, anna),
        Ask("GET", mine, 200, anna),
        Ask("GET", f"{mine}?before=x", 400, anna),
        Ask("GET", f"{LIST}/c_1", 404, anna),
        Ask("GET", f"{LIST}/{ANNA}", 403, anna),
        Ask("GET", f"{LIST}/{ANNA}", 200, admin),
        Ask("DELETE", f"{LIST}/{ANNA}", 403, anna),
        Ask("DELETE", f"{LIST}/{ANNA}", 200, admin),
        Ask("DELETE", mine, 204, anna),
        Ask("DELETE", mine, 404, anna),
    )


async def asked(server: ServerProcess, one: Ask) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=server.http, timeout=30) as http:
        return await http.request(one.method, one.path, headers=dict(one.headers), content=one.body)


async def check(server: ServerProcess, told: Description, *table: Ask) -> None:
    for one in table:
        answered = await asked(server, one)
        assert (one.method, one.path, answered.status_code) == (one.method, one.path, one.status), answered.text
        assert list(told.faults(answered)) == []


@pytest.fixture
async def azure() -> AsyncIterator[FakeAzure]:
    async with azure_server() as fake:
        yield fake


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as fake:
        yield fake


@pytest.fixture
async def entra() -> AsyncIterator[JwksServer]:
    async with JwksServer() as issuer:
        issuer.publish(public_jwk())
        yield issuer


def everything(twilio: FakeTwilio, azure: FakeAzure, entra: JwksServer) -> dict[str, object]:
    """The settings of a server that has all the routes that one process has."""
    return {
        **twilio_settings(twilio),
        "AZURE_COMMUNICATION_SERVICE_CONNECTION_STRING": azure.connection_string,
        "PHONE_NUMBER": OURS,
        "EVENT_GRID_SECRET": SECRET,
        "ENTRA_TENANT_ID": TENANT,
        "ENTRA_APP_ID": APP,
        "ENTRA_AUTHORITY": entra.url,
        "HTTP_CHAT_PUBLIC": "true",
        "HTTP_CHAT_PER_MINUTE": 0,
    }


async def test_every_route_answers_as_it_is_described(
    start: Start, provider: FakeOpenAI, twilio: FakeTwilio, azure: FakeAzure, entra: JwksServer
) -> None:
    async with start(**everything(twilio, azure, entra)) as server, client(server) as anna:
        told = await description_of(server.http)
        await anna.ask("hello")
        assert anna.conversation_id is not None
        await check(server, told, *OPEN, *theirs(server, anna.conversation_id))
        answered = {(path, method) for path, method, status in told.seen if status < "300"}
        assert set(told.operations()) - answered == {("/files/{key}", "get")}


async def test_a_picture_comes_as_it_is_described(start: Start, provider: FakeOpenAI) -> None:
    provider.script(normal=paint)
    async with start(ASSISTANT_ID="images", IMAGE_URL_SECONDS=1) as server, client(server) as anna:
        told = await description_of(server.http)
        [link] = (await anna.ask("Draw a canary."))["images"]
        await check(server, told, Ask("GET", link, 200))
        while (gone := await asked(server, Ask("GET", link, 410))).status_code == 200:
            pass
        assert (gone.status_code, list(told.faults(gone))) == (410, [])


async def test_what_is_too_much_or_too_slow_is_answered_as_it_is_described(
    start: Start, provider: FakeOpenAI, entra: JwksServer, azure: FakeAzure, twilio: FakeTwilio
) -> None:
    entra.status = 500
    settings = {**everything(twilio, azure, entra), "HTTP_CHAT_PER_MINUTE": 2, "HTTP_CHAT_SECONDS": 0.01}
    async with start(**settings) as server, chat(server, "") as nobody:
        told = await description_of(server.http)
        late = await nobody.post("hello")
        assert code_of(late) == (503, "timeout")
        await nobody.post("hello")
        many = await nobody.post("hello")
        assert many.status_code == 429
        away = await asked(server, Ask("POST", EVENTS, 503, {**JSON, **bearer()}, EVENT))
        for answered, status in ((late, 503), (many, 429), (away, 503)):
            assert (answered.status_code, "retry-after" in answered.headers) == (status, True)
            assert list(told.faults(answered)) == []


async def test_only_routes_that_are_there_are_described(server: ServerProcess) -> None:
    told = await description_of(server.http)
    paths = {path for path, _ in told.operations()}
    assert not [path for path in paths if "webhook" in path or path.startswith("/@")]
    assert {"/", CHAT, LIST, "/files/{key}", "/openapi.json"} <= paths


async def test_no_route_of_a_process_alone_is_left_out(
    twilio: FakeTwilio, azure: FakeAzure, entra: JwksServer, tmp_path: Any
) -> None:
    ours = everything(twilio, azure, entra) | {"BACKEND": "memory", "DATA_DIR": tmp_path}
    settings = read_settings(_env_file=None, **{name.lower(): value for name, value in ours.items()})
    async with open_server(settings) as server:
        app = http_app(server)
        registered = {
            (route.path_format, method.lower())  # type: ignore[attr-defined]
            for route in app.routes
            for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
        }
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as http:
            told = Description((await http.get("/openapi.json")).json())
    assert set(told.operations()) == registered
