from __future__ import annotations

import asyncio
import gc
import gzip
import json
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from server.auth.keys import LARGEST_DOCUMENT_BYTES, JwksKeys
from server.errors import Unauthorized, Unavailable
from tests.unit.auth.forge import FOREIGN_KEY, KID, public_jwk, token, verifier
from tests.unit.auth.jwks_server import JwksServer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[JwksServer]:
    async with JwksServer() as server:
        server.publish(public_jwk())
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(issuer: JwksServer, clock: Clock) -> AsyncIterator[JwksKeys]:
    async with JwksKeys(issuer.url, clock=clock) as opened:
        yield opened


async def away(keys: JwksKeys, kid: str) -> float:
    """Nobody can say whether there is such a key; when to ask again."""
    with pytest.raises(Unavailable) as raised:
        await keys.find(kid)
    assert raised.value.retry_after is not None
    return raised.value.retry_after


async def test_a_hydrated_source_verifies_a_token_without_asking_again(issuer: JwksServer, keys: JwksKeys) -> None:
    await keys.hydrate()
    assert (await verifier(keys).verify(token())).username == "demo"
    assert len(issuer.requests) == 1
    assert issuer.requests[0].startswith("GET /pool/.well-known/jwks.json HTTP/1.1\r\n")


async def test_a_source_that_was_not_hydrated_fetches_for_its_first_token(issuer: JwksServer, keys: JwksKeys) -> None:
    assert (await verifier(keys).verify(token())).username == "demo"
    assert len(issuer.requests) == 1


async def test_a_flood_of_unknown_kids_costs_one_fetch_in_ten_seconds(
    issuer: JwksServer, keys: JwksKeys, clock: Clock
) -> None:
    async def flood() -> None:
        assert set(await asyncio.gather(*(keys.find(f"unknown-{n}") for n in range(500)))) == {None}
        for n in range(500):
            assert await keys.find(f"unknown-{n}") is None

    await flood()
    assert len(issuer.requests) == 1
    clock.now += 9.9
    await flood()
    assert len(issuer.requests) == 1
    clock.now += 0.1
    await flood()
    assert len(issuer.requests) == 2


async def test_hydrating_takes_the_turn_of_the_first_ten_seconds(
    issuer: JwksServer, keys: JwksKeys, clock: Clock
) -> None:
    await keys.hydrate()
    assert await keys.find("unknown") is None
    assert len(issuer.requests) == 1
    clock.now += 10
    assert await keys.find("unknown") is None
    assert len(issuer.requests) == 2


async def test_callers_at_the_same_time_share_one_fetch(issuer: JwksServer, keys: JwksKeys, clock: Clock) -> None:
    issuer.gate.clear()
    callers = [asyncio.create_task(keys.find(KID)) for _ in range(20)]
    await issuer.asked.wait()
    clock.now += 60
    late = asyncio.create_task(keys.find(KID))
    await asyncio.sleep(0)
    issuer.gate.set()
    assert None not in await asyncio.gather(late, *callers)
    assert len(issuer.requests) == 1


async def test_a_caller_who_hangs_up_does_not_take_the_fetch_from_the_others(
    issuer: JwksServer, keys: JwksKeys
) -> None:
    issuer.gate.clear()
    first = asyncio.create_task(keys.find(KID))
    await issuer.asked.wait()
    second = asyncio.create_task(keys.find(KID))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    issuer.gate.set()
    assert await second is not None
    assert len(issuer.requests) == 1


async def test_a_known_key_does_not_wait_for_the_fetch_of_another_caller(
    issuer: JwksServer, keys: JwksKeys, clock: Clock
) -> None:
    await keys.hydrate()
    clock.now += 3600
    issuer.asked.clear()
    issuer.gate.clear()
    other = asyncio.create_task(keys.find("unknown"))
    await issuer.asked.wait()
    assert await keys.find(KID) is not None
    assert not other.done()
    issuer.gate.set()
    assert await other is None


