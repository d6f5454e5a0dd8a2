"""What is delivered in Event Grid's name, and is not: refused with the right status, and nothing comes of it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.fakes.azure_server import EventGrid, FakeAzure, azure_server
from tests.fakes.azure_server.event_grid import PATH
from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.process import Start, kept_by
from tests.scenario.texting import ANNA, BEN, SECRET, Texting, texting
from tests.unit.auth.forge import FOREIGN_KEY, public_jwk, rsa_signature, segment, token
from tests.unit.auth.jwks_server import JwksServer

TENANT, OTHER_TENANT = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
APP, EVENT_GRID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "4962773b-9cdb-44cf-a8bf-237846a00ab7"
OLD_SECRET = "the-secret-before-canary"
GRID = EventGrid("")
WORDS = "canary-words"
GONE: Any = object()


@dataclass(frozen=True)
class Case:
    """A delivery of one good text, changed; and the status that it is due."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = json.dumps([GRID.text(ANNA, WORDS)]).encode()
    method: str = "POST"
    path: str = PATH


def claims(**changes: Any) -> dict[str, Any]:
    """Those with which Event Grid comes, changed."""
    now = int(time.time())
    usual = {
        "aud": APP,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
        "appid": EVENT_GRID,
        "tid": TENANT,
        "sub": "s",
        "ver": "1.0",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not GONE}


def bearer(head: object = None, sign: Any = None, **changes: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(claims(**changes), head, sign)}"}


KNOWN = {"x-eventgrid-secret": SECRET}


def known(body: object, status: int = 400, **headers: str) -> Case:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Case(status, {**KNOWN, **{name.replace("_", "-"): one for name, one in headers.items()}}, body=content)


def text(**changes: Any) -> list[dict[str, Any]]:
    event = GRID.text(ANNA, WORDS)
    data = {**event["data"], **changes}
    return [{**event, "data": {name: value for name, value in data.items() if value is not GONE}}]


def unsigned(**changes: Any) -> dict[str, str]:
    first, second = segment(b'{"alg":"none","typ":"JWT"}'), segment(json.dumps(claims(**changes)).encode())
    return {"authorization": f"Bearer {first}.{second}."}


