from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from server.auth.keys import StaticKeys, read_jwks
from tests.unit.auth.forge import KEY, KID, MISSING, number, public_jwk, shown

SMALL_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)

BAD_KEYS = {
    "a small modulus": public_jwk(SMALL_KEY),
    "for encryption": public_jwk(use="enc"),
    "use null": public_jwk(use=None),
    "an elliptic curve": {"kty": "EC", "kid": KID, "use": "sig", "crv": "P-256", "x": "AA", "y": "AA"},
    "a secret": {"kty": "oct", "kid": KID, "k": "c2VjcmV0"},
    "no kty": public_jwk(kty=MISSING),
    "RS512": public_jwk(alg="RS512"),
    "alg null": public_jwk(alg=None),
    "no kid": public_jwk(kid=MISSING),
    "kid a number": public_jwk(kid=1),
    "key_ops without verify": public_jwk(key_ops=["encrypt"]),
    "key_ops a string": public_jwk(key_ops="verify"),
    "no n": public_jwk(n=MISSING),
    "no e": public_jwk(e=MISSING),
    "n a number": public_jwk(n=65537),
    "n in loose base64": public_jwk(n=f"{public_jwk()['n']}=="),
    "n of one letter": public_jwk(n="A"),
    "e even": public_jwk(e=number(65536)),
    "e 1": public_jwk(e=number(1)),
    "a string": "key",
    "null": None,
    "a list": [],
}


@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_bad_key_is_left_out_and_the_others_kept(bad: object) -> None:
    assert list(read_jwks({"keys": [bad, public_jwk(kid="good")]})) == ["good"]


@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_document_of_bad_keys_alone_is_none(bad: object) -> None:
    with pytest.raises(ValueError, match="no usable key"):
        read_jwks({"keys": [bad]})


@pytest.mark.parametrize(
    "changes",
    [{"use": MISSING}, {"alg": MISSING}, {"key_ops": ["verify", "sign"]}, {"e": number(3)}, {"x5t": "AAAA"}],
    ids=lambda changes: "".join(f"{name} {shown(value)}" for name, value in changes.items()),
)
def test_a_key_may_leave_out_what_goes_without_saying(changes: dict[str, object]) -> None:
    assert list(read_jwks({"keys": [public_jwk(**changes)]})) == [KID]


def test_of_a_private_key_only_the_public_part_is_taken() -> None:
    (key,) = read_jwks({"keys": [public_jwk(d=number(KEY.private_numbers().d))]}).values()
    assert key.is_public()


async def test_static_keys_are_what_they_were_made_of() -> None:
    source = StaticKeys(read_jwks({"keys": [public_jwk()]}))
    assert await source.find(KID) is not None
    assert await source.find("another") is None