async def test_a_rotated_key_is_found_and_the_old_one_gone(issuer: JwksServer, keys: JwksKeys, clock: Clock) -> None:
    await keys.hydrate()
    issuer.publish(public_jwk(FOREIGN_KEY, kid="new"))
    clock.now += 10
    assert await keys.find("new") is not None
    assert await keys.find(KID) is None


async def test_a_key_taken_back_is_gone_after_an_hour_though_its_kid_is_known(
    issuer: JwksServer, keys: JwksKeys, clock: Clock
) -> None:
    await keys.hydrate()
    issuer.publish(public_jwk(FOREIGN_KEY, kid="new"))
    clock.now += 3599
    assert await keys.find(KID) is not None
    clock.now += 1
    assert await keys.find(KID) is None


BAD_DOCUMENTS = {
    "empty": b"",
    "not JSON": b"<html>",
    "not UTF-8": b"\xff\xfe\xfd",
    "an array": b"[]",
    "a number": b"1",
    "without keys": b"{}",
    "with keys that are no list": b'{"keys": {}}',
    "with no key": b'{"keys": []}',
    "with no usable key": json.dumps({"keys": [public_jwk(kty="EC")]}).encode(),
    "nested too deep": b"[" * 60_000,
    "too large": json.dumps({"keys": [public_jwk(kid="new")]}).encode() + b" " * LARGEST_DOCUMENT_BYTES,
}