FORGED: dict[str, Case] = {
    # Who says nothing, or the wrong thing.
    "no secret": Case(401),
    "an empty secret in the header": Case(403, {"x-eventgrid-secret": ""}),
    "another secret in the header": Case(403, {"x-eventgrid-secret": "guess"}),
    "the begin of the secret": Case(403, {"x-eventgrid-secret": SECRET[:-1]}),
    "the secret and more": Case(403, {"x-eventgrid-secret": SECRET + "x"}),
    "the secret in other letters": Case(403, {"x-eventgrid-secret": SECRET.upper()}),
    "the secret in another header": Case(401, {"x-event-grid-secret": SECRET}),
    "another secret in the query": Case(403, query={"secret": "guess"}),
    "an empty secret in the query": Case(403, query={"secret": ""}),
    "the secret under another name": Case(401, query={"code": SECRET}),
    "a wrong secret before a good one": Case(403, {"x-eventgrid-secret": "guess"}, {"secret": SECRET}),
    "a wrong secret before a good token": Case(403, {"x-eventgrid-secret": "guess", **bearer()}),
    "a secret in another script": Case(403, query={"secret": "пароль"}),
    "a secret with a NUL": Case(403, query={"secret": f"{SECRET}\0"}),
    "the secret as a bearer": Case(403, {"authorization": f"Bearer {SECRET}"}),
    "the secret as a password": Case(401, {"authorization": "Basic ZXZlbnQ6Z3JpZA=="}),
    "Event Grid's headers only": Case(401, {"aeg-event-type": "Notification", "aeg-subscription-name": "SUB"}),
    "a handshake without a secret": Case(401, body=json.dumps([GRID.validation()]).encode()),
    "a report without a secret": Case(401, body=json.dumps([GRID.report("m", ANNA)]).encode()),
    "no secret and no JSON": Case(401, body=b"<html>"),
    # Tokens of Entra ID.
    "a token that ran out": Case(403, bearer(exp=int(time.time()) - 1)),
    "a token for later": Case(403, bearer(nbf=int(time.time()) + 86_400)),
    "a token without an end": Case(403, bearer(exp=GONE)),
    "a token for another app": Case(403, bearer(aud=EVENT_GRID)),
    "a token for nobody": Case(403, bearer(aud=GONE)),
    "a token for several": Case(403, bearer(aud=[APP])),
    "a token of another tenant": Case(403, bearer(iss=f"https://sts.windows.net/{OTHER_TENANT}/", tid=OTHER_TENANT)),
    "a token that says another tenant": Case(403, bearer(tid=OTHER_TENANT)),
    "a token of another issuer": Case(403, bearer(iss="https://evil.example/")),
    "a token of another caller": Case(403, bearer(appid=APP)),
    "a token of no caller": Case(403, bearer(appid=GONE)),
    "a token of two callers": Case(403, bearer(azp=APP)),
    "a token signed by another key": Case(403, bearer(sign=rsa_signature(FOREIGN_KEY))),
    "a token of a key that is not there": Case(403, bearer(head={"alg": "RS256", "kid": "other"})),
    "a token that names its own key": Case(403, bearer(head={"alg": "RS256", "kid": "key/1+x=", "jwk": {}})),
    "a token signed with nothing": Case(403, unsigned()),
    "no token at all": Case(403, {"authorization": "Bearer x"}),
    "a long token": Case(403, {"authorization": "Bearer " + "x" * 9000}),
    # Who knows the secret, and sends what Event Grid does not.
    "nothing": known(b""),
    "no JSON": known(b"<html>"),
    "half of it": known(json.dumps(text()).encode()[:-5]),
    "bytes that are no text": known(b"\xff\xfe\x00"),
    "a number": known(5),
    "null": known(None),
    "a list in a list": known([[]]),
    "brackets without end": known(b"[" * 100_000),
    "more than a delivery has": known(b" " * (1024 * 1024 + 1), 413),
    "a form": known(b"from=1", content_type="application/x-www-form-urlencoded"),
    "packed": known(b"\x1f\x8b", content_encoding="gzip"),
    "an event of nothing": known([{}]),
    "an event without a type": known([{**text()[0], "eventType": ""}]),
    "an event of another version": known([{**text()[0], "specversion": "9", "type": "x"}]),
    "a text without data": known([{**text()[0], "data": None}]),
    "a text without words": known(text(message=GONE)),
    "a text of no one": known(text(**{"from": GONE})),
    "a text of a name": known(text(**{"from": "ACME"})),
    "a text with a line break in its number": known(text(**{"from": f"{ANNA}\r\nx"})),
    "a text to nobody": known(text(to=GONE)),
    "a text with a number for an id": known(text(messageId=7)),
    "a text without an id": known([{**text(messageId=GONE)[0], "id": ""}]),
    "a handshake without its code": known([GRID.event("Microsoft.EventGrid.SubscriptionValidationEvent", {})]),
    "a report without its status": known([GRID.event("Microsoft.Communication.SMSDeliveryReportReceived", {})]),
    # In order, and nothing to us: taken, so that they do not come again.
    "an empty list": known([], 200),
    "a text to another number": known(text(to="15005550002"), 200),
    "a text of a short code": known(text(**{"from": "22395"}), 200),
    "a text of a premium number": known(text(**{"from": "19005550006"}), 200),
    "a text of nothing but blanks": known(text(message="  "), 200),
    "a text that is too long": known(text(**{"from": BEN}, message="x" * 40_000), 200),
    "a text with a NUL": known(text(**{"from": BEN}, message="a\0b"), 200),
    "an event of another kind": known([GRID.event("Microsoft.Storage.BlobCreated", {})], 200),
    "a report of a status that nobody knows": known([GRID.report("m", ANNA, "Pondered")], 200),
    # The wrong way.
    "a GET": Case(405, KNOWN, method="GET"),
    "a PUT": Case(405, KNOWN, method="PUT"),
    "a handshake without an origin": Case(400, method="OPTIONS"),
    "a handshake of no host": Case(400, {"webhook-request-origin": "<script>"}, method="OPTIONS"),
    "a handshake with a callback": Case(
        200,
        {"webhook-request-origin": "eventgrid.azure.net", "webhook-request-callback": "http://169.254.169.254/"},
        method="OPTIONS",
    ),
    "another path": Case(404, KNOWN, path=f"{PATH}/more"),
}


REFUSED = {name: case for name, case in FORGED.items() if 400 <= case.status < 500}
LET_BE = {name: case for name, case in FORGED.items() if case.status < 400}


@pytest.fixture
async def sms() -> AsyncIterator[FakeAzure]:
    async with azure_server() as fake:
        yield fake


@pytest.fixture
async def entra() -> AsyncIterator[JwksServer]:
    async with JwksServer() as issuer:
        issuer.publish(public_jwk(x5t="thumb", x5c=["MII"], issuer="https://login.microsoftonline.com/{tenantid}/v2.0"))
        yield issuer


def guarded(entra: JwksServer) -> dict[str, str]:
    """By either kind of proof."""
    return {
        "EVENT_GRID_SECRET_PREVIOUS": OLD_SECRET,
        "ENTRA_TENANT_ID": TENANT,
        "ENTRA_APP_ID": APP,
        "ENTRA_AUTHORITY": entra.url,
    }


async def delivered(phone: Texting, case: Case) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=phone.server.http, timeout=30) as http:
        headers = {"content-type": "application/json", **case.headers}
        return await http.request(case.method, case.path, params=dict(case.query), headers=headers, content=case.body)


