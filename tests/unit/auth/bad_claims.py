"""Bad tokens whose form, header and signature are in order: only what they say is not."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.unit.auth.forge import CLIENT, ISSUER, MISSING, NOW, SUBJECT, Bad, claims, encoded, id_claims, shown, token


def bad_claims() -> Iterator[Bad]:
    def wrong(reason: str, **changes: object) -> Bad:
        name = ", ".join(f"{claim} is {shown(value)}" for claim, value in changes.items())
        return Bad(name, token(claims(**changes)), reason, signed=True)

    for past in (NOW, NOW - 1):
        yield wrong("expired", exp=past)
    for exp in (MISSING, None, 0, -1, True, str(NOW + 60), NOW + 60.0, 10**12, 2**64, 10**400, [NOW + 60], {}):
        yield wrong("exp", exp=exp)
    for nbf in (NOW + 1, NOW - 1.0, -1, str(NOW - 1), None, True, [NOW]):
        yield wrong("nbf", nbf=nbf)
    for iat in (NOW + 61, NOW + 10**9, NOW - 1.0, -1, str(NOW - 1), None, False):
        yield wrong("iat", iat=iat)
    base = ISSUER.rpartition("/")[0]
    others = (
        f"{ISSUER}/",
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        f"{base}/eu-west-1_Another00",
        base,
        f" {ISSUER}",
    )
    for iss in (*others, "", MISSING, None, 1, [ISSUER], {ISSUER: 1}):
        yield wrong("issuer", iss=iss)
    for use in (MISSING, None, "", "id", "refresh", "Access", ["access"], 1):
        yield wrong("token_use", token_use=use)
    for client in (MISSING, None, "", "another", CLIENT.lower(), f"{CLIENT} ", [CLIENT], 1):
        yield wrong("client", client_id=client)
    for aud in (None, "", "another", [CLIENT], ["another"]):
        yield wrong("audience", aud=aud)
    yield wrong("client", client_id=MISSING, aud=CLIENT)
    yield Bad("an id token", token(id_claims()), "token_use", signed=True)
    for sub in (
        MISSING,
        None,
        "",
        1,
        True,
        [SUBJECT],
        "s" * 129,
        "a b",
        "a\n",
        "a\0b",
        "../a",
        "a#b",
        "a/b",
        "é",
        "\ud800",
    ):
        yield wrong("subject", sub=sub)
    for username in (None, "", 1, ["demo"], "u" * 129, "a\nb", "\x1b[2J", "\ud800", "a\u202eb"):
        yield wrong("username", username=username)
    for groups in (None, "admin", {"admin": 1}, [1], [None], [["admin"]], [""], ["a\n"], ["\ud800"]):
        yield wrong("groups", cognito__groups=groups)


def bad_payloads() -> Iterator[Bad]:
    good = encoded(claims())
    raw = {
        "payload is an array": (b"[" + good + b"]", "payload_json"),
        "payload is a string": (json.dumps(good.decode()).encode(), "payload_json"),
        "payload is a number": (b"1", "payload_json"),
        "payload is null": (b"null", "payload_json"),
        "payload is not JSON": (good.replace(b'"', b"'"), "payload_json"),
        "payload with something after it": (good + b"x", "payload_json"),
        "payload with a byte order mark": (b"\xef\xbb\xbf" + good, "payload_json"),
        "payload in UTF-16": (good.decode().encode("utf-16"), "payload_json"),
        "payload in broken UTF-8": (good.replace(b"demo", b"de\xffmo"), "payload_json"),
        "payload with a raw control character": (good.replace(b"demo", b"de\nmo"), "payload_json"),
        "a number of 5000 digits": (good.replace(b"{", b'{"x":' + b"9" * 5000 + b","), "payload_json"),
        "duplicate exp": (good.replace(b"{", b'{"exp":9999999999,'), "duplicate_key"),
        "duplicate sub": (good.replace(b"}", b',"sub":"admin"}'), "duplicate_key"),
        "duplicate key by another spelling": (good.replace(b"{", b'{"\\u0073ub":"admin",'), "duplicate_key"),
        "duplicate key further in": (good.replace(b"{", b'{"x":{"a":1,"a":2},', 1), "duplicate_key"),
        "NaN": (good.replace(b"{", b'{"x":NaN,'), "not_a_number"),
        "exp is Infinity": (encoded(claims(exp=float("inf"))), "not_a_number"),
        "exp is 1e400": (encoded(claims(exp="@")).replace(b'"@"', b"1e400"), "exp"),
        "nested 200 deep": (good.replace(b"{", b'{"x":' + b"[" * 200 + b"]" * 200 + b","), "payload_nesting"),
        "nested 2500 deep": (good.replace(b"{", b'{"x":' + b"[" * 2500 + b"]" * 2500 + b","), "payload_nesting"),
        "objects nested 800 deep": (
            good.replace(b"{", b'{"x":' + b'{"":' * 800 + b"1" + b"}" * 801),
            "payload_nesting",
        ),
    }
    for name, (data, reason) in raw.items():
        yield Bad(name, token(data), reason, signed=True)
