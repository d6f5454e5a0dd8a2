"""Twelve secrets, and every way in which they come to a server: in good order, and in every bad one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import websockets

from tests.fakes.azure_server import KEY as AZURE_KEY
from tests.fakes.azure_server import EventGrid, FakeAzure
from tests.fakes.azure_server import Fault as AzureFault
from tests.fakes.openai_server import Answer, Call, Fault
from tests.fakes.twilio_server import OURS, TOKEN, FakeTwilio, inbound, signed
from tests.fakes.twilio_server import Fault as TwilioFault
from tests.scenario.phones import PUBLIC, STATUS, TEXTS
from tests.scenario.process import ServerProcess
from tests.scenario.test_tools import outputs
from tests.scenario.texting import SECRET

API_KEY = "sk-canary-4711"
DIGITS = "4917099887766"
TEXT, ADDRESS, INCOME = "canary-hello", "17 Canary Wharf", "987,654 euros"
FILE, SIGNATURE, COOKIE, QUERY = "canary-passport.png", "canarysignature", "canary-cookie", "canary-query"
GENRE, PROMPT = "canary-fiction", "a canary in oils"
WORDS = f"{TEXT}: I live at {ADDRESS}, have {INCOME} a year, my number is +{DIGITS}, my paper {FILE}"
HEADERS = {"cookie": f"session={COOKIE}"}
WHATSAPP = {"From": f"whatsapp:+{DIGITS}", "To": f"whatsapp:{OURS}"}
# What the provider does with a question that holds the word, the first time that it comes.
FAULTS = (Fault.CONTEXT_LENGTH_EXCEEDED, Fault.MALFORMED_JSON, Fault.RESET, Fault.UNAUTHORIZED, Fault.FAILED_PROMPT)


def secrets(server: ServerProcess, site: Site) -> Mapping[str, Sequence[str]]:
    """By what they are."""
    token = server.token()
    return {
        "token": (token, token.split(".")[1], token.split(".")[2]),
        "key": (API_KEY, TOKEN, AZURE_KEY, SECRET),
        "phone number": (DIGITS,),
        "text": (TEXT,),
        "address": (ADDRESS,),
        "income": (INCOME,),
        "file name": (FILE,),
        "signature": (SIGNATURE, *site.signatures),
        "cookie": (COOKIE,),
        "query string": (QUERY,),
        "tool argument": (GENRE,),
        "image prompt": (PROMPT, quote(PROMPT)),
    }


@dataclass
class Site:
    """A server, its providers, and all bodies of errors that were got from it so far."""

    server: ServerProcess
    twilio: FakeTwilio
    azure: FakeAzure
    http: httpx2.AsyncClient
    errors: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)

    async def ask(self, method: str, path: str, **options: Any) -> int:
        """With a cookie and a query; the status of the answer."""
        target = path + ("&" if "?" in path else "?") + f"q={QUERY}"
        headers = {**HEADERS, **options.pop("headers", {})}
        answered = await self.http.request(method, target, headers=headers, **options)
        self.note(answered)
        return answered.status_code

    def note(self, answered: httpx2.Response) -> None:
        if answered.status_code >= 400:
            self.errors.append(answered.text)

    def bearer(self, *groups: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.server.pool.token('anna', groups=groups)}"}


@asynccontextmanager
async def site(server: ServerProcess, twilio: FakeTwilio, azure: FakeAzure) -> AsyncIterator[Site]:
    async with httpx2.AsyncClient(base_url=server.http, timeout=60) as http:
        yield Site(server, twilio, azure, http)


class Provider:
    """What the fake provider says: a tool is called, a picture is drawn, or something goes wrong."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        question = str(body["input"][-1].get("content", ""))
        if outputs(body):
            return Answer(tokens=(f"{TEXT}: {outputs(body)[-1]}",))
        if "tools please" in question:
            broken = Call("get_inventory", f'{{"genre": "{GENRE}"')
            return Answer(calls=(Call("get_inventory", {"genre": GENRE}), Call(GENRE, {"genre": GENRE}), broken))
        if "picture" in question:
            return Answer(calls=(Call("generate_image", {"description": PROMPT}),))
        fault = next((one for one in FAULTS if one in question and one not in self._failed), None)
        if fault is None:
            return Answer()
        self._failed.add(fault)
        return Answer(fault=fault, at=1)


