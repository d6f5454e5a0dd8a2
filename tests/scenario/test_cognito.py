"""User pools that are not ours: their keys are fetched, and their rules hold."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import websockets
from botocore.exceptions import ClientError

from tests.fakes.openai_server import FakeOpenAI
from tests.ministack import CODE, PASSWORD, Cloud, confirm, sign_up
from tests.scenario.process import Start, environment, run_command
from tests.unit.auth import forge
from tests.unit.auth.jwks_server import JwksServer


def token(issuer: str, **changes: Any) -> str:
    now = int(time.time())
    return forge.token(forge.claims(iss=issuer, iat=now, auth_time=now, exp=now + 60, **changes))


async def test_tokens_of_the_configured_pool_are_accepted_and_no_others(start: Start, provider: FakeOpenAI) -> None:
    async with JwksServer() as issuer:
        issuer.publish(forge.public_jwk())
        async with start(COGNITO_ISSUER_URL=issuer.url, COGNITO_CLIENT_IDS=f"other,{forge.CLIENT}") as server:
            assert "wscat" not in server.printed()
            async with websockets.connect(server.socket(f"?Auth={token(issuer.url)}")) as socket:
                assert json.loads(await socket.recv())["userId"] == forge.SUBJECT
            for bad in (
                token(issuer.url, client_id="another"),
                token(issuer.url, token_use="id", aud=forge.CLIENT),
                token("https://another.example"),
                server.token(),
            ):
                with pytest.raises(websockets.InvalidStatus):
                    await websockets.connect(server.socket(f"?Auth={bad}"))
    assert len(issuer.requests) == 1


async def test_a_socket_is_told_to_come_again_while_the_keys_of_the_pool_are_away(
    start: Start, provider: FakeOpenAI
) -> None:
    async with JwksServer() as issuer:
        issuer.status = 500
        async with start(COGNITO_ISSUER_URL=issuer.url, COGNITO_CLIENT_IDS=forge.CLIENT) as server:
            with pytest.raises(websockets.InvalidStatus) as refusal:
                await websockets.connect(server.socket(f"?Auth={token(issuer.url)}"))
            response = refusal.value.response
            error = json.loads(response.body or b"")["error"]
            assert (response.status_code, error["code"], error["retryable"]) == (503, "issuer_away", True)
            assert 1 <= int(response.headers["retry-after"]) <= 11


@pytest.fixture
def pool(cloud: Cloud) -> dict[str, str]:
    """The settings of a server whose people are in the pool on the emulator."""
    wanted = ("COGNITO_USER_POOL_ID", "COGNITO_CLIENT_IDS")
    return {**cloud.emulator.environment(), **{name: cloud.settings[name] for name in wanted}}


async def test_who_signed_up_gets_a_token_for_the_password_and_talks(
    start: Start, cloud: Cloud, pool: dict[str, str], tmp_path: Path
) -> None:
    sub = sign_up(cloud, "token-anna")
    code, token, errors = await run_command(
        "token", "--user", "token-anna", data_dir=tmp_path, SWITCHBOARD_PASSWORD=PASSWORD, **pool
    )
    assert (code, errors) == (0, "")
    async with start(**pool) as server, websockets.connect(server.socket(f"?Auth={token.strip()}")) as socket:
        assert json.loads(await socket.recv())["userId"] == sub
        assert token.strip() not in server.printed()


async def test_who_has_not_confirmed_yet_gets_no_token(cloud: Cloud, pool: dict[str, str], tmp_path: Path) -> None:
    client_id = cloud.settings["COGNITO_CLIENT_IDS"]
    cloud.client("cognito-idp").sign_up(ClientId=client_id, Username="token-new", Password=PASSWORD)
    with pytest.raises(ClientError, match="CodeMismatch"):
        confirm(cloud, "token-new", CODE[::-1])
    asked: dict[str, Any] = {"data_dir": tmp_path, "SWITCHBOARD_PASSWORD": PASSWORD, **pool}
    code, token, errors = await run_command("token", "--user", "token-new", **asked)
    assert (code, token, "not confirmed" in errors) == (2, "", True)
    confirm(cloud, "token-new", CODE)
    code, token, _ = await run_command("token", "--user", "token-new", **asked)
    assert (code, token.count(".")) == (0, 2)


async def test_a_password_may_come_through_a_pipe(cloud: Cloud, pool: dict[str, str], tmp_path: Path) -> None:
    sign_up(cloud, "token-piped")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server", "token", "--user", "token-piped", "--password-stdin"),
        env=environment(tmp_path, **pool),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    token, _ = await process.communicate(f"{PASSWORD}\n".encode())
    assert token.count(b".") == 2


async def test_a_wrong_password_is_an_error_that_does_not_repeat_it(pool: dict[str, str], tmp_path: Path) -> None:
    code, token, errors = await run_command("token", data_dir=tmp_path, SWITCHBOARD_PASSWORD="a-guess", **pool)
    assert (code, token) == (2, "")
    assert "Incorrect username or password" in errors
    assert "a-guess" not in errors
