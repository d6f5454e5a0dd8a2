"""Makes tokens of any kind, in order or not, at a time that stands still."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from server.auth.cognito import CognitoVerifier
from server.auth.keys import KeySource, StaticKeys, read_jwks

NOW: Final = 1_800_000_000
ISSUER: Final = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
CLIENT: Final = "1h57kf5cpq17m0eml12EXAMPLE"
SUBJECT: Final = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
KID: Final = "key/1+x="
KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FOREIGN_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
MISSING: Final = object()

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Bad:
    """`reason` is the word that the log must give; `token` is no str where that is its fault."""

    name: str
    token: Any
    reason: str
    signed: bool = False


def shown(value: object) -> str:
    """For the name of a case."""
    if value is MISSING:
        return "missing"
    text = json.dumps(value)
    return text if len(text) < 70 else f"{text[:9]}... ({len(text)})"


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return segment(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def public_jwk(key: rsa.RSAPrivateKey = KEY, /, **changes: object) -> dict[str, object]:
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID, "n": number(numbers.n), "e": number(numbers.e)}
    return without_missing({**jwk, **changes})


def without_missing(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not MISSING}


def claims(**changes: object) -> dict[str, object]:
    """Those of a good access token, changed; `MISSING` takes one away. A claim `a__b` stands for `a:b`."""
    usual: dict[str, object] = {
        "sub": SUBJECT,
        "iss": ISSUER,
        "client_id": CLIENT,
        "origin_jti": "11111111-2222-3333-4444-555555555555",
        "event_id": "66666666-7777-8888-9999-000000000000",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "auth_time": NOW - 30,
        "exp": NOW + 3600,
        "iat": NOW - 30,
        "jti": "99999999-8888-7777-6666-555555555555",
        "username": "demo",
    }
    return without_missing({**usual, **{name.replace("__", ":"): value for name, value in changes.items()}})


def id_claims(**changes: object) -> dict[str, object]:
    usual = {"token_use": "id", "client_id": MISSING, "username": MISSING, "aud": CLIENT, "cognito__username": "demo"}
    return claims(**{**usual, **changes})


def header(**changes: object) -> dict[str, object]:
    return without_missing({"kid": KID, "alg": "RS256", **changes})


def encoded(part: object) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def rsa_signature(key: rsa.RSAPrivateKey = KEY, hash_: hashes.HashAlgorithm | None = None) -> Sign:
    return lambda data: key.sign(data, padding.PKCS1v15(), hash_ or hashes.SHA256())


def pss_signature(data: bytes) -> bytes:
    return KEY.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def ec_signature(data: bytes) -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).sign(data, ec.ECDSA(hashes.SHA256()))


def token(payload: object = None, head: object = None, sign: Sign | None = None) -> str:
    """Parts may be values or bytes; the signature is the right one unless another is given."""
    first = encoded(header() if head is None else head)
    second = encoded(claims() if payload is None else payload)
    return joined(segment(first), segment(second), sign)


def joined(first: str, second: str, sign: Sign | None = None) -> str:
    """A token of segments as they are, signed as they are."""
    signing_input = f"{first}.{second}"
    return f"{signing_input}.{segment((sign or rsa_signature())(signing_input.encode()))}"


def keys() -> StaticKeys:
    return StaticKeys(read_jwks({"keys": [public_jwk()]}))


def verifier(source: KeySource | None = None, *uses: str) -> CognitoVerifier:
    return CognitoVerifier(
        ISSUER, frozenset({CLIENT}), source or keys(), clock=lambda: NOW, token_uses=frozenset(uses or {"access"})
    )