# --- sockets ------------------------------------------------------------------------------------------------------


async def by_socket(site: Site) -> None:
    token = site.server.token()
    url = site.server.socket(f"?Auth={token}&q={QUERY}")
    async with websockets.connect(url, additional_headers=HEADERS, compression=None) as socket:
        for text in (WORDS, f"tools please {WORDS}", *(f"{fault} {WORDS}" for fault in FAULTS)):
            await socket.send(json.dumps({"action": "sendMessage", "message": text}))
            await until(site, socket, "assistantResponse")
        for bad in (
            f'{{"action": "{WORDS}"',
            json.dumps({"action": "none", "message": TEXT}),
            json.dumps([WORDS]),
            TEXT.encode(),
        ):
            await socket.send(bad)
            await until(site, socket, "error")
        for fields in ({"message": 7}, {"message": WORDS, "messageId": "no id!"}, {"message": WORDS * 900}):
            await socket.send(json.dumps({"action": "sendMessage", **fields}))
            await until(site, socket, "error")
        for action in ("resume", "openConversation", "history"):
            await socket.send(json.dumps({"action": action, "conversationId": TEXT, "after": 0, TEXT: WORDS}))
            await until(site, socket, "error")
        await socket.send(WORDS * 3000)
        with suppress(websockets.ConnectionClosed):
            await until(site, socket, "never")
    for query in (f"?Auth={token}x&q={QUERY}", f"?q={QUERY}", f"?Auth={TEXT}"):
        await refused_socket(site, site.server.socket(query))
    await refused_socket(site, site.server.socket(f"?Auth={token}&q={QUERY}", path=f"/{FILE}"))


async def until(site: Site, socket: websockets.ClientConnection, kind: str) -> None:
    async with asyncio.timeout(60):
        while True:
            text = str(await socket.recv())
            frame = json.loads(text)
            if frame["messageType"] == "error":
                site.errors.append(text)
            if frame["messageType"] == kind:
                return


async def refused_socket(site: Site, url: str) -> None:
    try:
        async with websockets.connect(url, additional_headers={**HEADERS, "origin": f"https://{QUERY}.example"}):
            raise AssertionError("it was let in")
    except websockets.InvalidStatus as refused:
        site.errors.append((refused.response.body or b"").decode())


