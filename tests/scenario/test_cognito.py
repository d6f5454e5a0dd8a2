"""A user pool that is not ours: its keys are fetched, and its rules hold."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import websockets

from tests.fakes.openai_server import FakeOpenAI
from tests.scenario.process import Start
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
