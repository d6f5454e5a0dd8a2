"""Who gets a socket, and what those who do not are told: over HTTP, before the upgrade."""

from __future__ import annotations

import json
from typing import Any

import pytest
import websockets
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from server.auth.local_pool import LocalUserPool
from tests.scenario.client import client
from tests.scenario.process import ServerProcess, Start


async def greeted(url: str, **options: Any) -> str | None:
    """Connects, gets the first frame, and gives the subprotocol that was chosen."""
    async with websockets.connect(url, **options) as socket:
        assert json.loads(await socket.recv())["messageType"] == "connected"
        return socket.subprotocol


async def refused(url: str, **options: Any) -> tuple[int, str]:
    """The HTTP status and the code of the error."""
    with pytest.raises(InvalidStatus) as refusal:
        await websockets.connect(url, **options)
    response = refusal.value.response
    assert response.headers["content-type"] == "application/json"
    error = json.loads(response.body or b"")["error"]
    assert error["message"]
    assert error["requestId"]
    return response.status_code, error["code"]


@pytest.mark.parametrize("path", ["/ws", "/dev"])
async def test_the_token_is_taken_from_three_places(server: ServerProcess, path: str) -> None:
    token, url = server.token(), server.socket(path=path)
    await greeted(url, additional_headers={"Authorization": f"Bearer {token}"})
    await greeted(f"{url}?Auth={token}")
    chosen = await greeted(url, subprotocols=[Subprotocol("assistant.v1"), Subprotocol(f"bearer.{token}")])
    assert chosen == "assistant.v1"


async def test_the_first_place_found_decides(server: ServerProcess) -> None:
    headers = {"Authorization": "Bearer nonsense"}
    assert await refused(server.socket(f"?Auth={server.token()}"), additional_headers=headers) == (403, "bad_token")


async def test_without_a_token_the_answer_is_401(server: ServerProcess) -> None:
    assert await refused(server.socket()) == (401, "no_token")


async def test_a_bad_token_is_answered_403(server: ServerProcess) -> None:
    good = server.token()
    assert await refused(server.socket(f"?Auth={good[:-4]}AAAA")) == (403, "bad_token")
    stranger = LocalUserPool.open(server.data_dir / "another-pool").token("anna")
    assert await refused(server.socket(f"?Auth={stranger}")) == (403, "bad_token")


async def test_an_expired_token_says_so(server: ServerProcess) -> None:
    old = LocalUserPool.open(server.data_dir).token("anna", lifetime_seconds=-1)
    assert await refused(server.socket(f"?Auth={old}")) == (403, "expired_token")


async def test_pages_of_other_origins_are_refused(start: Start) -> None:
    async with start(ALLOWED_ORIGINS="https://app.example, https://beta.example") as server:
        url = server.socket(f"?Auth={server.token()}")
        assert await refused(url, origin=Origin("https://evil.example")) == (403, "bad_origin")
        assert await refused(url, origin=Origin("null")) == (403, "bad_origin")
        await greeted(url, origin=Origin("https://beta.example"))
        await greeted(url, origin=Origin(server.http))


async def test_one_person_may_have_so_many_connections(start: Start) -> None:
    async with start(CONNECTIONS_PER_PERSON=2) as server:
        async with client(server), client(server), client(server, "ben"):
            assert await refused(server.socket(f"?Auth={server.token()}")) == (429, "too_many_connections")
        await greeted(server.socket(f"?Auth={server.token()}"))


async def test_all_together_may_have_so_many_connections(start: Start) -> None:
    async with start(CONNECTIONS=1) as server, client(server):
        assert await refused(server.socket(f"?Auth={server.token('ben')}")) == (429, "too_many_connections")


async def test_other_paths_have_no_socket(server: ServerProcess) -> None:
    assert await refused(server.socket(f"?Auth={server.token()}", path="/prod")) == (404, "not_found")


async def test_the_second_path_is_the_stage(start: Start) -> None:
    async with start(STAGE="prod") as server:
        await greeted(server.socket(f"?Auth={server.token()}", path="/prod"))