async def by_bytes(site: Site) -> None:
    """What is no HTTP, and no WebSocket."""
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-"
    offered = f"Key: {'A' * 22}==\r\nSec-WebSocket-Protocol: assistant.v1, bearer.{site.server.token()} {TEXT}"
    for request in (
        f"{TEXT} / {QUERY}\r\n\r\n",
        f"GET /{FILE}?q={QUERY} HTTP/1.1\r\nHost: h\r\nCookie: {COOKIE}\r\nContent-Length: {TEXT}\r\n\r\n",
        f"GET /ws HTTP/1.1\r\nHost: h\r\n{upgrade}{offered}\r\n\r\n",
        f"GET /ws?Auth={site.server.token()} HTTP/1.1\r\nHost: h\r\n{upgrade}Key: {TEXT}\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
        writer.write(request.encode())
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                site.errors.append((await reader.read(65536)).decode())
        writer.close()


# --- HTTP ---------------------------------------------------------------------------------------------------------


async def by_chat(site: Site) -> None:
    """Whole, streamed, and refused."""
    known, stream = site.bearer(), {"accept": "text/event-stream"}
    post: Mapping[str, Any] = {"conversation_id": None, "message": WORDS}
    assert await site.ask("POST", "/api/chat", json=post, headers=known) == 200
    assert await site.ask("POST", "/api/chat", json=post, headers={**known, **stream}) == 200
    for fault in FAULTS[:2]:
        await site.ask("POST", "/api/chat", json={**post, "message": f"{fault}: again, {WORDS}"}, headers=known)
    assert await site.ask("POST", "/api/chat", json=post) == 401
    assert await site.ask("POST", "/api/chat", json=post, headers={"authorization": f"Bearer {TEXT}"}) == 403
    for body, status in (
        ({**post, "conversation_id": TEXT}, 404),
        ({"message": [WORDS], "conversation_id": None}, 422),
        ({WORDS: 1}, 422),
        ({**post, "message": WORDS * 9000}, 413),
    ):
        assert await site.ask("POST", "/api/chat", json=body, headers=known) in {status, 400, 422}
    assert await site.ask("POST", "/api/chat", content=f"{{{WORDS}".encode(), headers=known) in {400, 422}
    kind = {"content-type": f"text/{TEXT}"}
    assert await site.ask("POST", "/api/chat", content=WORDS.encode(), headers={**known, **kind}) == 415


async def by_conversations(site: Site) -> None:
    admin, anna = site.bearer("admin"), site.bearer()
    number = quote(f"+{DIGITS}")
    assert await site.ask("GET", f"/api/conversations/{number}", headers=admin) == 200
    for path in (number, FILE, quote(WORDS)):
        assert await site.ask("GET", f"/api/conversations/{path}", headers=anna) in {403, 404}
        assert await site.ask("DELETE", f"/api/conversations/{path}") == 401
    for query in (f"limit={TEXT}", f"before={TEXT}", f"after=%2B{DIGITS}"):
        await site.ask("GET", f"/api/conversations/{number}?{query}", headers=admin)
        await site.ask("GET", f"/api/conversations?{query}", headers=admin)
    assert await site.ask("DELETE", f"/api/conversations/{number}", headers=admin) in {200, 204}


async def by_links(site: Site) -> None:
    for path in (f"/files/{FILE}", f"/files/tel:+{DIGITS}/{FILE}", f"/{FILE}", f"/{DIGITS}/{TEXT}"):
        query = f"until=1&sig={SIGNATURE}"
        assert await site.ask("GET", f"{path}?{query}") in {403, 404, 410}
        assert await site.ask("PUT", f"{path}?{query}", content=WORDS.encode()) in {404, 405}


# --- phones -------------------------------------------------------------------------------------------------------


async def by_twilio(site: Site) -> None:
    twilio = site.twilio
    picture = {"NumMedia": "2", "MediaUrl0": twilio.picture(FILE, b"none"), "MediaUrl1": f"https://evil.test/{FILE}"}
    await heard(site, WORDS)
    await heard(site, f"{FAULTS[0]}, by phone: {WORDS}")
    await heard(site, f"/image {PROMPT}", **WHATSAPP)
    await heard(site, WORDS, **WHATSAPP, **picture)
    for fault in (TwilioFault.BAD_NUMBER, TwilioFault.NO_JSON, TwilioFault.RESET, TwilioFault.STOPPED):
        asked = twilio.asked
        twilio.faults.append(fault)
        assert await post_text(site, f"again {fault.name}: {WORDS}") == 200
        async with asyncio.timeout(60):
            while twilio.asked == asked:
                await asyncio.sleep(0.05)
    for word in ("START", "STOP", WORDS):
        assert await post_text(site, word) == 200
    await refused_texts(site)
    report = inbound(WORDS, MessageStatus="failed", ErrorCode="30003", ErrorMessage=WORDS, To=f"+{DIGITS}")
    assert await post_form(site, STATUS, report) == 204
    assert await post_form(site, STATUS, {**report, "MessageSid": TEXT}) == 400


async def refused_texts(site: Site) -> None:
    fields = inbound(WORDS, From=f"+{DIGITS}")
    for wrong in ({"MessageSid": TEXT}, {"From": WORDS}, {"To": f"whatsapp:+{DIGITS}"}, {"NumMedia": TEXT}):
        assert await post_form(site, TEXTS, {**fields, **wrong}) == 400
    assert await post_form(site, TEXTS, {**fields, "AccountSid": "AC" + "f" * 32}) == 403
    assert await post_form(site, TEXTS, fields, signature=SIGNATURE) == 403
    assert await post_form(site, TEXTS, {**fields, "Body": WORDS * 2_000}) == 413
    form = {"content-type": "application/json", "x-twilio-signature": SIGNATURE}
    assert await site.ask("POST", TEXTS, content=f"{{{WORDS}".encode(), headers=form) == 403
    assert await site.ask("GET", TEXTS, headers=form) == 405


async def heard(site: Site, body: str, **fields: str) -> None:
    before = len(site.twilio.messages)
    assert await post_text(site, body, **fields) == 200
    await site.twilio.sent(before + 1, 60)


async def post_text(site: Site, body: str, **fields: str) -> int:
    return await post_form(site, TEXTS, inbound(body, **{"From": f"+{DIGITS}", **fields}))


async def post_form(site: Site, path: str, fields: Mapping[str, str], signature: str = "") -> int:
    headers = signed(f"{PUBLIC}{path}?q={QUERY}", fields)
    site.signatures.append(headers["X-Twilio-Signature"])
    if signature:
        headers["X-Twilio-Signature"] = signature
    return await site.ask("POST", path, content=urlencode(fields), headers=headers)


async def by_azure(site: Site) -> None:
    grid = EventGrid(site.server.http, SECRET, in_query=True, headers=HEADERS)
    for fault in (None, AzureFault.REFUSED, AzureFault.INVALID, AzureFault.OPTED_OUT):
        asked = len(site.azure.requests) + len(site.azure.sent)
        site.azure.script(fault)
        assert (await grid.deliver(grid.text(f"+{DIGITS}", f"{fault} {WORDS}"))).status_code == 200
        async with asyncio.timeout(60):
            while fault is None and len(site.azure.requests) + len(site.azure.sent) == asked:
                await asyncio.sleep(0.05)
    reports = (grid.report(TEXT, f"+{DIGITS}", "Failed", WORDS), grid.report("m", WORDS, TEXT))
    site.note(await grid.deliver(*reports))
    site.note(await grid.deliver(grid.text(WORDS, WORDS)))
    site.note(await grid.deliver(grid.event(TEXT, {"message": WORDS}), {TEXT: WORDS}))
    site.note(await grid.deliver(grid.validation(TEXT, f"https://{QUERY}.test/")))
    for body in (f"{{{WORDS}".encode(), json.dumps(WORDS).encode(), WORDS.encode() * 20_000):
        answered = await grid.post(body)
        assert answered.status_code >= 400
        site.note(answered)
    for unknown in (EventGrid(site.server.http, TEXT), EventGrid(site.server.http, TEXT, in_query=True)):
        site.note(await unknown.deliver(unknown.text(f"+{DIGITS}", WORDS)))
    stranger = EventGrid(site.server.http, headers={"authorization": f"Bearer {site.server.token()}"})
    site.note(await stranger.deliver(stranger.text(f"+{DIGITS}", WORDS)))


async def to_a_broken_store(site: Site) -> None:
    """All the doors, while nothing can be kept."""
    post = {"conversation_id": None, "message": WORDS}
    assert await site.ask("POST", "/api/chat", json=post, headers=site.bearer()) >= 500
    assert await post_text(site, f"once more: {WORDS}", **WHATSAPP) == 503
    assert await site.ask("GET", f"/api/conversations/{quote('+' + DIGITS)}", headers=site.bearer("admin")) >= 500
    grid = EventGrid(site.server.http, SECRET)
    answered = await grid.deliver(grid.text("+15005550009", WORDS))
    assert answered.status_code == 503
    site.note(answered)
