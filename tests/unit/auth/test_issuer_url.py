from __future__ import annotations

import pytest

from server.auth.keys import JwksKeys
from server.errors import ConfigError
from tests.unit.auth.forge import ISSUER


@pytest.mark.parametrize(
    "url", [ISSUER, f"{ISSUER}/", "http://127.0.0.1:4566/pool", "http://localhost/pool", "http://[::1]:80/pool"]
)
async def test_an_issuer_is_https_or_on_loopback(url: str) -> None:
    async with JwksKeys(url):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cognito",
        "https://",
        "http://cognito-idp.eu-west-1.amazonaws.com/pool",
        "http://10.0.0.1/pool",
        "http://localhost.evil.example/pool",
        "http://127.0.0.1.evil.example/pool",
        "ftp://127.0.0.1/pool",
        "file:///etc/keys",
        "https://user:password@issuer.example/pool",
        "https://issuer.example/pool?x=1",
        "https://issuer.example/pool#x",
        "http://[::1/pool",
    ],
)
def test_another_issuer_is_refused_before_anything_is_asked_of_it(url: str) -> None:
    with pytest.raises(ConfigError):
        JwksKeys(url)