@pytest.mark.parametrize("document", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
async def test_old_keys_survive_a_bad_document(
    issuer: JwksServer, keys: JwksKeys, clock: Clock, document: bytes
) -> None:
    await keys.hydrate()
    issuer.body = document
    clock.now += 7200
    with capture_logs() as logs:
        assert await keys.find(KID) is not None
    assert [entry["event"] for entry in logs] == ["jwks_not_fetched"]
    assert len(issuer.requests) == 2


@pytest.mark.parametrize("status", [204, 304, 403, 404, 429, 500, 503])
async def test_old_keys_survive_an_outage(issuer: JwksServer, keys: JwksKeys, clock: Clock, status: int) -> None:
    await keys.hydrate()
    issuer.publish(public_jwk(kid="new"))
    issuer.status = status
    issuer.body = b"" if status in {204, 304} else issuer.body
    clock.now += 7200
    assert await keys.find(KID) is not None
    assert await away(keys, "new") == 10


async def test_a_key_that_came_while_the_issuer_was_away_is_found_once_it_is_back(
    issuer: JwksServer, keys: JwksKeys, clock: Clock
) -> None:
    await keys.hydrate()
    issuer.publish(public_jwk(FOREIGN_KEY, kid="new"))
    issuer.status = 503
    clock.now += 60
    assert await away(keys, "new") == 10
    clock.now += 9
    assert await away(keys, "new") == 1
    issuer.status = 200
    clock.now += 1
    assert await keys.find("new") is not None
    assert await keys.find("unknown") is None


async def test_a_token_is_not_refused_for_good_while_nobody_can_say_whether_it_is_genuine(
    issuer: JwksServer, keys: JwksKeys, clock: Clock
) -> None:
    issuer.status = 500
    await keys.hydrate()
    unknown = token(head={"alg": "RS256", "kid": "unknown"})
    for made in (token(), unknown):
        with pytest.raises(Unavailable):
            await verifier(keys).verify(made)
    with pytest.raises(Unauthorized):
        await verifier(keys).verify("not.a.token")
    issuer.status = 200
    clock.now += 10
    assert (await verifier(keys).verify(token())).username == "demo"
    with pytest.raises(Unauthorized):
        await verifier(keys).verify(unknown)


async def test_an_outage_is_asked_about_once_in_ten_seconds(issuer: JwksServer, keys: JwksKeys, clock: Clock) -> None:
    await keys.hydrate()
    issuer.status = 500
    clock.now += 7200
    for _ in range(5):
        assert await keys.find(KID) is not None
    assert len(issuer.requests) == 2


async def test_the_server_starts_without_its_issuer_and_finds_it_later(clock: Clock) -> None:
    async with JwksServer() as gone:
        url = gone.url
    async with JwksKeys(url, clock=clock) as keys:
        with capture_logs() as logs:
            await keys.hydrate()
        assert [(entry["event"], entry["log_level"]) for entry in logs] == [("jwks_not_fetched", "warning")]
        await away(keys, KID)


async def test_keys_come_once_the_issuer_is_back(issuer: JwksServer, keys: JwksKeys, clock: Clock) -> None:
    issuer.status = 503
    await keys.hydrate()
    issuer.publish(public_jwk())
    await away(keys, KID)
    clock.now += 10
    assert await keys.find(KID) is not None


@pytest.mark.parametrize("drip", [None, b" "], ids=["silent", "dripping"])
async def test_a_slow_issuer_is_cut_off(issuer: JwksServer, drip: bytes | None) -> None:
    issuer.drip, issuer.drip_seconds = drip, 0.02
    if drip is None:
        issuer.gate.clear()
    async with JwksKeys(issuer.url, timeout=0.2) as keys:
        begin = time.monotonic()
        await away(keys, KID)
        assert 0.2 <= time.monotonic() - begin < 1.5


async def test_the_body_of_an_issuer_that_does_not_stop_is_not_read_on(issuer: JwksServer) -> None:
    issuer.drip = b" " * 8192
    async with JwksKeys(issuer.url, timeout=60) as keys:
        await away(keys, KID)
        async with asyncio.timeout(10):
            await issuer.hung_up.wait()


async def test_a_body_just_within_its_limit_is_read(issuer: JwksServer, keys: JwksKeys) -> None:
    issuer.body += b" " * (LARGEST_DOCUMENT_BYTES - len(issuer.body))
    assert await keys.find(KID) is not None


async def test_a_body_is_not_unpacked(issuer: JwksServer, keys: JwksKeys) -> None:
    issuer.headers = "Content-Encoding: gzip\r\n"
    issuer.body = gzip.compress(issuer.body)
    await away(keys, KID)
    assert "accept-encoding: identity" in issuer.requests[0].lower()


async def test_loopback_is_not_looked_for_behind_a_proxy(issuer: JwksServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with JwksServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with JwksKeys(issuer.url) as keys:
            assert await keys.find(KID) is not None
        assert proxy.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(issuer: JwksServer, keys: JwksKeys, status: int) -> None:
    async with JwksServer() as elsewhere:
        elsewhere.publish(public_jwk())
        issuer.status, issuer.headers = status, f"Location: {elsewhere.url}\r\n"
        await away(keys, KID)
        assert elsewhere.requests == []


async def test_closing_ends_the_fetch_and_those_who_wait_are_told_to_come_again(issuer: JwksServer) -> None:
    issuer.gate.clear()
    async with JwksKeys(issuer.url) as keys:
        caller = asyncio.create_task(away(keys, KID))
        await issuer.asked.wait()
    assert "jwks" not in {task.get_name() for task in asyncio.all_tasks()}
    assert await caller > 0


async def test_nothing_is_fetched_after_closing(issuer: JwksServer, clock: Clock) -> None:
    async with JwksKeys(issuer.url, clock=clock) as keys:
        await keys.hydrate()
    clock.now += 7200
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    assert await keys.find(KID) is not None
    assert await keys.find("unknown") is None
    gc.collect()
    assert (len(issuer.requests), faults) == (1, [])


async def test_a_bad_key_beside_a_good_one_does_no_harm(issuer: JwksServer, keys: JwksKeys) -> None:
    issuer.publish(public_jwk(use="enc"), public_jwk(kid="good"))
    await keys.hydrate()
    assert await keys.find(KID) is None
    assert await keys.find("good") is not None
