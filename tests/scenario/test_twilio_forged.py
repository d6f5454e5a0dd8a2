"""Requests that Twilio did not make, or never makes: each is refused for what it is, and changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx2
import pytest
from twilio.request_validator import RequestValidator

from tests.fakes.twilio_server import OURS, PERSON, TOKEN, FakeTwilio, inbound, signed, twilio_server
from tests.scenario.phones import PUBLIC, STATUS, TEXTS, Phone, twilio_settings
from tests.scenario.process import ServerProcess, Start, kept_by

URL = PUBLIC + TEXTS
PREVIOUS = "the-token-before"
GOOD = inbound("hello", MessageSid="SM" + "1" * 32)
RECEIPT = {"MessageSid": "SM" + "2" * 32, "AccountSid": GOOD["AccountSid"], "To": PERSON, "MessageStatus": "sent"}
STOPPED = {**RECEIPT, "MessageStatus": "failed", "ErrorCode": "21610"}
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Forged:
    """A request, and what it is answered."""

    name: str
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    target: str = TEXTS
    method: str = "POST"


def form(
    name: str, status: int, fields: Mapping[str, str], *, url: str = URL, token: str = TOKEN, **more: str
) -> Forged:
    """Signed, but for what is wrong with it. `more`: headers instead."""
    headers = {**signed(url, fields, token), **{key.replace("_", "-"): value for key, value in more.items()}}
    return Forged(name, status, urlencode(fields).encode(), headers)


def raw(name: str, status: int, body: bytes, params: object, *, url: str = URL, kind: str = "") -> Forged:
    headers = {
        "content-type": kind or "application/x-www-form-urlencoded",
        "x-twilio-signature": RequestValidator(TOKEN).compute_signature(url, params),
    }
    return Forged(name, status, body, headers, target=url.removeprefix(PUBLIC))


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in GOOD.items() if name not in names}


def signature_of(url: str, fields: Mapping[str, str] = GOOD) -> str:
    return str(RequestValidator(TOKEN).compute_signature(url, fields))


def bad_signatures() -> list[Forged]:
    """403: whoever made it does not know the token, or meant another request."""
    good = signature_of(URL)
    of_signature = {
        "empty": "",
        "a dash": "-",
        "of another length": good[:-1],
        "one letter off": ("A" if good[0] != "A" else "B") + good[1:],
        "twice": f"{good},{good}",
        "in lower case": good.lower(),
        "hex": hashlib.sha1(b"x").hexdigest(),
        "very long": "A" * 4000,
        "no base64": "~" * len(good),
        "null": "null",
        "a list": f"['{good}']",
        "with an algorithm": f"sha1={good}",
    }
    of_url = {
        "http": URL.replace("https", "http"),
        "our own host": f"http://127.0.0.1:8000{TEXTS}",
        "another host": "https://chat.example.org" + TEXTS,
        "another path": PUBLIC + STATUS,
        "a trailing slash": URL + "/",
        "a query that is not there": URL + "?a=1",
        "another port": f"https://chat.example.com:8443{TEXTS}",
        "upper case": URL.upper(),
        "nothing": "",
    }
    return [
        *(form(f"signature: {name}", 403, GOOD, X_Twilio_Signature=one) for name, one in of_signature.items()),
        *(form(f"signed for {name}", 403, GOOD, url=url) for name, url in of_url.items()),
        form("signed with another token", 403, GOOD, token="another"),
        form("signed with no token", 403, GOOD, token=""),
        form("signed with the account's id", 403, GOOD, token=GOOD["AccountSid"]),
        Forged("not signed", 403, urlencode(GOOD).encode(), {"content-type": "application/x-www-form-urlencoded"}),
        Forged("nothing at all", 403),
        form("SHA-256 as settings, SHA-1 as signature", 403, GOOD, X_Twilio_Webhooks_Signature_Settings=SHA256),
        form("an unknown algorithm", 403, GOOD, X_Twilio_Webhooks_Signature_Settings="key=1,algorithm=none"),
    ]


SHA256 = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"


def changed_fields() -> list[Forged]:
    """403: what was signed is not what came."""
    changes: dict[str, Mapping[str, str]] = {
        "another text": {**GOOD, "Body": "send money"},
        "another sender": {**GOOD, "From": "+491709999999"},
        "another message": {**GOOD, "MessageSid": "SM" + "3" * 32},
        "a field more": {**GOOD, "Extra": "1"},
        "a field less": without("ApiVersion"),
        "no fields": {},
        "a blank at the end": {**GOOD, "Body": "hello "},
        "another case": {**GOOD, "body": GOOD["Body"]},
    }
    return [
        *(
            Forged(f"changed: {name}", 403, urlencode(fields).encode(), signed(URL, GOOD))
            for name, fields in changes.items()
        ),
        Forged("a query was added", 403, urlencode(GOOD).encode(), signed(URL, GOOD), target=TEXTS + "?admin=1"),
        Forged("a body hash was added", 403, urlencode(GOOD).encode(), signed(URL, GOOD), target=hashed(b"x")),
        Forged("signed by its host", 403, urlencode(GOOD).encode(), {**signed(EVIL, GOOD), "host": "evil.example"}),
        Forged(
            "signed by its forwarded host",
            403,
            urlencode(GOOD).encode(),
            {**signed(EVIL, GOOD), "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
        ),
        Forged("for the other route", 403, urlencode(GOOD).encode(), signed(URL, GOOD), target=STATUS),
    ]


EVIL = "https://evil.example" + TEXTS


def hashed(body: bytes) -> str:
    return f"{TEXTS}?bodySHA256={hashlib.sha256(body).hexdigest()}"


def bad_bodies() -> list[Forged]:
    """Twilio signs no such thing: 403; or it does, but it is no text: 400."""
    body = json.dumps(GOOD).encode()
    as_json, listed = PUBLIC + hashed(body), b'["a"]'
    deep = b"[" * 5000
    return [
        raw("no UTF-8", 403, b"Body=\xff\xfe", {}),
        raw("an escape that is no UTF-8", 403, b"Body=%ff%fe", {"Body": "\ufffd\ufffd"}),
        raw("too many fields", 403, b"&".join(b"a%d=1" % number for number in range(500)), {}),
        raw("JSON without its hash", 403, body, {}, kind="application/json"),
        Forged("JSON of another hash", 403, body + b" ", {**JSON, "x-twilio-signature": sign(as_json)}, hashed(body)),
        Forged("JSON, not signed", 403, body, JSON, hashed(body)),
        raw("JSON that is a list", 400, listed, {}, url=PUBLIC + hashed(listed), kind="application/json"),
        raw("JSON that is none", 400, b"{", {}, url=PUBLIC + hashed(b"{"), kind="application/json"),
        raw("JSON that is deep", 400, deep, {}, url=PUBLIC + hashed(deep), kind="application/json"),
        raw("a field twice", 400, b"Body=1&Body=2&" + urlencode(without("Body")).encode(), Twice()),
        raw("an empty form", 400, b"", {}),
        Forged("too large a body", 413, b"Body=" + b"x" * 70_000, signed(URL, {"Body": "x" * 70_000})),
    ]


def sign(url: str) -> str:
    return str(RequestValidator(TOKEN).compute_signature(url, {}))


class Twice(dict[str, list[str]]):
    """GOOD, with two bodies."""

    def __init__(self) -> None:
        super().__init__({**{name: [value] for name, value in GOOD.items()}, "Body": ["1", "2"]})

    def getlist(self, name: str) -> list[str]:
        return self[name]


def bad_fields() -> list[Forged]:
    """Signed, but nothing that Twilio sends: 400; or not to us: 403."""
    wrong: dict[str, Mapping[str, str]] = {
        "no MessageSid": without("MessageSid"),
        "MessageSid is empty": {**GOOD, "MessageSid": ""},
        "MessageSid is short": {**GOOD, "MessageSid": "SM1"},
        "MessageSid is no hex": {**GOOD, "MessageSid": "SM" + "g" * 32},
        "MessageSid is of a call": {**GOOD, "MessageSid": "CA" + "1" * 32},
        "MessageSid with a line": {**GOOD, "MessageSid": GOOD["MessageSid"] + "\n"},
        "no AccountSid": without("AccountSid"),
        "AccountSid is none": {**GOOD, "AccountSid": "AC1"},
        "AccountSid is a path": {**GOOD, "AccountSid": "../../etc/passwd"},
        "no From": without("From"),
        "From is empty": {**GOOD, "From": ""},
        "From is a script": {**GOOD, "From": "<script>alert(1)</script>"},
        "From is SQL": {**GOOD, "From": "'; DROP TABLE entries;--"},
        "From is very long": {**GOOD, "From": "+" + "1" * 40},
        "no To": without("To"),
        "To is a name": {**GOOD, "To": "nobody"},
        "From of WhatsApp, To of SMS": {**GOOD, "From": f"whatsapp:{PERSON}"},
        "From of SMS, To of WhatsApp": {**GOOD, "To": f"whatsapp:{OURS}"},
        "of a channel that we do not know": {**GOOD, "From": "messenger:1", "To": "messenger:2"},
        "NumMedia is no number": {**GOOD, "NumMedia": "many"},
        "NumMedia is huge": {**GOOD, "NumMedia": "99"},
        "NumMedia is negative": {**GOOD, "NumMedia": "-1"},
    }
    return [
        *(form(name, 400, fields) for name, fields in wrong.items()),
        form("of another account", 403, {**GOOD, "AccountSid": "AC" + "f" * 32}),
    ]


def bad_methods() -> list[Forged]:
    body, headers = urlencode(GOOD).encode(), signed(URL, GOOD)
    gone = Forged("a path with a slash", 404, body, headers, target=TEXTS + "/")
    others = ("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    return [gone, *(Forged(f"{one} is no way", 405, b"", headers, method=one) for one in others)]


def bad_receipts() -> list[Forged]:
    def receipt(name: str, status: int, fields: Mapping[str, str], **more: str) -> Forged:
        one = form(name, status, fields, url=PUBLIC + STATUS, **more)
        return Forged(f"receipt: {name}", status, one.body, one.headers, STATUS)

    return [
        receipt("of another token", 403, RECEIPT, token="another"),
        Forged("receipt: not signed", 403, urlencode(RECEIPT).encode(), {}, STATUS),
        receipt("of another account", 403, {**RECEIPT, "AccountSid": "AC" + "f" * 32}),
        receipt("without a message", 400, {**RECEIPT, "MessageSid": ""}),
        receipt("of a stop, of another token", 403, STOPPED, token="another"),
        Forged("receipt: of a stop, not signed", 403, urlencode(STOPPED).encode(), {}, STATUS),
        Forged(
            "receipt: changed to a stop", 403, urlencode(STOPPED).encode(), signed(PUBLIC + STATUS, RECEIPT), STATUS
        ),
        receipt("of a stop, of another account", 403, {**STOPPED, "AccountSid": "AC" + "f" * 32}),
        receipt("of an unknown status", 204, {**RECEIPT, "MessageStatus": "teleported"}),
        Forged("receipt: GET is no way", 405, b"", {}, STATUS, "GET"),
    ]


TABLE = [
    *bad_signatures(),
    *changed_fields(),
    *bad_bodies(),
    *bad_fields(),
    *bad_methods(),
    *bad_receipts(),
]


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with twilio_server() as fake:
        yield fake


@pytest.fixture
async def phone(start: Start, twilio: FakeTwilio) -> AsyncIterator[Phone]:
    async with start(**{**twilio_settings(twilio), "TWILIO_AUTH_TOKEN_PREVIOUS": PREVIOUS}) as server:
        yield Phone(twilio, server)


async def settled(phone: Phone) -> list[str]:
    """What is kept once the reply is over."""
    await phone.hears(1)
    async with asyncio.timeout(20):
        while 'INTO "outbox"' in "".join(kept_by(phone.server)):
            await asyncio.sleep(0.05)
    return kept_by(phone.server)


async def status_of(http: httpx2.AsyncClient, server: ServerProcess, one: Forged) -> int:
    answered = await http.request(one.method, server.http + one.target, content=one.body, headers=one.headers)
    return answered.status_code


def test_the_table_is_long_enough() -> None:
    assert len({one.name for one in TABLE}) == len(TABLE)
    assert sum(400 <= one.status < 500 for one in TABLE) >= 60


async def test_every_forged_request_is_refused_and_changes_nothing(phone: Phone) -> None:
    before = kept_by(phone.server)
    async with httpx2.AsyncClient(timeout=20) as http:
        found = {one.name: await status_of(http, phone.server, one) for one in TABLE}
    assert found == {one.name: one.status for one in TABLE}
    assert kept_by(phone.server) == before
    assert phone.fake.asked == 0
    assert "evil" not in phone.server.printed()


async def test_a_replay_is_taken_for_what_it_is_and_changes_nothing(phone: Phone) -> None:
    fields = inbound("hello")
    body, headers = urlencode(fields), signed(URL, fields)
    async with httpx2.AsyncClient(timeout=20) as http:
        for number in range(4):
            token = {"i-twilio-idempotency-token": f"replay-{number}"}
            answered = await http.post(phone.server.http + TEXTS, content=body, headers={**headers, **token})
            assert answered.status_code == 200
            if number == 0:
                before = await settled(phone)
    assert kept_by(phone.server) == before
    assert phone.fake.bodies() == ["You said: hello"]


@pytest.mark.parametrize("token", [TOKEN, PREVIOUS])
async def test_while_the_token_is_changed_both_are_good(phone: Phone, token: str) -> None:
    fields = inbound("hello")
    async with httpx2.AsyncClient() as http:
        answered = await http.post(
            phone.server.http + TEXTS, content=urlencode(fields), headers=signed(URL, fields, token)
        )
    assert answered.status_code == 200


@pytest.mark.parametrize("url", [f"https://chat.example.com:443{TEXTS}", f"{URL}?x=1&y=a%20b"])
async def test_twilios_own_ways_to_write_the_url_are_good(phone: Phone, url: str) -> None:
    fields = inbound("hello")
    target = url.partition("chat.example.com")[2].removeprefix(":443")
    async with httpx2.AsyncClient() as http:
        answered = await http.post(phone.server.http + target, content=urlencode(fields), headers=signed(url, fields))
    assert answered.status_code == 200
