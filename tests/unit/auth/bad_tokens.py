"""The table of bad tokens. Each has one fault, and would be accepted without it, unless its name says otherwise."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.unit.auth.bad_claims import bad_claims, bad_payloads
from tests.unit.auth.forge import (
    FOREIGN_KEY,
    KEY,
    KID,
    MISSING,
    Bad,
    Sign,
    claims,
    ec_signature,
    encoded,
    header,
    joined,
    pss_signature,
    public_jwk,
    rsa_signature,
    segment,
    shown,
    token,
)

# Its signature has letters that the two base64 alphabets spell differently.
GOOD = next(made for made in (token(claims(x=x)) for x in range(99)) if "-" in made.rpartition(".")[2])
FIRST, SECOND, THIRD = GOOD.split(".")
FOREIGN = rsa_signature(FOREIGN_KEY)


def _hmac(secret: bytes, name: str = "sha256") -> Sign:
    return lambda data: hmac.new(secret, data, getattr(hashlib, name)).digest()


def _algorithms() -> Iterator[Bad]:
    for alg in ("none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "RSA1_5", None, 0, True, ["RS256"], {}, MISSING):
        yield Bad(f"alg is {shown(alg)}", token(head=header(alg=alg)), "algorithm")
    yield Bad("alg is none and there is no signature", token(head=header(alg="none"), sign=lambda _: b""), "form")
    yield Bad("RS384", token(head=header(alg="RS384"), sign=rsa_signature(hash_=hashes.SHA384())), "algorithm")
    yield Bad("RS512", token(head=header(alg="RS512"), sign=rsa_signature(hash_=hashes.SHA512())), "algorithm")
    yield Bad("PS256", token(head=header(alg="PS256"), sign=pss_signature), "algorithm")
    yield Bad("ES256", token(head=header(alg="ES256"), sign=ec_signature), "algorithm")
    yield Bad("RS512 signature named RS256", token(sign=rsa_signature(hash_=hashes.SHA512())), "signature")
    yield Bad("PS256 signature named RS256", token(sign=pss_signature), "signature")
    public = KEY.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "PEM": pem,
        "PEM without its last newline": pem.rstrip(),
        "PKCS1 PEM": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": encoded(public_jwk()),
        "JWKS": encoded({"keys": [public_jwk()]}),
        "modulus": str(public_jwk()["n"]).encode(),
    }
    for kind, secret in secrets.items():
        yield Bad(f"HS256 keyed with our {kind}", token(head=header(alg="HS256"), sign=_hmac(secret)), "algorithm")
        yield Bad(f"HMAC keyed with our {kind}, named RS256", token(sign=_hmac(secret)), "signature")
    yield Bad("HS512 keyed with our PEM", token(head=header(alg="HS512"), sign=_hmac(pem, "sha512")), "algorithm")


def _headers() -> Iterator[Bad]:
    for kid in (MISSING, None, 1, 1.5, True, [], [KID], {}, "", "k" * 129, "k" * 4000):
        yield Bad(f"kid is {shown(kid)}", token(head=header(kid=kid)), "kid")
    for unknown in (
        "other",
        KID.upper(),
        f"{KID} ",
        f"{KID}\0",
        f" {KID}",
        "../../dev/null",
        "' OR 1=1 --",
        "*",
        "k" * 128,
    ):
        yield Bad(f"unknown kid {shown(unknown)}", token(head=header(kid=unknown)), "unknown_key")
    foreign: dict[str, object] = {
        "jwk": public_jwk(FOREIGN_KEY),
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["MIIB"],
    }
    for name, value in foreign.items():
        yield Bad(f"foreign key brought in {name}", token(head=header(**{name: value}), sign=FOREIGN), "header_keys")
    extra: dict[str, object] = {
        **foreign,
        "jwk": public_jwk(),
        "x5t": "AAAA",
        "crit": ["exp"],
        "b64": True,
        "zip": "DEF",
        "enc": "A256GCM",
        "cty": "JWT",
        "p2c": 1,
        "ALG": "none",
    }
    for name, value in extra.items():
        yield Bad(f"header with {name}", token(head=header(**{name: value})), "header_keys")
    yield Bad("b64 false, and critical", token(head=header(crit=["b64"], b64=False)), "header_keys")
    for typ in ("", "JWE", "JOSE", "dpop+jwt", "JWT ", 1, None, ["JWT"]):
        yield Bad(f"typ is {json.dumps(typ)}", token(head=header(typ=typ)), "typ")
    good = encoded(header())
    raw = {
        "duplicate alg in the header": (good.replace(b"{", b'{"alg":"none",'), "duplicate_key"),
        "duplicate kid in the header": (good.replace(b"}", f',"kid":{json.dumps(KID)}}}'.encode()), "duplicate_key"),
        "header is an array": (b"[" + good + b"]", "header_json"),
        "header is a string": (b'"RS256"', "header_json"),
        "header is null": (b"null", "header_json"),
        "header is not JSON": (good.replace(b'"', b"'"), "header_json"),
        "header with something after it": (good + b"{}", "header_json"),
        "header with a byte order mark": (b"\xef\xbb\xbf" + good, "header_json"),
        "header in UTF-16": (good.decode().encode("utf-16"), "header_json"),
        "header of brackets": (b"[" * 4000, "header_nesting"),
    }
    for name, (data, reason) in raw.items():
        yield Bad(name, token(head=data), reason)


def _segments() -> Iterator[Bad]:
    raw: dict[str, Any] = {
        "empty": "",
        "one segment": FIRST,
        "two segments": f"{FIRST}.{SECOND}",
        "four segments": f"{GOOD}.{THIRD}",
        "five segments, as in JWE": f"{FIRST}.{THIRD}.{SECOND}.{SECOND}.{THIRD}",
        "a dot before": f".{GOOD}",
        "a dot after": f"{GOOD}.",
        "only dots": "..",
        "no header": f".{SECOND}.{THIRD}",
        "no payload": f"{FIRST}..{THIRD}",
        "no payload, signed": joined(FIRST, ""),
        "no signature": f"{FIRST}.{SECOND}.",
        "a letter that is not ASCII": f"{GOOD}é",
        "a digit that is not ASCII": f"{GOOD}\uff11",
        "a lone surrogate": f"{GOOD}\ud800",
    }
    for name, value in raw.items():
        yield Bad(name, value, "form")
    flattened = {"protected": FIRST, "payload": SECOND, "signature": THIRD}
    yield Bad("JSON serialisation, flattened", json.dumps(flattened), "form")
    general = {"payload": SECOND, "signatures": [{"protected": FIRST, "signature": THIRD}]}
    yield Bad("JSON serialisation, general", json.dumps(general), "form")
    for value in (GOOD.encode(), bytearray(GOOD.encode()), None, 1, [GOOD], {"token": GOOD}):
        yield Bad(f"a {type(value).__name__}", value, "type")
    for name, huge in {
        "1 MB of letters": "a" * 2**20,
        "1 MB of dots": "." * 2**20,
        "1 MB of claims": token(claims(x="x" * 2**20)),
        "a little too long": token(claims(x="x" * 6000)),
    }.items():
        yield Bad(name, huge, "size")


def _signatures() -> Iterator[Bad]:
    signature = rsa_signature()(f"{FIRST}.{SECOND}".encode())
    for name, changed in {
        "cut by a byte": signature[:-1],
        "longer by a byte": signature + b"\0",
        "with a zero before": b"\0" + signature,
        "of one byte": b"\0",
        "of zeros": bytes(256),
        "with a flipped bit": bytes([signature[0] ^ 1]) + signature[1:],
        "with a flipped last bit": signature[:-1] + bytes([signature[-1] ^ 1]),
    }.items():
        yield Bad(f"signature {name}", f"{FIRST}.{SECOND}.{segment(changed)}", "signature")
    yield Bad("signed with a foreign key", token(sign=FOREIGN), "signature")
    yield Bad(
        "claims of one token, signature of another", f"{FIRST}.{segment(encoded(claims(sub='x')))}.{THIRD}", "signature"
    )
    yield Bad(
        "header of one token, signature of another",
        f"{segment(encoded(header(typ='JWT')))}.{SECOND}.{THIRD}",
        "signature",
    )


def _base64() -> Iterator[Bad]:
    raw = {
        "a space before": f" {GOOD}",
        "a space after": f"{GOOD} ",
        "a newline after": f"{GOOD}\n",
        "a NUL after": f"{GOOD}\0",
        "a scheme before": f"Bearer {GOOD}",
        "a quote around": f'"{GOOD}"',
        "a newline in the payload, signed": joined(FIRST, f"{SECOND}\n"),
        "a foreign character in the payload, signed": joined(FIRST, f"{SECOND[:8]}!{SECOND[8:]}"),
        "a space in the header, signed": joined(f"{FIRST[:4]} {FIRST[4:]}", SECOND),
        "a lone last character, signed": joined(FIRST, segment(_thirds(claims(), 0)) + "A"),
        "padding after the signature": f"{GOOD}==",
        "padding after the payload, signed": joined(FIRST, _padded(claims())),
        "padding after the header, signed": joined(_padded(header()), SECOND),
        "left-over bits in the signature": _loose(GOOD),
        "left-over bits in the payload, signed": joined(FIRST, _loose(_padded(claims()).rstrip("="))),
        "left-over bits in the header, signed": joined(_loose(_padded(header()).rstrip("=")), SECOND),
        "standard alphabet in the signature": f"{FIRST}.{SECOND}.{_standard(THIRD)}",
        "standard alphabet in the payload, signed": joined(FIRST, _standard(segment(encoded(claims(x="~~~~~"))))),
    }
    for name, value in raw.items():
        yield Bad(name, value, "base64")


def _thirds(part: dict[str, object], rest: int) -> bytes:
    """The part in JSON, its length `rest` more than a multiple of three."""
    data = encoded(part)
    return data + b" " * ((rest - len(data)) % 3)


def _padded(part: dict[str, object]) -> str:
    return segment(_thirds(part, 1)) + "=="


def _loose(text: str) -> str:
    """The same bytes to a forgiving decoder, spelled with other left-over bits."""
    return text[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}[text[-1]]


def _standard(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")


BAD = [
    bad
    for group in (_algorithms, _headers, bad_claims, bad_payloads, _segments, _signatures, _base64)
    for bad in group()
]
