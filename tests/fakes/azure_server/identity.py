"""The endpoint at which a machine of App Service asks for tokens of its managed identity, and TLS on loopback.

The library takes the endpoint's address from the environment; it sends the token to nobody who does not speak TLS.
"""

from __future__ import annotations

import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.openai_server.wire import HOST, listening

HEADER = "identity-header-canary"
RESOURCE = "https://communication.azure.com"
VERSION = "2019-08-01"


class FakeIdentity:
    """What it has given so far is in `given`; the newest is the one that counts."""

    def __init__(self) -> None:
        self.url = ""
        self.given: list[str] = []

    def environment(self) -> dict[str, str]:
        """Of a machine that has this identity."""
        return {"IDENTITY_ENDPOINT": f"{self.url}/msi/token", "IDENTITY_HEADER": HEADER}

    async def answer(self, request: Request) -> Response:
        asked = request.query_params
        if request.headers.get("x-identity-header") != HEADER or asked.get("api-version") != VERSION:
            return Response(status_code=401)
        if asked.get("resource", "").rstrip("/") != RESOURCE:
            return JSONResponse({"statusCode": 400, "message": "no such resource"}, 400)
        self.given.append(f"identity-token-canary-{len(self.given)}")
        expires = str(int(time.time()) + 3600)
        told = {"access_token": self.given[-1], "expires_on": expires, "resource": RESOURCE, "token_type": "Bearer"}
        return JSONResponse(told)


@asynccontextmanager
async def identity_server() -> AsyncIterator[FakeIdentity]:
    fake = FakeIdentity()
    async with listening(Starlette(routes=[Route("/msi/token", fake.answer)]), 0) as port:
        fake.url = f"http://{HOST}:{port}"
        yield fake


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """TLS for a server on loopback, and the file by which it is trusted."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain, trusted = folder / "server.pem", folder / "trusted.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    chain.write_bytes(secret + trusted.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, trusted
