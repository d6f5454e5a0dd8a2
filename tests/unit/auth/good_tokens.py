"""Tokens that are in order, by what is particular about them."""

from __future__ import annotations

from server.auth.signed import LARGEST_TOKEN
from tests.unit.auth.forge import CLIENT, KID, MISSING, NOW, claims, header, token


def _largest() -> str:
    """The longest token that is not too large, to within the four letters that base64 leaves no choice about."""
    sizes = (token(claims(x="x" * size)) for size in range(5440, 5300, -1))
    return next(made for made in sizes if len(made) <= LARGEST_TOKEN)


GOOD = {
    "the usual": token(),
    "typ JWT": token(head=header(typ="JWT")),
    "typ in small letters": token(head=header(typ="jwt")),
    "typ at+jwt": token(head=header(typ="at+jwt")),
    "header in another order": token(head={"alg": "RS256", "typ": "JWT", "kid": KID}),
    "white space in the JSON": token(b" " + str(claims()).replace("'", '"').encode() + b"\n "),
    "groups": token(claims(cognito__groups=["admins", "Ελλάδα [2]"])),
    "no groups": token(claims(cognito__groups=[])),
    "not before now": token(claims(nbf=NOW)),
    "not before the past": token(claims(nbf=NOW - 100)),
    "issued by a clock that is ahead": token(claims(iat=NOW + 60)),
    "no iat": token(claims(iat=MISSING)),
    "no auth_time": token(claims(auth_time=MISSING)),
    "expires in a second": token(claims(exp=NOW + 1)),
    "an audience that is us": token(claims(aud=CLIENT)),
    "a phone number as the subject": token(claims(sub="+15550001111")),
    "no username": token(claims(username=MISSING)),
    "a username in another script": token(claims(username="Ζωή 🚀")),
    "nested claims": token(claims(x={"a": [{"b": [1, 2.5, None]}]})),
    "the largest": _largest(),
}