async def test_what_is_forged_stale_or_malformed_is_refused_and_nothing_comes_of_it(
    start: Start, provider: FakeOpenAI, sms: FakeAzure, entra: JwksServer
) -> None:
    assert len(REFUSED) >= 60
    assert len(REFUSED) + len(LET_BE) == len(FORGED)
    async with texting(start, sms, **guarded(entra)) as phone:
        before = kept_by(phone.server)
        found = {name: await delivered(phone, case) for name, case in REFUSED.items()}
        assert {name: one.status_code for name, one in found.items()} == {
            name: case.status for name, case in REFUSED.items()
        }
        for one in found.values():
            assert set(one.json()["error"]) == {"code", "message", "retryable", "requestId"}
            assert not one.json()["error"]["retryable"]
        assert kept_by(phone.server) == before
        for name, case in LET_BE.items():
            assert (name, (await delivered(phone, case)).status_code) == (name, case.status)
        async with httpx2.AsyncClient() as http:
            figures = (await http.get(f"{phone.server.http}/metrics")).text
        assert "switchboard_messages_accepted_total 0.0" in figures
        assert ANNA not in (await phone.api("GET", "")).json()["phone_numbers"]
        assert await phone.said(BEN) == []
        assert (await phone.ask("genuine")).text == "You said: genuine"
        assert kept_by(phone.server) != before
        assert await phone.server.stop() == 0
    assert [sent.text for sent in sms.sent] == ["You said: genuine"]
    assert len(provider.questions) == 1
    assert "Traceback" not in phone.server.printed()
    for secret in (SECRET, OLD_SECRET, "guess", ANNA, WORDS):
        assert secret not in phone.server.printed()


def genuine() -> dict[str, Case]:
    """With tokens of this moment."""
    thumbprint = bearer(head={"alg": "RS256", "kid": "key/1+x=", "x5t": "t", "typ": "JWT"})
    return {
        "the secret in the header": Case(200, KNOWN),
        "the secret in the query": Case(200, query={"secret": SECRET}),
        "the secret before": Case(200, {"x-eventgrid-secret": OLD_SECRET}),
        "a token of the older kind": Case(200, bearer()),
        "a token with a thumbprint": Case(200, thumbprint),
        "a token for the app's address": Case(200, bearer(aud=f"api://{APP}")),
        "a token of a clock that is ahead": Case(200, bearer(iat=int(time.time()) + 30)),
    }


async def test_either_kind_of_proof_is_enough(
    start: Start, provider: FakeOpenAI, sms: FakeAzure, entra: JwksServer
) -> None:
    newer = bearer(iss=f"{entra.url}/{TENANT}/v2.0", appid=GONE, azp=EVENT_GRID)
    async with texting(start, sms, **guarded(entra)) as phone:
        for name, case in {**genuine(), "a token of the newer kind": Case(200, newer)}.items():
            body = json.dumps([GRID.text(ANNA, name)]).encode()
            answered = await delivered(phone, Case(200, case.headers, case.query, body))
            assert (name, answered.status_code, answered.json().get("accepted")) == (name, 200, 1)
    assert "/discovery/v2.0/keys" in entra.requests[0]
    assert f"/{TENANT}/" in entra.requests[0]


async def test_events_come_again_that_were_delivered_while_the_tenants_keys_were_away(
    start: Start, provider: FakeOpenAI, sms: FakeAzure, entra: JwksServer
) -> None:
    entra.status = 500
    unknown = bearer(head={"alg": "RS256", "kid": "other"})
    async with texting(start, sms, **guarded(entra), EVENT_GRID_SECRET="") as phone:
        for case in (Case(503, bearer()), Case(503, unknown)):
            answered = await delivered(phone, case)
            assert (answered.status_code, answered.json()["error"]["retryable"]) == (503, True)
            assert 1 <= int(answered.headers["retry-after"]) <= 11
        assert (await delivered(phone, Case(403, {"authorization": "Bearer x"}))).status_code == 403
        entra.status = 200
        grid = EventGrid(phone.server.http, headers=bearer())
        assert await grid.deliver_until_taken([grid.text(ANNA, "at last")], pause=0.5) == 200
        assert (await delivered(phone, Case(403, unknown))).status_code == 403
        assert [sent.text for sent in await sms.until_sent(1)] == ["You said: at last"]


async def test_tokens_alone_are_enough(start: Start, provider: FakeOpenAI, sms: FakeAzure, entra: JwksServer) -> None:
    async with texting(start, sms, **guarded(entra), EVENT_GRID_SECRET="") as phone:
        assert (await delivered(phone, Case(200, bearer()))).status_code == 200
        assert (await delivered(phone, Case(401))).status_code == 401


async def test_a_server_that_is_open_on_purpose_takes_what_comes(
    start: Start, provider: FakeOpenAI, sms: FakeAzure
) -> None:
    async with texting(start, sms, EVENT_GRID_SECRET="", UNSAFE_OPEN_EVENT_GRID="true") as phone:
        assert (await delivered(phone, Case(200))).status_code == 200


async def test_a_server_without_azure_has_no_such_door(start: Start, provider: FakeOpenAI) -> None:
    async with start() as server, httpx2.AsyncClient(base_url=server.http) as http:
        assert (await http.post(PATH, json=[])).status_code == 404
